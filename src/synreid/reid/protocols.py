"""A model's evaluation in the settings that papers list: single query or multi-query, as it is or re-ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from synreid.data.table import column, concat, pick, table_fingerprint
from synreid.reid.bootstrap import query_intervals
from synreid.reid.breakdown import by_camera, by_camera_pair, by_positives
from synreid.reid.embed import embed_table
from synreid.reid.evaluate import (
    PER_QUERY,
    RANKED,
    SUMMARY,
    CosineDistances,
    Evaluation,
    Subject,
    evaluate_distances,
    evaluate_once,
)
from synreid.reid.evaluate_options import EvaluateOptions
from synreid.reid.multi_query import hand_drawn, multi_query_features
from synreid.reid.predictions import write_predictions
from synreid.reid.rerank import rerank_features
from synreid.stage.files import expected_shape, read_json, write_json
from synreid.stage.fingerprint import fingerprint
from synreid.stage.log import say

VERSION = 1
INTERVALS, BREAKDOWN, PREDICTIONS = "intervals.json", "breakdown.json", "predictions"
SHOWN = {"rank1": "Rank-1", "rank5": "Rank-5", "rank10": "Rank-10", "map": "mAP (standard)"}
SHOWN |= {"map_trapezoid": "mAP (trapezoid)", "minp": "mINP"}


class Protocol(NamedTuple):
    """One setting: its folder below the evaluation's own, what it is called, and what is done."""

    folder: str
    title: str
    multi_query: bool
    rerank: bool


PROTOCOLS = (
    Protocol(".", "single query", False, False),
    Protocol("rerank", "single query, re-ranked", False, True),
    Protocol("multi_query", "multi-query", True, False),
    Protocol("multi_query_rerank", "multi-query, re-ranked", True, True),
)


@dataclass(frozen=True)
class Scores:
    """What a model was worth in one setting."""

    evaluation: Evaluation
    intervals: dict[str, Any] | None
    """As of `query_intervals`."""
    breakdown: dict[str, Any] | None
    """Lists by_camera, by_positives and by_camera_pair, each as of the function of that name."""


def evaluate_protocols(
    model_folder: Path,
    data: pa.Table,
    out: Path | None = None,
    options: EvaluateOptions | None = None,
    device: str = "auto",
) -> dict[str, Scores]:
    """Evaluate a finished `reid train` folder in the settings that `options` name, and return the scores by title.

    The single query is always there; its files lie in `out`, by default the model's own folder, as `evaluate_model`
    writes them. The others have the same files in a subfolder. intervals.json and breakdown.json lie beside where
    asked for. Each file carries a fingerprint, and what is there already is read and not computed. What lies where is
    said. Raises UserError.
    """
    options = EvaluateOptions() if options is None else options
    out = Path(model_folder if out is None else out)
    subject = Subject(model_folder, data, device)
    if options.predictions:
        write_predictions(subject, out / PREDICTIONS)
    features = _Features(subject, (options.k1, options.k2, options.lambda_value))
    asked = [p for p in PROTOCOLS if p.multi_query <= options.multi_query and p.rerank <= options.rerank]
    scores = {protocol.title: _scores(features, protocol, out / protocol.folder, options) for protocol in asked}
    optional = {INTERVALS: options.intervals, BREAKDOWN: options.breakdown, f"{PREDICTIONS}/": options.predictions}
    files = [SUMMARY, PER_QUERY, RANKED, *(name for name, wanted in optional.items() if wanted)]
    files += [f"{protocol.folder}/" for protocol in asked[1:]]  # the first one's lie in `out` itself
    say(f"{out} holds {', '.join(files)}.")
    return scores


