"""Who is signed in at the portal: random tokens in memory, so that no browser keeps the key and a restart signs out."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

MOST_VISITS = 64  # the oldest gives way: a browser that is never signed out must not fill the memory


@dataclass(frozen=True, slots=True)
class Visit:
    """One sign-in: `token` is the cookie's value, `form_token` stands in every form that its pages have."""

    token: str
    form_token: str


class Visits:
    """The sign-ins that hold."""

    def __init__(self) -> None:
        self._visits: dict[str, Visit] = {}

    def begin(self) -> Visit:
        """A new sign-in."""
        if len(self._visits) >= MOST_VISITS:
            del self._visits[next(iter(self._visits))]
        visit = Visit(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        self._visits[visit.token] = visit
        return visit

    def find(self, token: str | None) -> Visit | None:
        """The sign-in of that cookie, None where it does not hold."""
        return None if token is None else self._visits.get(token)

    def end(self, visit: Visit) -> None:
        """Sign out."""
        self._visits.pop(visit.token, None)
