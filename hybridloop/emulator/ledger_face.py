"""The ledger over HTTP: `/_admin/ledger`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from hybridloop.emulator.faults import ServiceFault, bad_request, whole_number
from hybridloop.emulator.http import json_reply
from hybridloop.emulator.ledger import LONGEST_PAGE, PAGE, LedgerQuery, ledger
from hybridloop.emulator.store import LARGEST_KEY, Store


class LedgerFace:
    """Answers who may see the books."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, request: Request) -> Response:
        """The account that the request asks for."""
        if request.method != "GET":
            raise ServiceFault(405, "MethodNotAllowed", "The ledger is only read.")
        return json_reply(ledger(self._store, ledger_query(request.query_params)))


def ledger_query(asked: Mapping[str, str]) -> LedgerQuery:
    """The query of a URL; raises ServiceFault for what it can't have."""
    unknown = set(asked) - {"run", "session", "top", "after"}
    if unknown:
        raise bad_request(f"The ledger has no filter {', '.join(sorted(unknown))}.", "InvalidQuery")
    top = whole_number("top", asked.get("top"), PAGE, LONGEST_PAGE)
    after = whole_number("after", asked.get("after"), 0, LARGEST_KEY)
    return LedgerQuery(asked.get("run") or None, asked.get("session") or None, top, after)
