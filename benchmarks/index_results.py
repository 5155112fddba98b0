"""Writes `results/README.md`: every measurement, what it answers and the command that makes it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synreid.stage.files import read_json, write_text

RESULTS = Path(__file__).parent.parent / "results"
HEAD = """# Results

Every file here was written by the command beside it, with machine, versions and seeds inside. Made by
`python benchmarks/index_results.py`.

| file | what it answers | command | machine |
|---|---|---|---|
"""


def main() -> None:
    """Write the index."""
    lines = [_line(path, read_json(path)) for path in sorted(RESULTS.rglob("*.json"))]
    notes = sorted(path for path in RESULTS.rglob("*.md") if path.name != "README.md")
    text = HEAD + "".join(lines)
    text += "\n## The studies at a glance\n\n"
    text += "![Change of mAP by made pictures, against as many steps on real ones, in every study](studies/all.png)\n"
    text += "\nDrawn by `python benchmarks/studies_figure.py`.\n"
    if notes:
        text += "\n## What was seen\n\n" + "".join(
            f"- [{_title(path)}]({path.relative_to(RESULTS)})\n" for path in notes
        )
    write_text(RESULTS / "README.md", text)


def _line(path: Path, result: dict[str, Any]) -> str:
    name = path.relative_to(RESULTS)
    what = next((str(result[key]) for key in ("what", "question", "asked") if isinstance(result.get(key), str)), "")
    machine = result["machine"]
    on = machine.get("gpu") or f"{machine['cpu']}, {machine['cores']} cores"
    more = "" if result.get("finished", True) else "; not all rows yet"
    return f"| [{name}]({name}) | {what}{more} | `{result['command']}` | {on} |\n"


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


if __name__ == "__main__":
    main()
