"""How well a small classifier, trained on the spot, tells made pictures from real ones."""

from __future__ import annotations

import cv2
import numpy as np
import scipy.stats
import torch
from torch import nn
from torch.nn import functional

STEPS = 300
BATCH = 64


def origin_auc(
    real: np.ndarray,
    made: np.ndarray,
    real_groups: np.ndarray,
    made_groups: np.ndarray,
    height: int = 64,
    width: int = 32,
    seed: int = 0,
    steps: int = STEPS,
    limit: int = 2000,
) -> dict[str, float | int | str]:
    """Area under the ROC curve with which unseen made pictures are told from unseen real ones; 0.5 is not at all.

    `real` and `made` are uint8 `[N, H, W, 3]`, resized to `height`x`width`; the groups name each picture's person, and
    no person is in both training and test, also where both kinds show the same persons. Equally many pictures of each
    kind are used, at most `limit`. A small convolutional network on pixels, trained `steps` steps, is scored on the
    test half. `low` and `high` are the 95 % interval over test persons (`auc_interval`). Raises ValueError where a kind
    has fewer than two persons.
    """
    rng = np.random.default_rng(seed)
    count = min(len(real), len(made), limit)
    pictures, labels, test, persons = [], [], [], []
    sides: dict[str, bool] = {}
    for kind, (source, groups) in enumerate(((real, real_groups), (made, made_groups))):
        chosen = np.sort(rng.choice(len(source), count, replace=False))
        pictures.append(_resized(source, chosen, height, width))
        labels.append(np.full(count, kind))
        persons.append(np.asarray(groups).astype(str)[chosen])
        test.append(_in_test(persons[-1], sides, rng))
    x, y, held_out = np.concatenate(pictures), np.concatenate(labels), np.concatenate(test)
    network = _train(x[~held_out], y[~held_out], steps, seed)
    scores = _scores(network, x[held_out])
    truth = y[held_out] == 1
    names = np.concatenate(persons)[held_out]
    low, high = auc_interval(scores[~truth], scores[truth], names[~truth], names[truth], seed)
    return {
        "auc": area_under_roc(scores[~truth], scores[truth]),
        "low": low,
        "high": high,
        "accuracy": float(((scores > 0) == truth).mean()),
        "test_real": int((~truth).sum()),
        "test_made": int(truth.sum()),
        "train_pictures": int((~held_out).sum()),
        "resolution": f"{height}x{width}",
    }


def area_under_roc(negative: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive scores above a negative, ties counted half (Mann-Whitney U over its largest value)."""
    ranks = scipy.stats.rankdata(np.concatenate([negative, positive]))
    n, m = len(negative), len(positive)
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))


def auc_interval(
    negative: np.ndarray,
    positive: np.ndarray,
    negative_groups: np.ndarray,
    positive_groups: np.ndarray,
    seed: int = 0,
    draws: int = 400,
) -> tuple[float, float]:
    """95 % interval of an area under the ROC curve by drawing whole groups (persons) with replacement.

    Pictures of one person are alike, so an interval that counts pictures as independent (Hanley and McNeil 1982)
    is too narrow: for real against other real persons it left out 0.5.
    """
    rng = np.random.default_rng(seed)
    names = [np.unique(negative_groups), np.unique(positive_groups)]
    together = not set(names[0]).isdisjoint(names[1])  # a person of both kinds is drawn with the pictures of both
    below = {name: negative[negative_groups == name] for name in np.unique(np.concatenate(names))}
    above = {name: positive[positive_groups == name] for name in below}
    whole = np.array(list(below))
    values: list[float] = []
    while len(values) < draws:
        drawn = [rng.choice(whole, len(whole))] * 2 if together else [rng.choice(part, len(part)) for part in names]
        n, p = (np.concatenate([of[name] for name in part]) for of, part in zip((below, above), drawn, strict=True))
        if len(n) and len(p):
            values.append(area_under_roc(n, p))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _in_test(groups: np.ndarray, sides: dict[str, bool], rng: np.random.Generator) -> np.ndarray:
    """Which pictures go to the test: those of half the persons, at least one person on each side.

    `sides` holds on which side persons are already, and takes in the new ones.
    """
    names = np.unique(groups)
    new = [name for name in names if name not in sides]
    held = set(rng.permutation(new)[: len(new) // 2]) if new else set()
    sides |= {name: name in held for name in new}
    if len({sides[name] for name in names}) < 2:
        raise ValueError("telling origins apart needs pictures of two persons or more of each kind")
    return np.array([sides[name] for name in groups], dtype=bool)


def _resized(source: np.ndarray, chosen: np.ndarray, height: int, width: int) -> np.ndarray:
    same = source.shape[1:3] == (height, width)
    return np.stack(
        [source[k] if same else cv2.resize(source[k], (width, height), interpolation=cv2.INTER_AREA) for k in chosen]
    )


def _network() -> nn.Sequential:
    """Three strided convolutions and a global average: sees texture and coding traces more than places."""
    layers: list[nn.Module] = []
    for before, after in ((6, 24), (24, 48), (48, 96)):
        layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 1))


def _train(x: np.ndarray, y: np.ndarray, steps: int, seed: int) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    pixels, labels = _tensor(x), torch.from_numpy(y).float()
    network.train()
    for _ in range(steps):
        chosen = torch.randint(len(pixels), (BATCH,), generator=generator)
        block = pixels[chosen]
        mirrored = torch.rand(BATCH, 1, 1, 1, generator=generator) < 0.5
        block = torch.where(mirrored, block.flip(3), block)
        loss = functional.binary_cross_entropy_with_logits(network(block).squeeze(1), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.inference_mode()
def _scores(network: nn.Sequential, x: np.ndarray) -> np.ndarray:
    """Logit of being made, `[N]`."""
    pixels = _tensor(x)
    return torch.cat([network(block).squeeze(1) for block in pixels.split(256)]).numpy().astype(np.float64)


def _tensor(x: np.ndarray) -> torch.Tensor:
    """Pictures as `[N, 6, H, W]`: colours in [-1, 1] and, amplified, what a 3x3 mean takes from them.

    Sharpness and coding show in the latter, which a network this small hardly finds by itself from few pictures.
    """
    colours = torch.from_numpy(x).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
    detail = colours - functional.avg_pool2d(colours, 3, 1, 1, count_include_pad=False)
    return torch.cat([colours, 4.0 * detail], dim=1)
