from __future__ import annotations

from pathlib import Path

from synreid.stage.metrics import MetricsLog, read_metrics


def test_resumed_log_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        for step in range(5):
            log.write(step, loss=step / 2)
    with MetricsLog(tmp_path, resume_step=2) as log:
        log.write(3, loss=9.0)
    assert [(line["step"], line["loss"]) for line in read_metrics(tmp_path)] == [(0, 0), (1, 0.5), (2, 1), (3, 9)]


def test_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    assert read_metrics(tmp_path) == [{"step": 1}]
