"""Made pictures are everyone a little, by the model's own answers, once the model knows the real pictures."""

from __future__ import annotations

from synreid.label.mprl_dynamic_1 import MprlDynamic1


class MprlDynamic2(MprlDynamic1):
    """Dynamic multi-pseudo regularised labels, second kind (dMpRL-II): as the first, but from a start on.

    Until then made rows have weight 0. The paper starts at epoch 20 of 50, so at 0.4 of the training (Huang et al.
    2019, arXiv 1801.06742); options of the training may say otherwise. Its released code also weighs made rows 0.1 in
    this kind alone: `made_weight: 0.1` does so.
    """

    name = "mprl-dynamic-2"
    start = 0.4
