"""Folders and files that person pictures come in: one module a layout.

Each reader lists what is there and what each name says, without opening a picture: identity, camera, split and junk.
Whether the pictures can be decoded and whether the rules of a study hold is asked elsewhere in `data/`.
"""
