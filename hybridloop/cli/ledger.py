"""Reads the local service's books over its admin endpoint."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

from hybridloop.errors import InputError, ServiceUnreachable

PATIENCE_S = 30.0
_PAGE = 10_000


def read_ledger(url: str, admin_key: str, *, run: str | None, session: str | None) -> dict[str, Any]:
    """The whole account of these jobs, its pages put together."""
    account: dict[str, Any] | None = None
    after = 0
    while True:
        page = _page(url, admin_key, {**_asked(run, session), "top": _PAGE, "after": after})
        if account is None:
            account = page
        else:
            account["entries"] += page["entries"]
        if page["next"] is None:
            del account["next"]
            return account
        after = page["next"]


def read_totals(url: str, admin_key: str, *, run: str | None, session: str | None) -> dict[str, Any]:
    """The account of these jobs without its entries."""
    return _page(url, admin_key, {**_asked(run, session), "top": 0})


def _asked(run: str | None, session: str | None) -> dict[str, Any]:
    return {name: value for name, value in (("run", run), ("session", session)) if value is not None}


def _page(url: str, admin_key: str, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        request = urllib.request.Request(f"{url.rstrip('/')}/_admin/ledger?{urlencode(asked)}")
        request.add_header("x-admin-key", admin_key)
        past_proxies = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with past_proxies.open(request, timeout=PATIENCE_S) as reply:
            document: dict[str, Any] = json.load(reply)
            return document
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise InputError(
                "--admin-key", f"{url} does not accept it", "Give the key that the service printed."
            ) from error
        raise _unreachable(url, f"answered {error.code}") from error
    except (OSError, ValueError) as error:  # no such host, no answer, no address, no JSON
        raise _unreachable(url, f"can't be read: {error}") from error


def _unreachable(url: str, what: str) -> ServiceUnreachable:
    return ServiceUnreachable(
        f"the service at {url} {what}", "Nothing was changed.", "`hybridloop status` shows the local stack's service."
    )
