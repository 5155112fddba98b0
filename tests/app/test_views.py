"""What the tabs say and show."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synreid.app.folder import find_material
from synreid.app.person import Wish, make_person
from synreid.app.views import Choices, Persons, Searches, heading, study_view
from synreid.generate.sample import StyleSampler
from synreid.stage.errors import UserError


def pictures(page: str) -> list[np.ndarray]:
    """Return the pictures in a piece of HTML."""
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data in found]


def test_person_is_shown_four_times_as_large_and_can_be_saved(made_study: Path) -> None:
    persons = Persons(find_material(made_study))
    page = persons.show("gan", 5, 9, 0.7, 0.5, ["coarse"])
    made = make_person(persons.maker("gan"), Wish(5, 9, 0.7, 0.5, ("coarse",)))
    assert (pictures(page)[1] == made.picture).all()
    assert 'width="32" height="64"' in page and "16x8 pixels, each shown as 4x4" in page
    assert "seed 5, 50 % of the way to seed 9 in coarse layers" in page and "psi 0.7" in page
    assert 'download="person-5-psi-0.7-0.5-of-9-coarse.png"' in page


@pytest.mark.parametrize("seed", [None, 0.5, -3])
def test_bad_seed_is_a_sentence_on_the_page(made_study: Path, seed: float | None) -> None:
    page = Persons(find_material(made_study)).show("gan", seed, 1, 0.7, 0.5, [])
    assert 'class="notice"' in page and not pictures(page)


def test_threshold_shows_its_numbers_and_sheets(made_study: Path) -> None:
    choices = Choices(find_material(made_study))
    low, high, own, step = choices.slider("select", "consistency")
    assert low <= own <= high and step > 0
    page = choices.show("select", "consistency", own, "at the threshold")
    assert "<strong>16</strong> kept, <strong>0</strong> discarded of 16 pictures" in page
    assert "4 of 4 persons" in page and "The selection itself took -1" in page
    assert len(pictures(page)) == 16
    page = choices.show("select", "consistency", high, "at the threshold")
    assert "<strong>0</strong> kept, <strong>16</strong> discarded" in page and "0.0 % stay, of 0 of 4 persons" in page
    assert "choose a selection" in choices.show("/etc", "consistency", 0.5, "at the threshold")


def test_ranked_real_pictures_become_cards(copied: Callable[..., Path], tmp_path: Path) -> None:
    study = copied(real=True)
    query = sorted((study / "street" / "query").iterdir())[0]
    for show_real in (False, True):
        material = find_material(study, study / "street", show_real)
        page = Searches(material, tmp_path / str(show_real)).show(
            "real pictures, seed 0", "gallery of street", query, 5
        )
        assert len(pictures(page)) == (6 if show_real else 1)  # what was asked with is shown in any case
        assert page.count("hidden-card") == (0 if show_real else 5)
        assert ("Pictures of real persons are not shown" in page) != show_real


def test_search_waits_for_a_picture(made_study: Path, tmp_path: Path) -> None:
    assert "Hand in a picture" in Searches(find_material(made_study), tmp_path).show("m", "g", None, 5)


def test_study_tells_its_answer_and_tables_as_text(made_study: Path, copied: Callable[..., Path]) -> None:
    page = study_view(find_material(made_study))
    assert "Adding 4 &lt;b&gt;persons&lt;/b&gt; changed mAP by nothing." in page and "<b>" not in page
    assert "arms.csv" in page and "differences.csv" in page and 'src="report.html"' in page
    assert "left out here" not in page
    study = copied(real=True)
    assert "Its pictures are left out here" in study_view(find_material(study))
    (study / "report.html").unlink()
    assert "synreid report writes it" in study_view(find_material(study))


def test_drawn_persons_are_made_again_but_real_ones_only_if_asked(
    copied: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_material(copied())
    loaded = Persons(found).maker("gan")
    loaded.network.cond = "pid"
    monkeypatch.setattr(StyleSampler, "load", lambda *_: loaded)
    assert Persons(found).maker("gan") is loaded
    found.drawn = False
    with pytest.raises(UserError, match="real persons that it was trained by"):
        Persons(found).maker("gan")
    found.show_real = True
    assert Persons(found).maker("gan") is loaded


def test_heading_says_whose_pictures_are_shown(made_study: Path, copied: Callable[..., Path]) -> None:
    assert "none of them exists" in heading(find_material(made_study))
    study = copied(real=True)
    assert "are not shown" in heading(find_material(study))
    assert "pictures of real persons are shown" in heading(find_material(study, show_real=True))
