"""Access to the stack's Prefect server: for its own host and origin only, with a page that signs a browser in.

The server itself asks for an auth string. This keeps out web pages of other sites as well, which a browser on this
machine lets reach 127.0.0.1: their requests carry their origin, or, after DNS rebinding, their host name.
"""

from __future__ import annotations

import base64
import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from hybridloop.local_stack.prefect_settings import LOOPBACK, SIGN_IN_PATH

# Prefect's pages read the auth string, in base64, from this item of the browser's storage.
_SCRIPT = """
const key = location.hash.slice(1);
fetch("/api/admin/version", {headers: {Authorization: "Basic " + key}}).then((answer) => {
  if (answer.ok) {
    localStorage.setItem("prefect-password", key);
    location.replace("/");
  } else {
    document.body.textContent = "This link is not valid any more; `hybridloop status` prints the current one.";
  }
});
"""
_PAGE = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Sign in to Prefect</title>
<body>Signing in to the local Prefect server.</body><script>{_SCRIPT}</script></html>
"""
_SCRIPT_DIGEST = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_SIGN_IN_POLICY = f"default-src 'none'; script-src 'sha256-{_SCRIPT_DIGEST}'; connect-src 'self'; base-uri 'none'"


class OwnOriginMiddleware:
    """ASGI middleware that refuses requests of other sites' pages, and forbids that such pages frame these ones."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = frozenset(f"{name}:{port}" for name in LOOPBACK)
        self._origin = f"http://{LOOPBACK[0]}:{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.append("Content-Security-Policy", "frame-ancestors 'none'")
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
            await send(message)

        await self._answer(scope)(scope, receive, send_guarded)

    def _answer(self, scope: Scope) -> ASGIApp:
        headers = Headers(scope=scope)
        refusal = ""
        if [host.lower() for host in headers.getlist("host")] not in [[host] for host in self._hosts]:
            refusal = "The Host header does not name this server."
        elif any(origin != self._origin for origin in headers.getlist("origin")):
            refusal = "Pages of other origins have no access to this server."
        if refusal:
            return WebSocketClose(code=1008) if scope["type"] == "websocket" else PlainTextResponse(refusal, 403)
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == SIGN_IN_PATH:
            return _sign_in_page()
        return self._app


def _sign_in_page() -> Response:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _SIGN_IN_POLICY, "Cache-Control": "no-store"})
