"""Whether other tools' evaluators give the same scores for the features of a trained model on real pictures.

Usage: python benchmarks/evaluators.py NAME --data PATH --model FOLDER --torchreid DIR --layumi DIR

`--torchreid` and `--layumi` are checkouts of KaiyangZhou/deep-person-reid and layumi/Person_reID_baseline_pytorch. The
model is a finished `synreid reid train`, embedded once; all then score the same features: torchreid's Python and, where
it is built in place, Cython; layumi's two functions, taken out of its script, for the trapezoid mAP; and torchreid's
k-reciprocal re-ranking beside ours, timed, with the scores after it. Goes to `results/reid/evaluators-NAME.json`.
"""

from __future__ import annotations

import argparse
import ast
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ranking import load, torchreid_rankings
from synreid.data.scan import open_data
from synreid.data.table import column, concat
from synreid.quality.neighbours import unit_length
from synreid.reid.evaluate import Subject, evaluate_distances, evaluate_features
from synreid.reid.rerank import rerank_distances, rerank_features
from synreid.stage.files import write_json
from synreid.stage.log import say
from synreid.stage.machine import machine

RESULTS = Path(__file__).parent.parent / "results" / "reid"
SCORES, RERANKED = 1e-6, 1e-5  # to agree within
K1, K2, LAMBDA = 20, 6, 0.3


def names(query: pa.Table, gallery: pa.Table) -> tuple[np.ndarray, ...]:
    """Return persons and cameras of both as integers, as the peers want them; -1 is junk, 0 a distractor."""
    both = concat([query, gallery])
    pids = column(both, "pid")
    known = np.array([pid is not None for pid in pids])
    persons = np.zeros(len(both), dtype=np.int64)
    persons[known] = np.unique(pids[known].astype(str), return_inverse=True)[1] + 1
    persons[column(both, "junk").astype(bool)] = -1
    cameras = np.unique(column(both, "camera").astype(str), return_inverse=True)[1]
    first = len(query)
    return persons[:first], cameras[:first], persons[first:], cameras[first:]


def layumi(peer: Path) -> Callable[..., tuple[float, torch.Tensor]]:
    """Return layumi's `evaluate`; its script evaluates as it is imported, so that only its functions are taken."""
    script = ast.parse((peer / "evaluate.py").read_text(encoding="utf-8"))
    script.body = [part for part in script.body if isinstance(part, ast.FunctionDef)]
    if not hasattr(np, "in1d"):  # went with numpy 2.4
        np.in1d = np.isin  # type: ignore[attr-defined]
    space: dict[str, Any] = {"np": np, "torch": torch}
    exec(compile(script, "evaluate.py", "exec"), space)
    found: Callable[..., tuple[float, torch.Tensor]] = space["evaluate"]
    return found


def layumi_scores(
    evaluate: Callable[..., tuple[float, torch.Tensor]], query: np.ndarray, gallery: np.ndarray, *of: np.ndarray
) -> tuple[float, float]:
    """Return Rank-1 and trapezoid mAP of unit-length features, as the script's loop does."""
    query_pid, query_camera, gallery_pid, gallery_camera = of
    average, first = 0.0, 0
    for feature, pid, camera in zip(query, query_pid, query_camera, strict=True):
        ap, cmc = evaluate(feature, pid, camera, gallery, gallery_pid, gallery_camera)
        if cmc[0] != -1:
            average, first = average + ap, first + int(cmc[0])
    return first / len(query), average / len(query)


