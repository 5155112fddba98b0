"""Commands that train and evaluate re-ID models."""

from __future__ import annotations

from pathlib import Path

from synreid.label.names import Labels
from synreid.reid.evaluate_options import EvaluateOptions
from synreid.reid.options import ReidOptions


def reid_train(
    *,
    data: Path,
    out: Path,
    options: ReidOptions,
    add: Path | None = None,
    labels: Labels = "new-identity",
    teacher: Path | None = None,
    gpus: int = 1,
    device: str = "auto",
    camera_pattern: str | None = None,
) -> None:
    """Train a re-ID model on the training split of a folder, with artificial persons added if asked.

    Args:
        data: Folder or CSV file of person pictures.
        out: Folder for the model and its curves.
        options: The model and its training.
        add: Artificial persons to add: a selection (its kept pictures) or a persons folder (all of them).
        labels: How made pictures are labelled: by the identity they claim (new-identity), that smoothed (smoothed) or
            mixed half and half with the teacher's prediction (teacher), or by another's at random (shuffled); by real
            identities alone: all of them alike (lsro), those of the real pictures that look alike (slsr), each by its
            rank in the prediction of the teacher (mprl-static) or of the model itself, at once (mprl-dynamic-1) or
            later (mprl-dynamic-2), by how much the teacher finds them alike (affinity), or the model's first choice
            (pseudo); as one class more (extra-class); or, of variations, by the persons they are mixed of (mixture).
        teacher: Folder of a finished `reid train` on the real pictures alone, for labels teacher, mprl-static, slsr and
            affinity.
        gpus: Devices to train on (on a machine without GPUs: processes), each on an equal part of every batch. More
            than one wants the extra `synreid[devices]`.
        device: Device such as `cpu` or `cuda`; auto takes a GPU if there is one.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.data.scan import open_data
    from synreid.data.table import pick
    from synreid.reid.train import train
    from synreid.select.made import made_pictures

    made = made_pictures(add) if add is not None else None
    asked = {"data": data, "out": out, "add": add, "teacher": teacher, "device": device}
    asked["camera_pattern"] = camera_pattern
    real = pick(open_data(data, camera_pattern), split="train")
    print(train(real, made, out, options, labels, teacher=teacher, asked=asked, device=device, gpus=gpus))


def reid_evaluate(
    model: Path,
    *,
    data: Path,
    options: EvaluateOptions,
    out: Path | None = None,
    camera_pattern: str | None = None,
) -> None:
    """Rank the gallery for every query and print Rank-1, 5, 10, mAP in both conventions, and mINP.

    Args:
        model: Folder of a finished `reid train`.
        data: Folder or CSV file with query and gallery.
        options: What is scored besides.
        out: Folder for the scores; by default the model's own.
        camera_pattern: Regular expression whose first group is the camera, for folders with one folder a person.
    """
    from synreid.data.scan import open_data
    from synreid.reid.protocols import as_text, evaluate_protocols

    print(as_text(evaluate_protocols(model, open_data(data, camera_pattern, needs=("query", "gallery")), out, options)))
