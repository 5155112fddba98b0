"""SynReID makes artificial persons to train person re-identification with, and measures whether they helped."""

__version__ = "0.1.0"
