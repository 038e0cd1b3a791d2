"""Parser of list queries: a small part of OData's `filter` and `orderby`, and `skip` and `top`.

Only what the grammar names is accepted, so that SQL is built from known pieces and bound values.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from hybridloop.emulator.model.errors import ApiError, bad_request, parse_whole_number

MAX_PAGE_SIZE = 100
_MAX_NUMBER = 2**31 - 1


class ListProperty(enum.StrEnum):
    """Properties by which lists can be filtered and ordered."""

    NAME = "Name"
    ITEM_TYPE = "ItemType"
    JOB_TYPE = "JobType"
    PROVIDER_ID = "ProviderId"
    TARGET = "Target"
    STATE = "State"
    CREATION_TIME = "CreationTime"


@dataclass(frozen=True, slots=True)
class NameStartsWith:
    """Filter term: the name begins with `prefix`."""

    prefix: str


@dataclass(frozen=True, slots=True)
class IsOneOf:
    """Filter term: the property equals one of the values, case-insensitive."""

    property: ListProperty
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CreationTime:
    """Filter term: created at `moment` (seconds since 1970) or later, or before it."""

    comparison: Literal[">=", "<"]
    moment: float


FilterTerm = NameStartsWith | IsOneOf | CreationTime


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Query of one list page: all terms must hold; `order` None is the list's default order."""

    terms: tuple[FilterTerm, ...]
    order: ListProperty | None
    descending: bool
    skip: int
    top: int


_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|([A-Za-z]+)|(\d{4}-\d{2}-\d{2})|([(),]))")
_EQUAL = set(ListProperty) - {ListProperty.NAME, ListProperty.CREATION_TIME}  # compared with eq
_MAX_FILTER = 8_000  # characters
_MAX_VALUES = 200


def parse_query(filter_text: str | None, orderby: str | None, skip: str | None, top: str | None) -> ListQuery:
    """Parse the query of a list request. Raises ApiError (400) for text outside the grammar."""
    order, descending = _parse_order(orderby)
    return ListQuery(
        terms=_Parser(filter_text).terms() if filter_text and filter_text.strip() else (),
        order=order,
        descending=descending,
        skip=parse_whole_number("skip", skip or None, 0, _MAX_NUMBER),
        top=min(parse_whole_number("top", top or None, MAX_PAGE_SIZE, _MAX_NUMBER), MAX_PAGE_SIZE),
    )


def _parse_order(text: str | None) -> tuple[ListProperty | None, bool]:
    if text is None or not text.strip():
        return None, False
    words = text.split()
    if len(words) > 2 or (len(words) == 2 and words[1].lower() not in ("asc", "desc")):
        raise _invalid_query(f"orderby must be a property and asc or desc, not {text[:80]!r}")
    return _property(words[0]), len(words) == 2 and words[1].lower() == "desc"


def _property(word: str) -> ListProperty:
    try:
        return ListProperty(word)
    except ValueError:
        raise _invalid_query(f"{word[:40]!r} is not one of {', '.join(ListProperty)}") from None


def _invalid_query(reason: str) -> ApiError:
    return bad_request(f"{reason}.", code="InvalidQuery")


class _Parser:
    """Recursive descent parser: term (and term)*; term = startswith(…) | (P eq 'v' or …) | CreationTime ge|le day."""

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_FILTER:
            raise _invalid_query(f"the filter has {len(text)} characters, and the limit is {_MAX_FILTER}")
        self._tokens: deque[str] = deque()
        text, position = text.rstrip(), 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise _invalid_query(f"the filter is invalid at character {position + 1}")
            self._tokens.append(match[match.lastindex or 0])
            position = match.end()

    def terms(self) -> tuple[FilterTerm, ...]:
        terms = [self._term()]
        while self._peek() == "and":
            self._take("and")
            terms.append(self._term())
        if self._peek() is not None:
            raise _invalid_query(f"'and' or the end of the filter is expected before {self._peek()!r}")
        return tuple(terms)

    def _term(self) -> FilterTerm:
        if self._peek() == "startswith":
            return self._starts_with()
        if self._peek() == "(":
            self._take("(")
            term = self._equals_or_time()
            self._take(")")
            return term
        return self._equals_or_time()

    def _starts_with(self) -> NameStartsWith:
        self._take("startswith")
        self._take("(")
        if _property(self._next()) is not ListProperty.NAME:
            raise _invalid_query("startswith can be used only with Name")
        self._take(",")
        prefix = self._literal()
        self._take(")")
        return NameStartsWith(prefix)

    def _equals_or_time(self) -> FilterTerm:
        list_property = _property(self._next())
        if list_property is ListProperty.CREATION_TIME:
            return self._time()
        if list_property not in _EQUAL:
            raise _invalid_query(f"{list_property} can't be compared with eq")
        self._take("eq")
        values = [self._literal()]
        while self._peek() == "or":
            self._take("or")
            if _property(self._next()) is not list_property:
                raise _invalid_query("terms joined by 'or' must have the same property")
            self._take("eq")
            values.append(self._literal())
            if len(values) > _MAX_VALUES:
                raise _invalid_query(f"more than {_MAX_VALUES} values are joined by 'or'")
        return IsOneOf(list_property, tuple(values))

    def _time(self) -> FilterTerm:
        comparison, day = self._next(), self._next()
        try:
            start = datetime.strptime(day.strip("'"), "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
        except (ValueError, OverflowError):
            problem = f"CreationTime must be compared with a day such as 2026-03-09, not {day[:40]!r}"
            raise _invalid_query(problem) from None
        if comparison == "ge":
            return CreationTime(">=", start)
        if comparison == "le":
            return CreationTime("<", start + 86_400.0)  # the whole day counts
        raise _invalid_query(f"CreationTime must be compared by ge or le, not {comparison[:40]!r}")

    def _literal(self) -> str:
        token = self._next()
        if not token.startswith("'"):
            raise _invalid_query(f"expected a string in single quotes, not {token[:40]!r}")
        return token[1:-1].replace("''", "'")

    def _peek(self) -> str | None:
        return self._tokens[0] if self._tokens else None

    def _next(self) -> str:
        if not self._tokens:
            raise _invalid_query("the filter ends too early")
        return self._tokens.popleft()

    def _take(self, expected: str) -> None:
        token = self._next()
        if token != expected:
            raise _invalid_query(f"expected {expected!r}, not {token[:40]!r}")
