"""What each tab shows for what its controls say, as HTML; whatever cannot be shown is a sentence in its place."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from synreid.app import markup
from synreid.app.choice import Choice, Order, Split, bounds, open_choice, shown
from synreid.app.folder import Material
from synreid.app.person import WAY, Made, Wish, file_name, layer_groups, make_person, open_maker
from synreid.app.ranking import Searcher
from synreid.data.decode import read_picture
from synreid.generate.sample import StyleSampler
from synreid.report.tables import arms_table, differences_table
from synreid.report.words import count, percent, several
from synreid.stage.errors import UserError

SHEET = 24  # pictures of each of the two sheets
TALLEST = 512  # of a made person, in pixels of the screen
REAL_HIDDEN = (
    "Pictures of real persons are not shown: a plain card stands in their place. Start with --show-real to see them."
)


def said(view: Callable[..., Markup]) -> Callable[..., Markup]:
    """Return the view with bad input as its sentence on the page."""

    @functools.wraps(view)
    def guarded(*values: Any, **named: Any) -> Markup:
        try:
            return view(*values, **named)
        except UserError as error:
            return markup.notice(str(error))

    return guarded


def heading(material: Material) -> Markup:
    """Return what stands above the tabs: which folder, and whose pictures."""
    if material.drawn:
        whose = "Every person on this page is drawn or made; none of them exists."
    elif material.show_real:
        whose = "Started with --show-real: pictures of real persons are shown. Treat them as the data's terms ask."
    else:
        whose = REAL_HIDDEN
        if material.generators:
            whose += " A generator may have learned a picture by heart; synreid privacy looks for that."
    head = Markup("<header><h1>SynReID <span>{}</span></h1>{}</header>").format(
        material.folder.resolve().name, markup.paragraph(whose, "soft")
    )
    return Markup("").join([head, *(markup.notice(text) for text in material.left_out)])


class Persons:
    """Persons made by hand, with the generators of a folder."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self._makers: dict[str, StyleSampler] = {}

    def maker(self, name: str) -> StyleSampler:
        """Return the generator of that name; raises UserError where there is none or it may not be looked at."""
        if name not in self.material.generators:
            raise UserError("choose a generator of the list.")
        if name not in self._makers:
            show_persons = self.material.drawn or self.material.show_real
            self._makers[name] = open_maker(self.material.generators[name], show_persons)
        return self._makers[name]

    def groups(self, name: str) -> list[str]:
        """Return the names of the generator's groups of layers."""
        try:
            return list(layer_groups(self.maker(name)))
        except UserError:  # which the view says
            return []

    @said
    def show(
        self,
        generator: str,
        seed: float | None,
        other: float | None,
        truncation: float,
        share: float,
        groups: Sequence[str],
    ) -> Markup:
        """Return the person asked for between the two that it comes from, and the way from one to the other."""
        if seed is None or other is None or seed != int(seed) or other != int(other):
            raise UserError("A seed is a whole number, 0 or more; correct it.")
        maker = self.maker(generator)
        wish = Wish(int(seed), int(other), float(truncation), float(share), tuple(groups))
        return _person(make_person(maker, wish), wish, maker, generator)


