"""Pictures of persons and what is known of them.

Here live the picture table that every room shares, the folder layouts that it is read from, the checks of a user's
folder, splits and nested subsets by identity, decoded pixels, batches, sheets of pictures, and `street`, the embedded
set. Nothing here knows of networks, of made pictures' makers or of a study.
"""
