"""What stands before the web server: only this machine's own page is answered, and the page may load from nowhere else.

A page that only listens on this machine can still be reached by any web site that its user has open: by its address in
a form, or by a name that is made to point here (DNS rebinding). Hence Host and Origin are looked at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HERE = ("127.0.0.1", "localhost")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-src 'self'; frame-ancestors 'self'; form-action 'self'; object-src 'none'; base-uri 'self'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
# All that the page asks of gradio; by its other addresses files are read, other servers asked, and the API described.
GRADIO = "/gradio_api/"
ALLOWED = (
    "upload",
    "queue/join",
    "queue/data",
    "heartbeat/",
    "startup-events",
    "theme.css",
    "cancel",
    "reset",
    "app_id",
)


def refusal(path: str, host: str, origin: str | None) -> str | None:
    """Return why a request is not answered, or None.

    `host` and `origin` are the request's headers of that name, `origin` None where it has none.
    """
    if urlsplit(f"//{host}").hostname not in HERE:
        return "This page answers only under its own address, 127.0.0.1."
    if origin is not None and urlsplit(origin).netloc != host:
        return "This page does not answer other pages."
    if path.startswith(GRADIO) and not path.removeprefix(GRADIO).startswith(ALLOWED):
        return "This page gives out no files and has no API."
    return None


class Guard:
    """ASGI middleware: refuses what `refusal` names, and sends HEADERS with each answer."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = {name: value.decode("latin-1") for name, value in scope["headers"]}
        why = refusal(scope["path"], given.get(b"host", ""), given.get(b"origin"))
        if scope["type"] == "websocket":  # gradio has none
            return
        if why is not None:
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": why.encode()})
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        await self.app(scope, receive, sent)