class _Features:
    """Features of a subject, each computed when first needed and once."""

    def __init__(self, subject: Subject, rerank: tuple[int, int, float]) -> None:
        self.subject, self.rerank = subject, rerank

    @cached_property
    def drawn(self) -> pa.Table | None:
        return hand_drawn(self.subject.query)

    @cached_property
    def multi_query(self) -> np.ndarray:
        subject, drawn = self.subject, self.drawn
        if drawn is not None:
            say(f"multi-query: {len(drawn):,} pictures of gt_bbox, drawn by hand, are embedded.")
            return multi_query_features(subject.query, subject.features[0], drawn, embed_table(subject.model, drawn))
        say(
            "multi-query: no pictures drawn by hand (Market-1501's folder gt_bbox) show these persons, so their "
            "query and gallery pictures are averaged."
        )
        good = ~column(subject.gallery, "junk")
        pictures = concat([subject.query, pick(subject.gallery, junk=False)])
        features = np.concatenate([subject.features[0], subject.features[1][good]])
        return multi_query_features(subject.query, subject.features[0], pictures, features)

    def distances(self, protocol: Protocol) -> Iterable[np.ndarray]:
        """Return a setting's distances, block by block; junk, which has no place among neighbours, is infinitely far
        after re-ranking.
        """
        query = self.multi_query if protocol.multi_query else self.subject.features[0]
        gallery = self.subject.features[1]
        if not protocol.rerank:
            return CosineDistances(query, gallery)
        good = ~column(self.subject.gallery, "junk")
        distances = np.full((len(query), len(gallery)), np.inf, dtype=np.float32)
        distances[:, good] = rerank_features(query, gallery[good], *self.rerank)
        return [distances]


def _scores(features: _Features, protocol: Protocol, folder: Path, options: EvaluateOptions) -> Scores:
    subject, query, gallery = features.subject, features.subject.query, features.subject.gallery
    mark = subject.fingerprint
    if protocol.multi_query or protocol.rerank:
        mark = fingerprint(VERSION, mark, protocol.folder, features.rerank if protocol.rerank else ())
    if protocol.multi_query and features.drawn is not None:
        mark = fingerprint(VERSION, mark, table_fingerprint(features.drawn))
    distances = cache(lambda: features.distances(protocol))
    evaluation = evaluate_once(subject, folder, mark, lambda: evaluate_distances(distances(), query, gallery))
    per_query = evaluation.per_query

    def lists() -> dict[str, Any]:
        pairs = by_camera_pair(distances(), query, gallery)
        return {"by_camera": by_camera(per_query), "by_positives": by_positives(per_query), "by_camera_pair": pairs}

    intervals = breakdown = None
    if options.intervals:
        mark_of_draw = fingerprint(VERSION, mark, options.intervals)
        draw = partial(query_intervals, per_query, options.intervals)
        intervals = _kept(folder / INTERVALS, mark_of_draw, draw, lambda found: [_span(found, key) for key in SHOWN])
    if options.breakdown:
        breakdown = _kept(folder / BREAKDOWN, fingerprint(VERSION, mark), lists, _breakdown_lines)
    return Scores(evaluation, intervals, breakdown)


def _kept(
    path: Path, mark: str, compute: Callable[[], dict[str, Any]], show: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """Return what the JSON file holds if its fingerprint is `mark`; else compute it and write it there.

    Raises UserError for a file that holds something that `show` cannot show.
    """
    known = read_json(path) if path.exists() else None
    if isinstance(known, dict) and known.get("fingerprint") == mark:
        with expected_shape(path):
            show(known)
        return known
    value = {"fingerprint": mark, **compute()}
    write_json(path, value)
    return value


def as_text(scores: dict[str, Scores]) -> str:
    """Return lines to print: the scores of each setting, with intervals and by camera where there are any."""
    lines: list[str] = []
    for title, score in scores.items():
        lines += ["", f"{title}:"] if len(scores) > 1 else []
        summary = score.evaluation.summary
        for key, name in SHOWN.items():
            lines.append(f"{name:16} {summary[key] * 100:6.2f} %{_span(score.intervals or {}, key)}")
        lines.append(f"{'queries':16} {summary['queries']:6d}, without a match and left out: {summary['unmatched']}")
        lines += _breakdown_lines(score.breakdown) if score.breakdown else []
    return "\n".join(lines).lstrip("\n")


def _span(intervals: dict[str, Any], key: str) -> str:
    span = intervals.get(key)
    return f"   95 % interval {span['low'] * 100:.2f} to {span['high'] * 100:.2f}" if span else ""


def _breakdown_lines(breakdown: dict[str, Any]) -> list[str]:
    named = [(f"camera {row['camera']}", row) for row in breakdown["by_camera"]]
    named += [(_positives(row["fewest"], row["most"]), row) for row in breakdown["by_positives"]]
    width = max(len(name) for name, _ in named)
    return [
        f"{name:{width}}  Rank-1 {row['rank1'] * 100:6.2f} %, mAP {row['map'] * 100:6.2f} %, {row['queries']} queries"
        for name, row in named
        if row["queries"]
    ]


def _positives(fewest: int, most: int) -> str:
    if fewest < most:
        return f"{fewest} to {most} positives"
    return f"{most} positive{'' if most == 1 else 's'}"
