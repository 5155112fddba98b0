"""Which requests are answered, and what the report gives out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from synreid.app.guard import Guard, refusal
from synreid.app.study import report_page
from synreid.stage.errors import UserError

HERE = "127.0.0.1:7860"


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/upload", "/gradio_api/queue/join", "/report.html"])
def test_own_page_is_answered(path: str) -> None:
    assert refusal(path, HERE, None) is None
    assert refusal(path, HERE, f"http://{HERE}") is None
    assert refusal(path, "localhost:7860", "http://localhost:7860") is None


@pytest.mark.parametrize(
    ("path", "host", "origin"),
    [
        ("/", "evil.example", None),  # a name that was made to point here
        ("/", "127.0.0.1.evil.example:7860", None),
        ("/", "", None),
        ("/gradio_api/upload", HERE, "https://evil.example"),
        ("/gradio_api/upload", HERE, "http://127.0.0.1:80"),
        ("/gradio_api/upload", HERE, "null"),
        ("/gradio_api/file=/etc/passwd", HERE, None),
        ("/gradio_api/file=https://evil.example/x", HERE, None),
        ("/gradio_api/proxy=https://evil.example", HERE, None),
        ("/gradio_api/info", HERE, None),
        ("/gradio_api/call/show", HERE, None),
    ],
)
def test_all_else_is_refused(path: str, host: str, origin: str | None) -> None:
    assert refusal(path, host, origin) is not None


@pytest.mark.parametrize(("host", "wanted"), [(HERE, 200), ("evil.example", 403)])
def test_answers_carry_the_policy(host: str, wanted: int) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/", "headers": [(b"host", host.encode())]}
    asyncio.run(Guard(app)(scope, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == wanted
    if wanted == 200:
        policy = dict(sent[0]["headers"])[b"content-security-policy"]
        assert b"default-src 'self'" in policy and b"http" not in policy


def test_report_without_pictures_keeps_its_charts(tmp_path: Path) -> None:
    chart = "<svg><path d='M0 0'/></svg>"
    table = "<a href='data:text/csv;base64,QQ=='>csv</a>"
    photographs = "".join(f'<img src="data:image/{kind};base64,QUJD+/==">' for kind in ("jpeg", "png", "webp"))
    report = tmp_path / "report.html"
    report.write_text(chart + table + photographs, encoding="utf-8")
    page = report_page(report, pictures=False)
    assert chart in page and table in page and "QUJD" not in page and page.count("<img src=") == 3
    assert "QUJD" in report_page(report, pictures=True)


def test_lost_report_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not readable"):
        report_page(tmp_path / "report.html", pictures=True)
