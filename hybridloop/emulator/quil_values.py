"""Arithmetic of Quil's gate parameters: numbers, pi, memory, + - * / ^ and the usual functions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z_][\w-]*(?:\[\d+\])?)|(?P<sign>[-+*/^()]))"
)
_FUNCTIONS: dict[str, Callable[[float], float]] = {"sin": math.sin, "cos": math.cos, "sqrt": math.sqrt, "exp": math.exp}
_MAX_DEPTH = 50


def value_of(text: str, memory: Mapping[str, Sequence[float]]) -> float:
    """The finite value of an expression over memory regions; raises ValueError where it has none."""
    try:
        value = _Expression(_tokens(text), memory).whole()
    except (ArithmeticError, TypeError) as error:
        raise ValueError(f"{text!r} has no value: {error}") from error
    if isinstance(value, complex) or not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"{text!r} can't be read at {text[at:].strip()[:20]!r}")
        tokens.append(match[0].strip())
        at = match.end()
    return tokens


class _Expression:
    """Reads tokens from left to right, one method a level of precedence."""

    def __init__(self, tokens: list[str], memory: Mapping[str, Sequence[float]]) -> None:
        self._tokens = tokens
        self._memory = memory
        self._depth = 0

    def whole(self) -> float:
        value = self._sum()
        if self._tokens:
            raise ValueError(f"{self._tokens[0]!r} is too much")
        return value

    def _sum(self) -> float:
        value = self._product()
        while self._tokens and self._tokens[0] in "+-":
            value = value + self._product() if self._tokens.pop(0) == "+" else value - self._product()
        return value

    def _product(self) -> float:
        value = self._signed()
        while self._tokens and self._tokens[0] in "*/":
            value = value * self._signed() if self._tokens.pop(0) == "*" else value / self._signed()
        return value

    def _signed(self) -> float:
        negative = False
        while self._tokens and self._tokens[0] in "+-":
            negative ^= self._tokens.pop(0) == "-"
        self._depth += 1  # everything that nests comes by here
        if self._depth > _MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        value = self._power()
        self._depth -= 1
        return -value if negative else value

    def _power(self) -> float:
        base = self._atom()
        if self._tokens and self._tokens[0] == "^":
            self._tokens.pop(0)
            return float(base ** self._signed())
        return base

    def _atom(self) -> float:
        if not self._tokens:
            raise ValueError("it ends too early")
        token = self._tokens.pop(0)
        if token == "(":
            value = self._sum()
            if not self._tokens or self._tokens.pop(0) != ")":
                raise ValueError("a parenthesis is not closed")
            return value
        if token[0].isdigit() or token[0] == ".":
            return float(token)
        if token == "pi":
            return math.pi
        if token in _FUNCTIONS and self._tokens and self._tokens[0] == "(":
            return _FUNCTIONS[token](self._atom())
        return self._recalled(token)

    def _recalled(self, token: str) -> float:
        name, _, rest = token.partition("[")
        region, index = self._memory.get(name), int(rest[:-1] or 0) if rest else 0
        if region is None or index >= len(region):
            raise ValueError(f"{token!r} is not in memory")
        return float(region[index])
