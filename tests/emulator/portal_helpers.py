"""Plain HTTP client of the portal, in place of a browser: cookie, Origin header, forms."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from urllib.parse import quote

from tests.conftest import SUBSCRIPTION, Emulator
from tests.emulator.http_helpers import Caller, Reply, raw_call


@dataclass(slots=True)
class Visitor:
    """Client that reads pages and sends forms as a browser does; the headers of a call replace its own."""

    emulator: Emulator
    cookie: str = ""

    def get(self, path: str, **headers: str) -> Reply:
        return raw_call(self.emulator.endpoint, "GET", path, None, {"Cookie": self.cookie, **headers})

    def page(self, path: str) -> str:
        """Return the HTML of a page that must exist."""
        reply = self.get(path)
        assert reply.status == 200, reply.body
        return reply.body.decode()

    def press(self, path: str, **headers: str) -> Reply:
        """Send the form of the button that posts to `path`."""
        defaults = {
            "Cookie": self.cookie,
            "Origin": self.emulator.endpoint.rstrip("/"),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return raw_call(self.emulator.endpoint, "POST", path, b"", {**defaults, **headers})

    def sign_in(self) -> None:
        reply = self.get(self.emulator.admin("portal", {})["path"])
        self.cookie = reply.headers["set-cookie"].partition(";")[0]


def item_path(caller: Caller, kind: str, item: str) -> str:
    """Return the path of a session's or job's page."""
    return f"/_portal/{kind}/{SUBSCRIPTION}/tests/{quote(caller.workspace.lower())}/{item}"


def page_text(page: str) -> str:
    """Return the visible text of a page, with one space between words."""
    main = page.partition("<main")[2].partition(">")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", main)).split())
