"""No text makes a regular expression take quadratic time: each is fed families of growing texts made for it."""

from __future__ import annotations

import importlib
import pkgutil
import re
import statistics
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

import pytest

import hybridloop
from tests.paths import ROOT

LETTERS, GROWTH, MOST, LEAST_S = 4000, 4, 6.0, 0.05
METHODS = ("search", "match", "fullmatch", "sub", "split", "findall", "finditer")
LEFT = {  # patterns that never see a text of others
    "hybridloop.reports.plots.style": "the pictures that Matplotlib has drawn here",
    "hybridloop.compiler.languages.from_qsharp:_MESSAGE": "messages of the compiler, of 300 characters",
}
REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT)
CLASSES = {
    constants.CATEGORY_DIGIT: ("1", r"\d"),
    constants.CATEGORY_SPACE: (" ", r"\s"),
    constants.CATEGORY_WORD: ("a", r"\w"),
    constants.CATEGORY_NOT_DIGIT: ("-", r"\D"),
    constants.CATEGORY_NOT_SPACE: ("-", r"\S"),
    constants.CATEGORY_NOT_WORD: ("-", r"\W"),
}


def sample(parsed: Any, choice: int = 0) -> str:
    """Return a short text that a parsed expression matches, but for what looks around."""
    out = ""
    for kind, value in parsed:
        if kind is constants.LITERAL:
            out += chr(value)
        elif kind in (constants.ANY, constants.NOT_LITERAL):
            out += "a" if value != ord("a") else "b"
        elif kind is constants.IN:
            out += next(letter for letter in "a1 \n(-x,\x01;\t\"'/" + chr(_first(value)) if _is_in(value, letter))
        elif kind is constants.BRANCH:
            out += sample(value[1][choice % len(value[1])], choice)
        elif kind is constants.SUBPATTERN:
            out += sample(value[3], choice)
        elif kind is constants.ATOMIC_GROUP:
            out += sample(value, choice)
        elif kind in REPEATS:
            out += sample(value[2], choice) * value[0]
    return out


def _first(members: Any) -> int:
    return next((value if kind is constants.LITERAL else value[0] for kind, value in members if kind in _LISTED), 1)


_LISTED = (constants.LITERAL, constants.RANGE)


def _is_in(members: Any, letter: str) -> bool:
    is_negated = bool(members) and members[0][0] is constants.NEGATE
    found = any(
        (kind is constants.LITERAL and value == ord(letter))
        or (kind is constants.RANGE and value[0] <= ord(letter) <= value[1])
        or (kind is constants.CATEGORY and re.match(CLASSES[value][1], letter) is not None)
        for kind, value in members
    )
    return found is not is_negated


def pumps(parsed: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield what to repeat for each unbounded repeat of an expression, with what stands before it."""
    for kind, value in parsed:
        if kind in REPEATS:
            least, most, inner = value
            if most is constants.MAXREPEAT or most > 50:
                yield from ((before, unit) for choice in range(3) if (unit := sample(inner, choice)))
            yield from pumps(inner, before)
            before += sample(inner) * least
        elif kind is constants.SUBPATTERN:
            yield from pumps(value[3], before)
            before += sample(value[3])
        elif kind is constants.ATOMIC_GROUP:
            yield from pumps(value, before)
            before += sample(value)
        elif kind is constants.BRANCH:
            for branch in value[1]:
                yield from pumps(branch, before)
            before += sample(value[1][0])
        else:
            before += sample([(kind, value)])


def families(pattern: re.Pattern[str]) -> set[tuple[str, str]]:
    """Return beginnings and units of growing texts for a pattern: each repeat, and each with what opens it."""
    parsed = parser.parse(pattern.pattern, pattern.flags)
    own = {*pumps(parsed)}
    opened = {("", before + unit) for before, unit in own if before}
    return own | opened | {("", unit) for unit in (" ", "\n", "1", "a", "{", "(", sample(parsed)[:-1] or "x")}


def patterns() -> Iterator[tuple[str, re.Pattern[str], tuple[str, ...]]]:
    """Yield the name of each pattern of a module, the pattern, and the methods that are called of it."""
    seen = set[int]()
    for found in pkgutil.walk_packages(hybridloop.__path__, "hybridloop."):
        if found.name.endswith("__main__") or ".migrations." in found.name:
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            listed = value if isinstance(value, list | tuple) else [value]
            for each in listed:
                if isinstance(each, re.Pattern) and isinstance(each.pattern, str) and id(each) not in seen:
                    seen.add(id(each))
                    yield f"{found.name}:{name}", each, _methods(module, name)


def _methods(module: ModuleType, name: str) -> tuple[str, ...]:
    text = Path(str(module.__file__)).read_text(encoding="utf-8") if name.startswith("_") else _all_texts()
    return tuple(each for each in METHODS if re.search(rf"\b{name}\s*\.{each}\b", text)) or ("search", "match")


@cache
def _all_texts() -> str:
    return "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "hybridloop").rglob("*.py")))


def seconds(call: Callable[[str], object], text: str) -> float:
    taken = []
    for _ in range(5):
        began = time.process_time()
        call(text)
        taken.append(time.process_time() - began)
        if taken[-1] < LEAST_S / 10:
            break
    return statistics.median(taken)


def called(pattern: re.Pattern[str], method: str) -> Callable[[str], object]:
    if method == "sub":
        return lambda text: pattern.sub("", text)
    if method == "finditer":
        return pattern.findall
    found: Callable[[str], object] = getattr(pattern, method)
    return found


@pytest.mark.slow
def test_no_pattern_takes_longer_than_in_proportion_to_its_text() -> None:
    slow = []
    for name, pattern, methods in patterns():
        if name in LEFT or name.partition(":")[0] in LEFT:
            continue
        for before, unit in sorted(families(pattern)):
            for after in ("", "\x00"):
                for method in methods:
                    call, number = called(pattern, method), max(1, LETTERS // len(unit))
                    long = seconds(call, before + unit * (GROWTH * number) + after)
                    if long < LEAST_S:  # a quadratic one takes a second
                        continue
                    ratio = long / max(seconds(call, before + unit * number + after), 1e-9)
                    if ratio > MOST:
                        slow.append(f"{name}.{method}: {before!r} {unit!r} {after!r} x {ratio:.1f}")
    assert not slow


def test_a_quadratic_pattern_is_found() -> None:
    pattern = re.compile(r"\{\s*(\d+\.?\d*)\s*:")
    call = called(pattern, "search")
    ratios = [
        seconds(call, before + unit * (GROWTH * 1000) + "\x00")
        / max(seconds(call, before + unit * 1000 + "\x00"), 1e-9)
        for before, unit in families(pattern)
    ]
    assert max(ratios) > MOST
