"""The output of a QIR program: what it records, in which order, and how that becomes bits, registers and values.

The journal stores counts of bits. The first recorded value has the lowest bits; a Result and a Bool take one bit, an
Int 64 bits in two's complement, a Double its 64 bits of IEEE 754.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hybridloop.compiler.languages.qir_text import entry_point
from hybridloop.errors import ProgramError

_RECORD = re.compile(r"call \S+ @__quantum__rt__(\w+)_record_output\((?:i64 (\d+))?")
_BITS = {"result": 1, "bool": 1, "int": 64, "double": 64}
_WORD = 2**64
_REMEDY = "give a program that returns its results at its end, as Q# programs do"

Value = int | float | bool | tuple["Value", ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A recorded value: a result, bool, int or double."""

    kind: str


@dataclass(frozen=True, slots=True)
class Group:
    """A tuple or an array of values."""

    items: tuple[Output, ...]
    is_tuple: bool


Output = Scalar | Group


@dataclass(frozen=True, slots=True)
class OutputLayout:
    """The output that a program records, as a tree."""

    root: Output

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """The recorded values without their tuples and arrays, in order."""
        return tuple(_scalars(self.root))

    @property
    def num_bits(self) -> int:
        """Number of bits of one outcome."""
        return sum(_BITS[scalar.kind] for scalar in self.scalars)

    @property
    def has_results_alone(self) -> bool:
        """True if all values are results, so that a circuit can measure them."""
        return all(scalar.kind == "result" for scalar in self.scalars)

    @property
    def registers(self) -> tuple[int, ...]:
        """Numbers of bits of the classical registers: one for each item of a tuple that is not of results alone."""
        root = self.root
        if isinstance(root, Scalar) or not root.is_tuple or all(item == Scalar("result") for item in root.items):
            return (self.num_bits,)
        return tuple(size for item in root.items if (size := OutputLayout(item).num_bits))

    def pack(self, outcome: Any) -> str:
        """Return the bits of an outcome of the service's JSON, bit 0 last. Raises ValueError if it is another output.

        A lost qubit keeps its mark, which is neither 0 nor 1.
        """
        flat = list(_flat(outcome))
        if len(flat) != len(self.scalars):
            raise ValueError(f"an outcome of {len(flat)} values where the program records {len(self.scalars)}")
        return "".join(_pack(scalar.kind, value) for scalar, value in zip(self.scalars, flat, strict=True))[::-1]

    def value(self, bits: str) -> Value:
        """Return the value of an outcome's bits, bit 0 last: tuples for tuples and arrays, 0 and 1 for results."""
        low_first = iter(bits[::-1])
        return _value(self.root, low_first)


def output_layout(text: str, name: str) -> OutputLayout:
    """Return what QIR text records. Raises ProgramError if it is nothing, or not always the same."""
    entry = entry_point(text, name)
    lines = [line for block in entry.blocks.values() for line in block]
    if not any(map(_RECORD.search, lines)):
        raise ProgramError(name, f"it records no output, so its jobs would have no counts: {_REMEDY}")
    records = [match for line in entry.last_lines if (match := _RECORD.search(line))]
    if len(records) < sum(_RECORD.search(line) is not None for line in lines):
        raise ProgramError(name, f"its output depends on a branch, so its bits are not known: {_REMEDY}")
    unknown = next((match[1] for match in records if match[1] not in {*_BITS, "tuple", "array"}), None)
    if unknown is not None:
        raise ProgramError(name, f"it records a value of the kind {unknown!r}; results, ints, bools, doubles are taken")
    rest = iter(records)
    roots = []
    for record in rest:
        roots.append(_take(record, rest, name))
    layout = OutputLayout(roots[0] if len(roots) == 1 else Group(tuple(roots), is_tuple=True))
    if not layout.num_bits:
        raise ProgramError(name, f"its output is empty, so its jobs would have no counts: {_REMEDY}")
    return layout


def _take(record: re.Match[str], rest: Iterator[re.Match[str]], name: str) -> Output:
    if record[1] in _BITS:
        return Scalar(record[1])
    items = []
    for _ in range(int(record[2] or 0)):
        if (item := next(rest, None)) is None:
            raise ProgramError(name, "its output ends within a tuple or an array")
        items.append(_take(item, rest, name))
    return Group(tuple(items), is_tuple=record[1] == "tuple")


def _scalars(output: Output) -> Iterator[Scalar]:
    if isinstance(output, Scalar):
        yield output
    else:
        for item in output.items:
            yield from _scalars(item)


def _flat(outcome: Any) -> Iterator[Any]:
    """Yield the scalars of an outcome; a tuple comes as an object with the keys Item1, Item2, …"""
    if isinstance(outcome, dict):
        outcome = list(outcome.values())
    if isinstance(outcome, list):
        for item in outcome:
            yield from _flat(item)
    else:
        yield outcome


def _pack(kind: str, value: Any) -> str:
    """Return the bits of a value, lowest first. Raises ValueError for a value of another kind."""
    if kind == "result":
        if type(value) is int and 0 <= value <= 9:
            return str(value)
        if isinstance(value, bool):
            return str(int(value))
        if isinstance(value, str) and len(value) == 1:
            return value
    elif kind == "bool":
        if value in (0, 1):  # True and False are equal to these
            return str(int(value))
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return str(int(value.lower() == "true"))
    elif kind == "int" and type(value) is int and -_WORD // 2 <= value < _WORD // 2:
        return format(value % _WORD, "064b")[::-1]
    elif kind == "double" and isinstance(value, int | float) and not isinstance(value, bool):
        (word,) = struct.unpack(">Q", struct.pack(">d", float(value)))
        return format(word, "064b")[::-1]
    raise ValueError(f"{value!r} where the program records a {kind}")


def _value(output: Output, bits: Iterator[str]) -> Value:
    if isinstance(output, Group):
        return tuple(_value(item, bits) for item in output.items)
    word = int("".join(next(bits) for _ in range(_BITS[output.kind]))[::-1], 2)
    if output.kind == "bool":
        return bool(word)
    if output.kind == "int":
        return word - _WORD if word >= _WORD // 2 else word
    if output.kind == "double":
        number: float = struct.unpack(">d", struct.pack(">Q", word))[0]
        return number
    return word
