"""The page itself: gradio's controls, wired to the views. No logic stands here."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from markupsafe import Markup

from synreid.app import markup
from synreid.app.folder import Material
from synreid.app.ranking import LIMITS, UPLOADS, checked_upload, examples
from synreid.app.views import Choices, Persons, Searches, heading, study_view
from synreid.data.decode import SUFFIXES
from synreid.stage.errors import UserError

ORDERS = ["at the threshold", "spread over all"]
KEPT = (600, 3600)  # seconds: what was handed in is looked over so often, and deleted when it is so old
STYLE = Path(__file__).with_name("page.css")
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
LIVE: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}  # of what is dragged, the last place counts
SLOW: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}


def build(gradio: Any, material: Material, scratch: Path) -> Any:
    """Return the page, a `gradio.Blocks`, of all that a folder holds; `scratch` is a folder for indexes."""
    title = f"SynReID · {material.folder.resolve().name}"
    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=KEPT) as page:
        gradio.HTML(heading(material))
        with gradio.Tabs():
            if material.generators:
                with gradio.Tab("Make a person"):
                    _person_tab(gradio, material)
            if material.models and material.galleries:
                with gradio.Tab("Search a gallery"):
                    _search_tab(gradio, material, scratch)
            if material.selections:
                with gradio.Tab("Kept and discarded"):
                    _choice_tab(gradio, material)
            if material.study is not None:
                with gradio.Tab("The study"):
                    gradio.HTML(study_view(material), elem_id="study")
    return page


def _person_tab(gradio: Any, material: Material) -> None:
    persons = Persons(material)
    names = list(material.generators)
    groups = persons.groups(names[0])
    first = (names[0], 0, 1, 0.7, 0.5, groups)
    with gradio.Row(equal_height=False):
        with gradio.Column(scale=2, min_width=280):
            generator = gradio.Dropdown(names, value=names[0], label="Generator", visible=len(names) > 1)
            with gradio.Row():
                seed = gradio.Number(0, precision=0, minimum=0, label="Seed", min_width=110)
                other = gradio.Number(1, precision=0, minimum=0, label="Other seed", min_width=110)
            share = gradio.Slider(0, 1, 0.5, step=0.01, label="On the way to the other")
            chosen = gradio.CheckboxGroup(
                groups,
                value=groups,
                label="Layers that go there",
                info="Coarse layers hold pose and outline, fine ones colours and texture.",
                visible=bool(groups),
            )
            truncation = gradio.Slider(
                0, 1, 0.7, step=0.01, label="Truncation", info="0: the mean person; 1: the whole variety."
            )
            others = gradio.Button("Two other persons")
        with gradio.Column(scale=3, min_width=300):
            shown = gradio.HTML(persons.show(*first), elem_id="person")
    controls = [generator, seed, other, truncation, share, chosen]
    for control in controls[1:]:
        control.change(persons.show, controls, shown, **LIVE)
    others.click(lambda: (random.randrange(100_000), random.randrange(100_000)), None, [seed, other], **QUIET)

    def changed(name: str, *values: Any) -> tuple[Any, Markup]:
        known = persons.groups(name)
        update = gradio.update(choices=known, value=known, visible=bool(known))
        return update, persons.show(name, *values[:-1], known)

    generator.change(changed, controls, [chosen, shown], **QUIET)


def _choice_tab(gradio: Any, material: Material) -> None:
    choices = Choices(material)
    if choices.unscored:
        gradio.HTML(markup.paragraph(choices.unscored, "soft"))
    if not choices.scored:
        return
    names = list(choices.scored)
    scores = list(choices.scored[names[0]].scores)
    low, high, value, step = choices.slider(names[0], scores[0])
    with gradio.Row(equal_height=False):
        name = gradio.Dropdown(names, value=names[0], label="Selection", visible=len(names) > 1, min_width=160)
        score = gradio.Dropdown(scores, value=scores[0], label="Score", min_width=160)
        order = gradio.Radio(ORDERS, value=ORDERS[0], label="Pictures shown", scale=2, min_width=300)
    threshold = gradio.Slider(low, high, value, step=step, label="Threshold", elem_id="threshold")
    own = gradio.Button("Back to the selection's own threshold", size="sm", elem_id="own")
    shown = gradio.HTML(choices.show(names[0], scores[0], value, ORDERS[0]), elem_id="choice")

    def scored(chosen: str, asked: str, how: Any) -> tuple[Any, Markup]:
        low, high, value, step = choices.slider(chosen, asked)
        update = gradio.update(minimum=low, maximum=high, step=step, value=value)
        return update, choices.show(chosen, asked, value, how)

    def selected(chosen: str, asked: str, how: Any) -> tuple[Any, Any, Markup]:
        known = list(choices.scored[chosen].scores)
        asked = asked if asked in known else known[0]
        return gradio.update(choices=known, value=asked), *scored(chosen, asked, how)

    name.input(selected, [name, score, order], [score, threshold, shown], **QUIET)
    score.input(scored, [name, score, order], [threshold, shown], **QUIET)
    own.click(scored, [name, score, order], [threshold, shown], **QUIET)
    threshold.input(choices.show, [name, score, threshold, order], shown, **LIVE)
    order.input(choices.show, [name, score, threshold, order], shown, **QUIET)


def _search_tab(gradio: Any, material: Material, scratch: Path) -> None:
    searches = Searches(material, scratch)
    models, galleries, own = list(material.models), list(material.galleries), examples(material)
    asked = gradio.State(None)  # lies in the server, so that no page can name a file
    with gradio.Row(equal_height=False):
        with gradio.Column(scale=2, min_width=280):
            upload = gradio.File(
                label="Picture of a person", file_types=list(SUFFIXES), type="filepath", height=150, elem_id="upload"
            )
            _take_no_addresses(upload)
            gradio.HTML(markup.paragraph(f"{LIMITS}. It stays on this machine and is deleted at the end.", "soft"))
            example = gradio.Button("Take an example", visible=bool(own))
            gallery = gradio.Dropdown(galleries, value=galleries[0], label="Search in", visible=len(galleries) > 1)
            model = gradio.Dropdown(models, value=models[0], label="Model", visible=len(models) > 1)
            top = gradio.Slider(5, 50, 20, step=5, label="How many")
        with gradio.Column(scale=5, min_width=300):
            shown = gradio.HTML(searches.show(models[0], galleries[0], None, 20), elem_id="ranked")

    def taken(path: str | None, *values: Any) -> tuple[Path | None, Markup]:
        try:
            picture = Path(path) if path is not None else None
            checked_upload(picture, scratch / UPLOADS)
        except UserError as error:
            return None, markup.notice(str(error))
        model, gallery, top = values
        return picture, searches.show(model, gallery, picture, top)

    def drawn(model: str, gallery: str, top: float) -> tuple[Path, Markup]:
        picture = random.choice(own)
        return picture, searches.show(model, gallery, picture, top)

    controls = [model, gallery, top]
    upload.upload(taken, [upload, *controls], [asked, shown], **SLOW)
    example.click(drawn, controls, [asked, shown], **SLOW)
    for control in controls:
        control.input(searches.show, [model, gallery, asked, top], shown, **SLOW)


def _take_no_addresses(upload: Any) -> None:
    """Keep gradio from fetching a picture from the network, which it does for an upload that names an address."""
    move = upload.async_move_resource_to_block_cache

    async def moved(place: Any) -> Any:
        if str(place).lower().startswith(("http:", "https:")):
            raise UserError("An address is not a picture: only files that are handed in here are searched for.")
        return await move(place)

    upload.async_move_resource_to_block_cache = moved


def theme(gradio: Any) -> Any:
    """Return the page's look, with the fonts of the reader's own machine."""
    sans = ["system-ui", "Segoe UI", "Roboto", "Noto Sans", "Helvetica Neue", "Arial", "sans-serif"]
    mono = ["ui-monospace", "Consolas", "monospace"]
    look = gradio.themes.Base(primary_hue="blue", neutral_hue="stone", font=sans, font_mono=mono)
    return look.set(
        body_background_fill="#fdfcfa",
        body_text_color_subdued="#6b6861",
        body_text_color_subdued_dark="#a5a199",
        block_info_text_color="#6b6861",
        block_info_text_color_dark="#a5a199",
    )
