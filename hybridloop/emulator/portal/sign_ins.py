"""Sign-ins of the portal, and one-time links that make them, in memory only."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

MAX_SIGN_INS = 64  # then the oldest is removed, so that sign-ins that are never ended do not fill the memory
LINK_LIFETIME_S = 300.0


@dataclass(frozen=True, slots=True)
class SignIn:
    """One sign-in: `token` is the cookie's value, `form_token` is in every form of its pages."""

    token: str
    form_token: str


class SignInStore:
    """The valid sign-ins and the unused links."""

    def __init__(self) -> None:
        self._sign_ins: dict[str, SignIn] = {}
        self._links: dict[str, float] = {}  # the time at which each expires

    def create(self) -> SignIn:
        """Create a sign-in; above the limit the oldest is removed."""
        _make_room(self._sign_ins)
        sign_in = SignIn(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        self._sign_ins[sign_in.token] = sign_in
        return sign_in

    def find(self, token: str | None) -> SignIn | None:
        """Return the sign-in of a cookie; None if it is not valid."""
        return None if token is None else self._sign_ins.get(token)

    def remove(self, sign_in: SignIn) -> None:
        self._sign_ins.pop(sign_in.token, None)

    def create_link(self, now: float) -> str:
        """Return the token of a link that signs in once, within `LINK_LIFETIME_S` of `now` (seconds since 1970)."""
        _make_room(self._links)
        token = secrets.token_urlsafe(32)
        self._links[token] = now + LINK_LIFETIME_S
        return token

    def use_link(self, token: str, now: float) -> SignIn | None:
        """Return the sign-in that a link makes; None if it was used, has expired or never existed."""
        expires = self._links.pop(token, None)
        return None if expires is None or now > expires else self.create()


def _make_room(entries: dict[str, SignIn] | dict[str, float]) -> None:
    if len(entries) >= MAX_SIGN_INS:
        del entries[next(iter(entries))]
