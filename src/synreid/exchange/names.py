"""Names that the command line knows, apart from what they stand for, so that it needs nothing heavy to know them."""

from __future__ import annotations

from typing import Literal

Layout = Literal["market1501", "imagefolder", "webdataset"]
"""Layouts that pictures are written in."""
FixedLabels = Literal["new-identity", "smoothed", "lsro", "extra-class", "mixture"]
"""Label strategies whose targets do not depend on a model, so that they can be written down before a training."""
Claim = Literal["new", "parent"]
"""Whom imported pictures show: persons who do not exist, or the person of a real picture each."""
SourceType = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia"]
"""Terms of the IPTC's vocabulary of digital source types that made pictures may have."""
