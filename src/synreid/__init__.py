"""SynReID makes artificial persons to train person re-identification with, and measures whether they helped."""

import os

# How long GNU OpenMP's threads, which PyTorch works in on CPUs, spin after each operation: by default for milliseconds,
# which other threads (pictures written, StyleGAN3's filters) wait for. It is read once, when PyTorch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"