def _person(made: Made, wish: Wish, maker: StyleSampler, name: str) -> Markup:
    scale = max(1, min(markup.READABLE, TALLEST // maker.height))
    high, low = scale * maker.height, max(1, scale // 2) * maker.height
    what = f"seed {wish.seed}"
    if wish.share and wish.seed != wish.other:
        within = ", ".join(wish.groups) if 0 < len(wish.groups) < len(layer_groups(maker)) else "all"
        what += f", {wish.share * 100:.0f} % of the way to seed {wish.other} in {within} layers"
    figures = [
        markup.figure(markup.image(made.first, f"person of seed {wish.seed}", low), f"seed {wish.seed}"),
        markup.figure(markup.image(made.picture, what, high), what, "main"),
        markup.figure(markup.image(made.second, f"person of seed {wish.other}", low), f"seed {wish.other}"),
    ]
    way = [
        markup.figure(markup.image(picture, f"{share * 100:.0f} % of the way", low), f"{share * 100:.0f} %")
        for share, picture in zip(WAY, made.way, strict=True)
    ]
    size = f"{maker.height}x{maker.width} pixels, each shown as {scale}x{scale}" if scale > 1 else "shown as it is"
    png = markup.made_png(made.picture, f"SynReID, generator {maker.fingerprint}, {what}")
    return Markup("").join(
        [
            markup.row(figures, "pics person"),
            markup.paragraph(f"{size}; psi {wish.truncation:g}; {name} ({maker.fingerprint}).", "soft middle"),
            Markup('<p class="middle">{}</p>').format(markup.download(png, file_name(wish), "Save this picture (PNG)")),
            markup.paragraph("On the way, in the chosen layers", "label middle"),
            markup.row(way, "pics way"),
        ]
    )


class Choices:
    """The selections of a folder, walked through."""

    def __init__(self, material: Material) -> None:
        self.opened = {name: open_choice(name, place, material) for name, place in material.selections.items()}
        self.scored = {name: choice for name, choice in self.opened.items() if choice.scores}

    def slider(self, name: str, score: str) -> tuple[float, float, float, float]:
        """Return where a score's slider begins, ends and stands, and its step."""
        found = self.scored[name].score(score)
        low, high, step = bounds(found)
        return low, high, found.threshold if found.threshold is not None else low, step

    @said
    def show(self, name: str, score: str, threshold: float, order: Order) -> Markup:
        """Return numbers, distribution and the two sheets for a threshold."""
        if name not in self.scored:
            raise UserError("choose a selection of the list.")
        choice = self.scored[name]
        split = choice.split(score, threshold)
        sheets = [
            _sheet(choice, score, "Kept", split.kept, order),
            _sheet(choice, score, "Discarded", split.discarded, order),
        ]
        parts = [
            _numbers(choice, score, split),
            markup.histogram(choice.score(score), threshold),
            markup.row(sheets, "halves"),
        ]
        return Markup("").join(parts)

    @property
    def unscored(self) -> str:
        """A sentence on selections that judged nothing, empty where there are none."""
        names = [name for name in self.opened if name not in self.scored]
        return f"Without a score, so not to be walked through: {', '.join(names)}." if names else ""


def _numbers(choice: Choice, score: str, split: Split) -> Markup:
    judged = len(split.kept) + len(split.discarded)
    numbers = Markup("<strong>{}</strong> kept, <strong>{}</strong> discarded of {}").format(
        count(len(split.kept)), count(len(split.discarded)), several(judged, "picture")
    )
    stay = percent(len(split.kept) / judged if judged else None)
    persons = f": {stay} % stay, of {count(split.persons_kept)} of {several(split.persons, 'person')}."
    rest = []
    if (own := choice.score(score).threshold) is not None:
        rest.append(f"The selection itself took {own:.4g}, the broken line.")
    if split.unjudged:
        gone = several(split.unjudged, "picture was", "pictures were")
        rest.append(f"{gone} discarded by an earlier rule and not judged by this one.")
    head = Markup('<p class="numbers" role="status">{}{}</p>').format(numbers, persons)
    return head + markup.paragraph(" ".join(rest), "soft")


def _sheet(choice: Choice, score: str, title: str, found: Any, order: Order) -> Markup:
    figures = []
    for row in shown(found, order, SHEET).tolist():
        caption = choice.caption(row, score)
        seen = choice.visible[row]
        picture = markup.image(read_picture(choice.files[row]), caption, 96) if seen else markup.hidden()
        figures.append(markup.figure(picture, caption))
    label = f"{title}: {count(len(found))}"
    if len(found) > len(figures):
        label += f", {len(figures)} shown"
    body = markup.row(figures, "pics small") if figures else markup.paragraph("none", "soft")
    return Markup("<section><h3>{}</h3>{}</section>").format(label, body)


class Searches:
    """Ranked lists for pictures that are handed in."""

    def __init__(self, material: Material, scratch: Path) -> None:
        self.material = material
        self.searcher = Searcher(material, scratch)

    @said
    def show(self, model: str, gallery: str, picture: Path | None, top: float) -> Markup:
        """Return the picture and the ranked list for it; nothing yet where there is no picture."""
        if picture is None:
            return markup.paragraph("Hand in a picture of a person, or take an example.", "soft")
        found = self.searcher.search(model, gallery, Path(picture), int(top))
        asked = markup.image(read_picture(Path(picture)), "the picture asked about", 128)
        hidden = sum(hit.picture is None for hit in found)
        note = f" {REAL_HIDDEN}" if hidden else ""
        size = len(self.material.galleries[gallery].table)
        text = f"The {len(found)} most alike of {several(size, 'picture')}, by the cosine of their features.{note}"
        query = [markup.figure(asked, "asked", "asked"), markup.paragraph(text, "soft")]
        return markup.row(query, "pics hits query") + markup.hits(found)


def study_view(material: Material) -> Markup:
    """Return the study's question, answer and tables, and its report within the page."""
    study = material.study
    assert study is not None
    parts = [markup.paragraph(study.question, "soft"), markup.paragraph(study.answer, "answer")]
    parts += [_titled("Arms", markup.table(arms_table(study)))]
    if study.differences:
        parts.append(_titled("Differences", markup.table(differences_table(study))))
    if study.notes:
        notes = Markup("").join(Markup("<li>{}</li>").format(note) for note in study.notes)
        parts.append(_titled("Notes", Markup("<ul>{}</ul>").format(notes)))
    return Markup("").join([*parts, _titled("The report", _report(material))])


def _titled(title: str, body: Markup) -> Markup:
    return Markup("<h3>{}</h3>{}").format(title, body)


def _report(material: Material) -> Markup:
    if material.report is None:
        return markup.paragraph("There is none yet; synreid report writes it.", "soft")
    hidden = not (material.drawn or material.show_real)
    note = markup.paragraph(f"Its pictures are left out here. {REAL_HIDDEN}", "soft") if hidden else Markup("")
    return note + Markup(
        '<p><a href="report.html" target="_blank" rel="noopener">Open it in a page of its own</a></p>'
        '<iframe class="report" src="report.html" title="The study\'s report" sandbox="allow-downloads"></iframe>'
    )
