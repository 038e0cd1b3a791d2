"""Rendering of the portal's HTML pages: templates, security headers, number formats, histograms of results."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from hybridloop.emulator.clock import format_time_to_second

# C0 and C1 control characters but tab and line break, marks that turn the direction of text, separators of lines
_CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]")
PORTAL_PREFIX = "/_portal"
STATIC_FILES = {"style.css": "text/css", "refresh.js": "text/javascript", "icon.svg": "image/svg+xml"}
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # with no-referrer, browsers send the origin "null" with forms, as they do for pages of other sites
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Pages:
    """Jinja2 templates of the portal; all values in them are escaped, control characters too."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("hybridloop.emulator.portal"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            timestamp=format_timestamp, duration=format_duration, number=format_number, money=format_money
        )
        self._environment.globals.update(page_path=page_path)

    def render(self, template: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """Return a page; lone surrogates, which stored JSON can hold, become question marks."""
        text = _escape_control(self._environment.get_template(template).render(**values))
        headers = {**SECURITY_HEADERS, "Content-Type": "text/html; charset=utf-8"}
        return Response(text.encode("utf-8", "replace"), status, headers)


def _escape_control(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def static_file(name: str) -> Response | None:
    """Return a style sheet, script or icon of the pages; None if there is none of that name."""
    if name not in STATIC_FILES:
        return None
    data = resources.files("hybridloop.emulator.portal").joinpath("static", name).read_bytes()
    return Response(data, headers={**SECURITY_HEADERS, "Content-Type": f"{STATIC_FILES[name]}; charset=utf-8"})


def page_path(kind: str, workspace: str, item: str, action: str = "") -> str:
    """Return the path of a session's or job's page, or of an action on it."""
    return f"{PORTAL_PREFIX}/{kind}/{quote(workspace)}/{quote(item, safe='')}{action and '/'}{action}"


def format_timestamp(moment: float | None) -> str:
    """Format a time in UTC to the second, rounded down; None is a dash.

    >>> format_timestamp(59.9)
    '1970-01-01 00:00:59'
    """
    return "–" if moment is None else format_time_to_second(moment).replace("T", " ").removesuffix("Z")


def format_duration(seconds: float) -> str:
    """Format a duration in its two largest units, rounded down to the second.

    >>> format_duration(0.5), format_duration(125), format_duration(7260)
    ('0 s', '2 min 5 s', '2 h 1 min')
    """
    total = max(0, int(seconds))
    minutes, remainder = divmod(total, 60)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{minutes} min {remainder} s"
    return f"{minutes // 60} h {minutes % 60} min"


def format_number(amount: float) -> str:
    """Format a number without an exponent, and with at most six decimals.

    >>> format_number(1234.5), format_number(0.000025), format_number(3.0)
    ('1,234.5', '0.000025', '3')
    """
    text = f"{amount:,.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def format_money(money: Mapping[str, float]) -> str:
    """Format amounts with their units.

    >>> format_money({"USD": 97.5, "HQC": 5.0}), format_money({})
    ('97.5 USD + 5 HQC', '–')
    """
    return " + ".join(f"{format_number(amount)} {unit}" for unit, amount in money.items()) or "–"


MAX_BARS = 16
MAX_LABEL_LENGTH = 40  # characters
MAX_WEIGHT = 1e15  # of an outcome; above it a float holds no whole number of shots with all its digits
MAX_OUTPUT_BYTES = 8 * 2**20  # bytes; 10,000 shots of 29 qubits are about one megabyte


@dataclass(frozen=True, slots=True)
class Bar:
    """One outcome: its label, its weight (a count or a probability), and its ratio `share` to the largest weight."""

    label: str
    weight: float
    share: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """The most frequent outcomes, and the number and total weight of the others."""

    bars: tuple[Bar, ...]
    others: int
    others_weight: float


def build_histogram(output: bytes) -> Histogram | None:
    """Return the histogram of an output blob; None if it is too large or in no known result format.

    The blob may be any bytes: a client can submit to the echo target.
    """
    if len(output) > MAX_OUTPUT_BYTES:
        return None
    try:
        weights = _weights(json.loads(output))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None
    if not weights or not all(0 <= weight <= MAX_WEIGHT for _, weight in weights):
        return None
    ordered = sorted(weights, key=lambda pair: (-pair[1], pair[0]))
    largest = ordered[0][1] or 1.0
    bars = tuple(Bar(_bar_label(label), weight, weight / largest) for label, weight in ordered[:MAX_BARS])
    others = ordered[MAX_BARS:]
    return Histogram(bars, len(others), math.fsum(weight for _, weight in others))


def _weights(document: Any) -> Sequence[tuple[str, float]]:
    """Return outcomes and weights from the result format of any target; raises various errors for other documents."""
    if "histogram" in document:  # IonQ's: probabilities
        return [(str(outcome), _number(probability)) for outcome, probability in document["histogram"].items()]
    if "Results" in document:  # microsoft.quantum-results.v2
        entries = document["Results"][0]["Histogram"]
        return [(str(entry["Display"]), _number(entry["Count"])) for entry in entries]
    # Quantinuum's and Rigetti's: the content of each register in each shot, as a string or a list of bits
    registers = [["".join(map(str, word)) for word in words] for words in document.values()]
    return list(Counter(" ".join(words) for words in zip(*registers, strict=True)).items())


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a weight must be a number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("a weight exceeds the range of a float") from error


def _bar_label(label: str) -> str:
    """Return the outcome without the punctuation of a list of bits, shortened in the middle if it is long."""
    text = label.removeprefix("[").removesuffix("]").replace(", ", "") if set(label) <= set("[], 01") else label
    half = (MAX_LABEL_LENGTH - 1) // 2
    return text if len(text) <= MAX_LABEL_LENGTH else f"{text[:half]}…{text[-half:]}"
