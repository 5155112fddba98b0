"""Makers that learn a generator from pictures: networks, augmentation, adversarial training, sampling, style mixing.

One file a network. What a picture is worth (selection), what it is called (labels) and whether it helps (studies)
are other rooms' questions; real pictures come in as a picture table and made ones leave as one.
"""
