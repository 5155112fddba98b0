"""Which weights a backbone starts from: a user's file, or one that the features room knows by name; light to import."""

from __future__ import annotations

from pathlib import Path

from synreid.features import registry
from synreid.reid.options import ReidOptions
from synreid.stage.errors import UserError
from synreid.stage.fingerprint import file_digest

NAMED = {"imagenet": ("tf_efficientnet_lite0", "efficientnet-lite0"), "msmt17": ("osnet_x0_25", "osnet-x0.25-msmt17")}
"""Values of `pretrained` that name weights: the backbone they are of, and their name in the registry."""


def weights_input(options: ReidOptions) -> dict[str, str]:
    """Return what a training's fingerprint takes in of the weights that it starts from: nothing, or their digest.

    Raises UserError where they cannot be had.
    """
    if options.pretrained in (None, "timm"):
        return {}
    return {"pretrained": file_digest(weights_file(options))}


def weights_file(options: ReidOptions) -> Path:
    """Return the file of weights that `options.pretrained` names, be it a user's or one that the registry knows.

    Raises UserError where it cannot be had, or holds another backbone's.
    """
    name = str(options.pretrained)
    if name not in NAMED:
        if not Path(name).is_file():
            raise UserError(f"{name}, the backbone's pretrained weights, does not exist; check the name.")
        return Path(name)
    backbone, entry = NAMED[name]
    if options.backbone != backbone:
        raise UserError(
            f"pretrained is '{name}', whose weights are {backbone}'s, but the backbone is {options.backbone}; "
            "choose that backbone, or give a file."
        )
    return registry.locate(entry)
