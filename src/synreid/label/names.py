"""Names of the label strategies, apart from these, so that command line and recipes need no torch to know them."""

from __future__ import annotations

from typing import Literal

PersonLabels = Literal[
    "smoothed",
    "lsro",
    "mprl-dynamic-1",
    "mprl-dynamic-2",
    "extra-class",
    "pseudo",
    "teacher",
    "mprl-static",
    "slsr",
    "affinity",
]
"""Other labels of artificial persons than identities of their own, as a study may compare them."""
Labels = Literal["new-identity", "shuffled", "mixture", PersonLabels]
"""All of them."""
TAUGHT = ("teacher", "mprl-static", "slsr", "affinity")
"""Those that need a teacher, a model of the real pictures alone."""
