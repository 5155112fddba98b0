"""The page in a real browser: drag, click, upload, look; nothing is asked of the network, nothing is left behind."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 120_000  # milliseconds, for machines at work on other things

pytestmark = pytest.mark.slow
pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
if not CHROMIUM.exists():
    pytest.skip(f"there is no {CHROMIUM}", allow_module_level=True)


@pytest.fixture(scope="module")
def address(made_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of the study, served by a process that is ended as a user would end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scratch = tmp_path_factory.mktemp("scratch")
    command = [sys.executable, "-m", "synreid", "app", str(made_study), "--port", str(port)]
    environment = {**os.environ, "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        for line in server.stderr:
            if "shows" in line:
                break
        assert server.poll() is None, "the server ended"
        yield f"http://127.0.0.1:{port}"
        server.send_signal(signal.SIGTERM)  # a shell may have told its background jobs to ignore SIGINT
        assert server.wait(60) == 0
        assert not list(scratch.glob("synreid-app-*"))
    finally:
        server.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Any]:
    """The opened page; the test fails if it asked for anything from elsewhere, or if it complains."""
    width, height = request.param
    opened = browser.new_page(viewport={"width": width, "height": height})
    opened.set_default_timeout(PATIENCE)
    asked: list[str] = []
    complaints: list[str] = []
    opened.on("request", lambda one: asked.append(one.url))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(address)
    opened.get_by_role("tab", name="Make a person").wait_for()
    yield opened
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert complaints == []
    opened.close()


def open_tab(page: Any, name: str) -> None:
    if not page.get_by_role("tab", name=name).is_visible():  # on a phone some are in a menu
        page.locator(".overflow-menu > button").click()
        page.locator(".overflow-dropdown").get_by_text(name).click()
    else:
        page.get_by_role("tab", name=name).click()


def drag(page: Any, slider: Any, share: float) -> None:
    """Take a slider's handle by the mouse to a share of its length."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()


def shown(place: Any) -> np.ndarray:
    """Return a screenshot of a part of the page, uint8 [H, W, 3]."""
    return np.asarray(Image.open(io.BytesIO(place.screenshot())).convert("RGB"))


def test_person_follows_the_slider(page: Any) -> None:
    person = page.locator("#person .main img")
    person.wait_for()
    before, file = shown(person), person.get_attribute("src")
    drag(page, page.get_by_role("slider", name="On the way to the other"), 0.98)
    page.wait_for_function("old => document.querySelector('#person .main img').src != old", arg=file)
    after = shown(person)
    assert len(np.unique(after.reshape(-1, 3), axis=0)) > 20  # a picture, not a plain field
    assert before.shape == after.shape and (before != after).any()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save this picture").click()
    assert saved.value.suggested_filename.startswith("person-0-psi-0.7-")
    assert Image.open(saved.value.path()).size == (8, 16)


def test_threshold_takes_effect_at_once(page: Any) -> None:
    open_tab(page, "Kept and discarded")
    numbers = page.locator("#choice .numbers")
    numbers.wait_for()
    assert "16 kept, 0 discarded" in numbers.inner_text()
    drag(page, page.get_by_role("slider", name="Threshold"), 1.0)
    page.get_by_text("16 discarded").wait_for()
    assert "0 kept" in numbers.inner_text()
    page.get_by_role("button", name="Back to the selection's own").click()
    page.get_by_text("16 kept").wait_for()
    assert shown(page.locator("#choice .small").first).std() > 5


def test_upload_is_searched_for(page: Any, made_study: Path, tmp_path: Path) -> None:
    open_tab(page, "Search a gallery")
    query = sorted((made_study / "street" / "query").iterdir())[0]
    page.locator("#upload input[type=file]").set_input_files(str(query))
    page.locator("#ranked figure").nth(20).wait_for()
    assert page.locator("#ranked figcaption").nth(1).inner_text().startswith("1: ")
    assert shown(page.locator("#ranked")).std() > 5
    words = tmp_path / "words.png"
    words.write_text("no picture", encoding="utf-8")
    page.get_by_role("button", name="Clear").first.click()
    page.locator("#upload input[type=file]").set_input_files(str(words))
    page.get_by_text("words.png is not a picture").wait_for()


def test_study_is_read_with_its_report(page: Any) -> None:
    open_tab(page, "The study")
    page.get_by_text("changed mAP by nothing").wait_for()
    page.frame_locator("iframe.report").get_by_role("heading", name="Report").wait_for()


@pytest.mark.parametrize(
    ("path", "why"), [("/etc/passwd", "Cannot move /etc/passwd"), ("http://127.0.0.1:1/x.png", "An address is not")]
)
def test_path_in_place_of_an_upload_is_refused(address: str, path: str, why: str) -> None:
    """What a program might send that leaves the page aside: the number of the upload's event, and a path."""
    config = json.load(urllib.request.urlopen(f"{address}/config"))
    event = next(
        entry["id"] for entry in config["dependencies"] if any(target[1] == "upload" for target in entry["targets"])
    )
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    data = [file, "real pictures, seed 0", "gallery of street", 5]
    body = json.dumps({"data": data, "fn_index": event, "session_hash": why}).encode()
    request = urllib.request.Request(
        f"{address}/gradio_api/queue/join", body, headers={"Content-Type": "application/json"}
    )
    try:
        urllib.request.urlopen(request)
        answer = urllib.request.urlopen(f"{address}/gradio_api/queue/data?session_hash={quote(why)}", timeout=60)
        text = ""
        for line in answer:
            text += line.decode()
            if "process_completed" in text:
                break
    except urllib.error.HTTPError as error:
        text = error.read().decode()
    assert why in text and "root:" not in text and "data:image" not in text


def test_folder_is_left_as_it_was(address: str, made_study: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made_study.rglob("*")}
    urllib.request.urlopen(address).read()
    time.sleep(0.1)
    assert {path: path.stat().st_mtime_ns for path in made_study.rglob("*")} == before