def timed(what: str, call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what the call returns and its seconds."""
    start = time.perf_counter()
    found = call()
    seconds = time.perf_counter() - start
    say(f"{what}: {seconds:.1f} s")
    return found, round(seconds, 2)


def main() -> None:
    """Score with all and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="the result's name, that of the data")
    for path in ("data", "model", "torchreid", "layumi"):
        parser.add_argument(f"--{path}", type=Path, required=True)
    given = parser.parse_args()
    subject = Subject(given.model, open_data(given.data))
    query, gallery = (unit_length(part) for part in subject.features)
    of = names(subject.query, subject.gallery)
    kept = of[2] >= 0  # torchreid's data sets leave junk out before they evaluate
    distances = (1 - torch.from_numpy(query) @ torch.from_numpy(gallery).T).numpy()

    ours, seconds = timed("SynReID", lambda: evaluate_features(query, gallery, subject.query, subject.gallery).summary)
    scores = {"SynReID": {name: ours[name] for name in ("rank1", "map", "map_trapezoid")} | {"seconds": seconds}}
    for name, evaluate in torchreid_rankings(given.torchreid).items():
        case = (np.ascontiguousarray(distances[:, kept]), of[0], of[1], of[2][kept], of[3][kept])
        (rank1, ap), seconds = timed(name, lambda call=evaluate, on=case: call(on))
        scores[name] = {"rank1": rank1, "map": ap, "seconds": seconds}
    evaluate = layumi(given.layumi)
    (rank1, ap), seconds = timed("layumi", lambda: layumi_scores(evaluate, query, gallery, *of))
    scores["layumi"] = {"rank1": rank1, "map_trapezoid": ap, "seconds": seconds}
    apart = max(
        abs(value - scores["SynReID"][score])
        for row in scores.values()
        for score, value in row.items()
        if score != "seconds"
    )
    result = {
        "what": "scores of one model's features by three tools, and re-ranking by two",
        "asked": f"equal to {SCORES:g}; re-ranked distances to {RERANKED:g}, in a tenth of the time",
        "reached": apart <= SCORES,
        "largest_difference": apart,
        "queries": len(query),
        "gallery": len(gallery),
        "model": subject.model.fingerprint,
        "backbone": subject.model.options.backbone,
        "scores": scores,
        "re_ranking": re_ranking(given.torchreid, query, gallery, subject),
        "command": f"python benchmarks/evaluators.py {given.name} --data PATH --model MODEL --torchreid A --layumi B",
        "machine": machine(),
    }
    write_json(RESULTS / f"evaluators-{given.name}.json", result)


def re_ranking(peer: Path, query: np.ndarray, gallery: np.ndarray, subject: Subject) -> dict[str, Any]:
    """Re-rank by both, on the same distances, and say how far apart they are."""
    theirs = load("torchreid_rerank", peer / "torchreid" / "utils" / "rerank.py").re_ranking

    def apart(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        product = torch.from_numpy(left) @ torch.from_numpy(right).T
        return (2 - 2 * product).clamp_(min=0).sqrt_().numpy()  # it squares what it is given

    between, queries, galleries = apart(query, gallery), apart(query, query), apart(gallery, gallery)
    found, taken = timed("torchreid re-ranking", lambda: theirs(between, queries, galleries, K1, K2, LAMBDA))
    mine, seconds = timed("our re-ranking, of distances", lambda: rerank_distances(queries, between, galleries))
    own, of_features = timed("our re-ranking, of features", lambda: rerank_features(query, gallery, K1, K2, LAMBDA))
    after = {
        name: evaluate_distances([np.asarray(value, dtype=np.float32)], subject.query, subject.gallery).summary
        for name, value in {"torchreid": found, "SynReID": own}.items()
    }
    return {
        "k1": K1,
        "k2": K2,
        "lambda": LAMBDA,
        "seconds": {"torchreid": taken, "SynReID, of distances": seconds, "SynReID, of features": of_features},
        "times_faster": round(taken / seconds, 1),
        "largest_difference": float(np.abs(found - mine).max()),
        "pairs_apart": int((np.abs(found - mine) > RERANKED).sum()),
        "largest_difference_of_features": float(np.abs(found - own).max()),
        "pairs_apart_of_features": int((np.abs(found - own) > RERANKED).sum()),
        "pairs": found.size,
        "scores": {name: {key: summary[key] for key in ("rank1", "map")} for name, summary in after.items()},
    }


if __name__ == "__main__":
    main()
