"""Starts and ends the page's server, on this machine only, with a folder of its own that is deleted at the end."""

from __future__ import annotations

import importlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synreid.app.folder import Material, find_material
from synreid.app.guard import Guard
from synreid.app.page import STYLE, build, theme
from synreid.app.ranking import MAX_BYTES, UPLOADS
from synreid.app.study import report_page
from synreid.stage.errors import UserError
from synreid.stage.log import say

HOST = "127.0.0.1"  # nothing here is fit for a network: there are no users and no passwords


def serve(folder: Path, data: Path | None = None, port: int = 7860, show_real: bool = False) -> None:
    """Show `folder` at http://127.0.0.1:port until the process is told to stop.

    `data` are pictures to search in; `show_real` allows pictures of real persons to be shown. Raises UserError for a
    folder with nothing to show, a port that is taken, and where gradio is not installed.
    """
    if not 1 <= port <= 65_535:
        raise UserError(f"port is {port}, but must lie in 1 to 65535; correct it.")
    material = find_material(folder, data, show_real)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the scratch folder is deleted then too
    with running(material, port) as address:
        say(f"{address} shows {folder}; ctrl-C ends it.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            say("The page is closed.")


@contextmanager
def running(material: Material, port: int) -> Iterator[str]:
    """Serve the page while the context lasts; yields its address."""
    with tempfile.TemporaryDirectory(prefix="synreid-app-", ignore_cleanup_errors=True) as scratch:
        place = Path(scratch).resolve()
        gradio = load_gradio(place / UPLOADS)
        page = build(gradio, material, place)
        try:
            page.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                prevent_thread_lock=True,
                quiet=True,
                show_error=True,
                ssr_mode=False,
                mcp_server=False,
                pwa=False,
                enable_monitoring=False,
                footer_links=[],
                theme=theme(gradio),
                css=STYLE.read_text(encoding="utf-8"),
                max_file_size=MAX_BYTES,
                allowed_paths=[],
                app_kwargs=_server(material),
            )
        except OSError as error:
            raise UserError(f"port {port} is in use, or not free to use; name another one by --port.") from error
        try:
            yield f"http://{HOST}:{port}"
        finally:
            page.close(verbose=False)


def load_gradio(uploads: Path) -> Any:
    """Return the library, told to keep to itself; raises UserError where it is not installed.

    It reads these when it is imported: where handed-in files go, and that nothing is counted, recorded or asked for.
    """
    uploads.mkdir(parents=True)
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    try:
        return importlib.import_module("gradio")
    except ImportError as error:
        raise UserError(
            "the page needs the package gradio, which is not installed: pip install 'synreid[app]'."
        ) from error


def _server(material: Material) -> dict[str, Any]:
    """Return what gradio's web server is made with: the guard before it, and the report as its one other page."""
    from starlette.middleware import Middleware
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    def report(_: Any) -> Response:
        assert material.report is not None
        return HTMLResponse(report_page(material.report, material.drawn or material.show_real))

    routes = [Route("/report.html", report)] if material.report is not None else []
    return {"middleware": [Middleware(Guard)], "routes": routes, "openapi_url": None}
