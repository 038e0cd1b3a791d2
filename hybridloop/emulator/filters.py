"""The grammar of list queries: filters and orders, parsed to values with an allow-list."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from hybridloop.emulator.faults import ServiceFault, bad_request, whole_number

MAX_PAGE = 100
_MOST = 2**31 - 1


class Property(enum.StrEnum):
    """What lists can be filtered and ordered by."""

    NAME = "Name"
    ITEM_TYPE = "ItemType"
    JOB_TYPE = "JobType"
    PROVIDER_ID = "ProviderId"
    TARGET = "Target"
    STATE = "State"
    CREATION_TIME = "CreationTime"


@dataclass(frozen=True, slots=True)
class NameStartsWith:
    """The name begins with `prefix`."""

    prefix: str


@dataclass(frozen=True, slots=True)
class IsOneOf:
    """The property equals one of the values, without regard to case."""

    property: Property
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CreatedFrom:
    """Created at `moment` (seconds since 1970) or later."""

    moment: float


@dataclass(frozen=True, slots=True)
class CreatedBefore:
    """Created before `moment` (seconds since 1970)."""

    moment: float


Term = NameStartsWith | IsOneOf | CreatedFrom | CreatedBefore


@dataclass(frozen=True, slots=True)
class ListQuery:
    """One page of a list: all terms hold; `order` None is the list's own order."""

    terms: tuple[Term, ...]
    order: Property | None
    descending: bool
    skip: int
    top: int


_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|([A-Za-z]+)|(\d{4}-\d{2}-\d{2})|([(),]))")
_EQUAL = {Property.ITEM_TYPE, Property.JOB_TYPE, Property.PROVIDER_ID, Property.TARGET, Property.STATE}
_MAX_FILTER = 8_000  # characters
_MAX_VALUES = 200


def parse_query(filter_text: str | None, orderby: str | None, skip: str | None, top: str | None) -> ListQuery:
    """The query of a list request; what is not in the grammar is refused."""
    order, descending = _parse_order(orderby)
    return ListQuery(
        terms=_Parser(filter_text).terms() if filter_text and filter_text.strip() else (),
        order=order,
        descending=descending,
        skip=whole_number("skip", skip or None, 0, _MOST),
        top=min(whole_number("top", top or None, MAX_PAGE, _MOST), MAX_PAGE),
    )


def _parse_order(text: str | None) -> tuple[Property | None, bool]:
    if text is None or not text.strip():
        return None, False
    words = text.split()
    if len(words) > 2 or (len(words) == 2 and words[1].lower() not in ("asc", "desc")):
        raise _refused(f"orderby must be a property and asc or desc, not {text[:80]!r}")
    return _property(words[0]), len(words) == 2 and words[1].lower() == "desc"


def _property(word: str) -> Property:
    try:
        return Property(word)
    except ValueError:
        raise _refused(f"{word[:40]!r} is not one of {', '.join(Property)}") from None


def _refused(why: str) -> ServiceFault:
    return bad_request(f"{why}.", code="InvalidQuery")


class _Parser:
    """Recursive descent over: term (and term)*; term = startswith(…) | (P eq 'v' or …) | CreationTime ge|le day."""

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_FILTER:
            raise _refused(f"the filter has {len(text)} characters; at most {_MAX_FILTER} are read")
        self._tokens = self._split(text)
        self._position = 0

    @staticmethod
    def _split(text: str) -> list[str]:
        tokens, position = [], 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None:
                raise _refused(f"the filter can't be read from character {position + 1} on")
            tokens.append(match[match.lastindex or 0])
            position = match.end()
        return tokens

    def terms(self) -> tuple[Term, ...]:
        found = [self._term()]
        while self._peek() == "and":
            self._take("and")
            found.append(self._term())
        if self._peek() is not None:
            raise _refused(f"the filter should end or go on with 'and' before {self._peek()!r}")
        return tuple(found)

    def _term(self) -> Term:
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
        if _property(self._next()) is not Property.NAME:
            raise _refused("startswith is for Name only")
        self._take(",")
        prefix = self._literal()
        self._take(")")
        return NameStartsWith(prefix)

    def _equals_or_time(self) -> Term:
        chosen = _property(self._next())
        if chosen is Property.CREATION_TIME:
            return self._time()
        if chosen not in _EQUAL:
            raise _refused(f"{chosen} can't be compared with eq")
        self._take("eq")
        values = [self._literal()]
        while self._peek() == "or":
            self._take("or")
            if _property(self._next()) is not chosen:
                raise _refused("the terms joined by 'or' must be about one property")
            self._take("eq")
            values.append(self._literal())
            if len(values) > _MAX_VALUES:
                raise _refused(f"more than {_MAX_VALUES} values are joined by 'or'")
        return IsOneOf(chosen, tuple(values))

    def _time(self) -> Term:
        comparison, day = self._next(), self._next()
        try:
            start = datetime.strptime(day.strip("'"), "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
        except (ValueError, OverflowError):
            raise _refused(f"CreationTime is compared with a day such as 2026-03-09, not {day[:40]!r}") from None
        if comparison == "ge":
            return CreatedFrom(start)
        if comparison == "le":
            return CreatedBefore(start + 86_400.0)  # the whole day counts
        raise _refused(f"CreationTime is compared with ge or le, not {comparison[:40]!r}")

    def _literal(self) -> str:
        token = self._next()
        if not token.startswith("'"):
            raise _refused(f"a text in single quotes is needed in place of {token[:40]!r}")
        return token[1:-1].replace("''", "'")

    def _peek(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _next(self) -> str:
        token = self._peek()
        if token is None:
            raise _refused("the filter ends too early")
        self._position += 1
        return token

    def _take(self, expected: str) -> None:
        token = self._next()
        if token != expected:
            raise _refused(f"{expected!r} is needed in place of {token[:40]!r}")
