"""A browser's part of the portal, as plain HTTP: a cookie, an origin, forms."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from tests.conftest import SUBSCRIPTION, Emulator
from tests.emulator.calls import Caller, Reply, raw_call


@dataclass(slots=True)
class Visitor:
    """Reads pages and sends forms as a page of the service would; headers given replace its own."""

    emulator: Emulator
    cookie: str = ""

    def get(self, path: str, **headers: str) -> Reply:
        return raw_call(self.emulator.endpoint, "GET", path, None, {"Cookie": self.cookie, **headers})

    def page(self, path: str) -> str:
        """The text of a page that must be there."""
        reply = self.get(path)
        assert reply.status == 200, reply.body
        return reply.body.decode()

    def post(self, path: str, form: dict[str, str], **headers: str) -> Reply:
        own = {
            "Cookie": self.cookie,
            "Origin": self.emulator.endpoint.rstrip("/"),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return raw_call(self.emulator.endpoint, "POST", path, urlencode(form).encode(), {**own, **headers})

    def sign_in(self, path: str = "/") -> Reply:
        reply = self.post(path, {"key": self.emulator.api_key})
        self.cookie = reply.headers["set-cookie"].partition(";")[0]
        return reply

    def form_token(self) -> str:
        """What stands in the forms of this visitor's pages."""
        return self.page("/").partition('name="form_token" value="')[2].partition('"')[0]

    def press(self, path: str) -> Reply:
        """Press the button that posts to `path`."""
        return self.post(path, {"form_token": self.form_token()})


def path_of(caller: Caller, kind: str, item: str) -> str:
    """The path of a session's or job's page."""
    return f"/_portal/{kind}/{SUBSCRIPTION}/tests/{quote(caller.workspace.lower())}/{item}"


def readable(page: str) -> str:
    """A page as it is read: without its tags, one space between words."""
    main = page.partition("<main")[2].partition(">")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", main)).split())
