"""Pieces of the page as HTML: pictures within it, cards in place of hidden ones, tables, a histogram."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup
from PIL import Image

from synreid.app.choice import Score, bins
from synreid.app.ranking import Hit
from synreid.exchange.metadata import MADE, xmp_packet
from synreid.exchange.pictures import png
from synreid.report.tables import Table

READABLE = 4  # times that a made picture's pixels are enlarged
MOST_HEIGHT = 256  # of a picture in the page, in its own pixels
BARS = (400, 90)  # width and height of the histogram


def made_png(rgb: np.ndarray, tool: str) -> bytes:
    """Return a made picture, uint8 [H, W, 3], as a PNG file that says in its metadata that a model made it.

    IPTC's digital source type for pictures of trained models, as `export` writes it.
    """
    return png(rgb, xmp_packet(MADE["artificial"], tool))


def _uri(file: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(file).decode("ascii")


def image(rgb: np.ndarray, words: str, height: int) -> Markup:
    """Return a picture, uint8 [H, W, 3], shown `height` pixels high; `words` say what it is to those who cannot see."""
    picture = Image.fromarray(rgb)
    if picture.height > MOST_HEIGHT:
        picture = picture.resize((max(1, picture.width * MOST_HEIGHT // picture.height), MOST_HEIGHT))
    width = round(height * rgb.shape[1] / rgb.shape[0])
    return Markup('<img src="{}" alt="{}" width="{}" height="{}">').format(
        _uri(png(np.asarray(picture))), words, width, height
    )


def figure(shown: Markup, caption: str, kind: str = "") -> Markup:
    """Return a picture or a card with what stands under it."""
    return Markup('<figure class="{}">{}<figcaption>{}</figcaption></figure>').format(kind, shown, caption)


def row(figures: Iterable[Markup], kind: str = "pics") -> Markup:
    """Return figures side by side, in as many lines as the screen needs."""
    return Markup('<div class="{}">{}</div>').format(kind, Markup("").join(figures))


def hidden(words: str = "not shown") -> Markup:
    """Return the plain card that stands for a picture of a real person."""
    return Markup('<div class="hidden-card">{}</div>').format(words)


def notice(text: str) -> Markup:
    """Return a sentence that the reader should not overlook."""
    return Markup('<p class="notice" role="status">{}</p>').format(text)


def paragraph(text: str, kind: str = "") -> Markup:
    """Return a paragraph."""
    return Markup('<p class="{}">{}</p>').format(kind, text)


def download(png: bytes, name: str, words: str) -> Markup:
    """Return a link that saves a PNG file under a name."""
    return Markup('<a class="save" href="{}" download="{}">{}</a>').format(_uri(png), name, words)


def hits(found: Sequence[Hit]) -> Markup:
    """Return a ranked list: each picture, or a card in its place, with rank, similarity, person and camera."""
    figures = []
    for hit in found:
        person, camera = (name.rpartition("/")[2] if name is not None else "" for name in (hit.pid, hit.camera))
        caption = f"{hit.rank}: {hit.similarity:.3f}\n{person or 'no identity'} {camera}".strip()
        words = f"rank {hit.rank}, {person or 'no identity'}"
        shown = hidden() if hit.picture is None else image(hit.picture, words, 128)
        figures.append(figure(shown, caption))
    return row(figures, "pics hits")


def table(found: Table) -> Markup:
    """Return a table that scrolls sideways where it must."""
    cells = Markup("").join(
        Markup('<th scope="col" class="{}">{}</th>').format("word" if place < found.words else "", cell)
        for place, cell in enumerate(found.head)
    )
    lines = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                Markup('<td class="{}">{}</td>').format("word" if place < found.words else "", cell)
                for place, cell in enumerate(line)
            )
        )
        for line in found.rows
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{0}"><table><thead><tr>{1}</tr></thead>'
        '<tbody>{2}</tbody></table></div><p class="soft">{0} <a href="{3}" download="{4}.csv">{4}.csv</a></p>'
    ).format(found.caption, cells, lines, found.csv_uri, found.name)


def histogram(score: Score, threshold: float) -> Markup:
    """Return how a score is distributed, as SVG: kept pictures filled, discarded ones in outline, thresholds as lines.

    The threshold in question is a whole line, the selection's own a broken one.
    """
    edges, kept, discarded = bins(score, threshold)
    width, height = BARS
    most = max(int((kept + discarded).max()), 1)
    low, span = edges[0], edges[-1] - edges[0]
    bars = [
        bar
        for place, (above, below) in enumerate(zip(kept.tolist(), discarded.tolist(), strict=True))
        for bar in _bars(place, above * height / most, below * height / most, width / len(kept), height)
    ]
    lines = [_line((threshold - low) / span * width, height, "now")]
    if score.threshold is not None:
        lines.append(_line((score.threshold - low) / span * width, height, "own"))
    return Markup(
        '<svg class="bars" viewBox="0 -4 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
        '<div class="ends"><span>{}</span><span>{}</span></div>'
    ).format(
        width,
        height + 4,
        f"Distribution of {score.name}",
        Markup("").join([*bars, *lines]),
        f"{low:.3g}",
        f"{edges[-1]:.3g}",
    )


def _bars(place: int, kept: float, discarded: float, width: float, height: float) -> list[Markup]:
    shape = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    left, wide = place * width + 0.5, width - 1
    found = []
    if kept:
        found.append(shape.format("kept", left, height - kept, wide, kept))
    if discarded:
        found.append(shape.format("gone", left, height - kept - discarded, wide, discarded))
    return found


def _line(x: float, height: float, kind: str) -> Markup:
    return Markup('<line class="{0}" x1="{1:.1f}" x2="{1:.1f}" y1="-4" y2="{2}"/>').format(kind, x, height)
