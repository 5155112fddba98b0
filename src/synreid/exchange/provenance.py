"""Who made a picture, read from the column `maker` of its row."""

from __future__ import annotations

import json
from dataclasses import dataclass

from synreid.exchange.metadata import MADE

IMPORT = "import"  # the operation of pictures that another tool made


@dataclass(frozen=True)
class Maker:
    """What made a picture."""

    tool: str
    """SynReID, or the name of the tool that an imported picture comes from."""
    name: str
    """Fingerprint of SynReID's generator, or the tool's name."""
    imported: bool
    source_type: str
    """The picture's term of the IPTC's vocabulary of digital source types."""


def maker_of(text: str | None, origin: str) -> Maker:
    """Return the maker that a made picture's row names, as `persons make`, `vary` or `import` wrote it."""
    try:
        facts = json.loads(text or "{}")
    except json.JSONDecodeError:
        facts = {}
    name = str(facts.get("maker", "a generator that its table does not name"))
    imported = facts.get("operation") == IMPORT
    return Maker(name if imported else "SynReID", name, imported, facts.get("digital_source_type") or MADE[origin])
