"""Number of gates that an OpenQASM text has once its gate definitions are expanded, counted without expanding them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_DEFINITION = re.compile(r"\bgate\s++(\w++)")
_WORD = re.compile(r"[A-Za-z_]\w*")
_WHOLE_NAME = re.compile(r"[A-Za-z_]\w*\b(?!\s*\[)")  # without an index


def expanded_size(text: str, registers: Mapping[str, int]) -> tuple[int, dict[str, int]]:
    """Return the gates of a text without comments, or of its largest gate if that has more, and those of each gate.

    A gate on a whole register is one for each of its qubits, as `registers` states.
    """
    sizes: dict[str, int] = {}
    rest, place = list[str](), 0
    for name, begin, body, end in _definitions(text):  # a gate is made of those before it
        sizes[name] = _count(body, sizes, {})
        rest.append(text[place:begin])
        place = end
    return max(_count("".join([*rest, text[place:]]), sizes, registers), *sizes.values(), 0), sizes


def _definitions(text: str) -> Iterator[tuple[str, int, str, int]]:
    """Yield the name, the begin, the body and the end of each definition of a gate."""
    place = 0
    while (match := _DEFINITION.search(text, place)) is not None:
        opening = text.find("{", match.end())
        closing = -1 if opening < 0 else text.find("}", opening)
        if closing < 0:
            return
        place = closing + 1
        yield match[1], match.start(), text[opening + 1 : closing], place


def _count(body: str, sizes: Mapping[str, int], registers: Mapping[str, int]) -> int:
    """Count the gates of statements; a gate on a whole register is one for each of its qubits."""
    count = 0
    for statement in body.split(";"):
        gates = max((sizes.get(word, 1) for word in _WORD.findall(statement)), default=0)
        count += gates * max((registers.get(word, 1) for word in _WHOLE_NAME.findall(statement)), default=1)
    return count
