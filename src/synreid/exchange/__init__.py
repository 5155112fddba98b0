"""The way out to other tools, and in from them.

Out: real and made pictures in a layout that other trainers read, with who is made said in names, tables and the files
themselves. In: pictures that something else made, as a folder of persons that all other commands take.
"""
