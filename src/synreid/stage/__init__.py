"""What every stage needs, whatever it works on.

Here live fingerprints, atomic writes, checkpoints, the stage folder with its lock, metrics logs, progress and clear
errors.
Nothing here knows of pictures, persons or networks, and nothing here imports another room.
"""
