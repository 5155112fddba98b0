"""A finished re-ID model as a teacher: whom it takes each picture for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from synreid.reid.embed import ReidModel, embed_table, load_model, model_mark
from synreid.reid.train import CLASSES, STAGE
from synreid.stage.errors import UserError
from synreid.stage.files import read_json
from synreid.stage.folder import read_run


class Teacher:
    """The model of a finished `reid train` folder, trained on real pictures alone, as label strategies ask for one.

    `fingerprint` is that of its training and its weights. Raises UserError when the folder is not one, was cut off, or
    made pictures were among its training pictures.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self.folder, self.device = Path(folder), device
        run = read_run(self.folder, STAGE)
        if run["pictures_made"]:
            raise UserError(
                f"{folder} was trained with {run['pictures_made']:,} made pictures, but a teacher may know real ones "
                "only; give a model that was trained without --add."
            )
        self.fingerprint = model_mark(self.folder)

    def embed(self, table: pa.Table) -> np.ndarray:
        """Return the model's features of the pictures of `table`, float32 [N, D], as ranking takes them.

        Raises UserError when the weights are damaged.
        """
        return embed_table(load_model(self.folder, self.device), table)

    def __call__(self, table: pa.Table) -> tuple[list[str], np.ndarray]:
        """Return the model's classes [C] and its logits for the pictures of `table`, float32 [N, C].

        Raises UserError when the weights are damaged.
        """
        return read_json(self.folder / CLASSES), logits(load_model(self.folder, self.device), table)


@torch.inference_mode()
def logits(model: ReidModel, table: pa.Table) -> np.ndarray:
    """Return the classifier's answers, float32 [N, C], to pictures prepared as the training pictures were.

    Pictures are neither mirrored nor moved, and nothing is dropped: what `network(pictures)` gives in evaluation.
    """
    features = torch.from_numpy(embed_table(model, table, flip=False))
    answers: np.ndarray = model.network.classifier(features.to(model.device)).cpu().numpy()
    return answers
