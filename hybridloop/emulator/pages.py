"""The portal's pages: templates, how values look in them, and the headers that keep a browser to this service."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from hybridloop.emulator.clock import utc_second

PREFIX = "/_portal"
STATIC = {"style.css": "text/css", "refresh.js": "text/javascript", "icon.svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # with no-referrer browsers would send the origin "null" with forms, which can't be told from a stranger's
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Pages:
    """Renders templates; whatever stands in them is escaped."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("hybridloop.emulator"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(moment=moment_text, span=span_text, amount=amount_text, money=money_text)
        self._environment.globals.update(address=address)

    def page(self, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """A page; half a surrogate pair in somebody's JSON must not make it fail."""
        text = self._environment.get_template(template).render(**values)
        headers = {**HEADERS, "Content-Type": "text/html; charset=utf-8"}
        return Response(text.encode("utf-8", "replace"), status, headers)


def static_file(name: str) -> Response | None:
    """A style sheet, script or picture of the pages, None where there is none of that name."""
    if name not in STATIC:
        return None
    data = resources.files("hybridloop.emulator").joinpath("static", name).read_bytes()
    return Response(data, headers={**HEADERS, "Content-Type": f"{STATIC[name]}; charset=utf-8"})


def address(kind: str, workspace: str, item: str, action: str = "") -> str:
    """The path of a session's or job's page, or of a button on it."""
    return f"{PREFIX}/{kind}/{quote(workspace)}/{quote(item, safe='')}{action and '/'}{action}"


def moment_text(moment: float | None) -> str:
    """A moment to the second in UTC.

    >>> moment_text(59.9)
    '1970-01-01 00:00:59'
    """
    return "–" if moment is None else utc_second(moment).replace("T", " ").removesuffix("Z")


def span_text(seconds: float) -> str:
    """A length of time, to the second and in its two largest units.

    >>> span_text(0.5), span_text(125), span_text(7260)
    ('0 s', '2 min 5 s', '2 h 1 min')
    """
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def amount_text(amount: float) -> str:
    """A number as people write it: no exponent, no needless zeros.

    >>> amount_text(1234.5), amount_text(0.000025), amount_text(3.0)
    ('1,234.5', '0.000025', '3')
    """
    text = f"{amount:,.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def money_text(money: Mapping[str, float]) -> str:
    """Sums in their units.

    >>> money_text({"USD": 97.5, "HQC": 5.0}), money_text({})
    ('97.5 USD + 5 HQC', '–')
    """
    return " + ".join(f"{amount_text(amount)} {unit}" for unit, amount in money.items()) or "–"
