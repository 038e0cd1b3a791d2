"""Text that is made for a width: whole words on the lines that there are, else whole clauses; nothing is cut inside."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

_OPEN, _CLOSE = "([{", ")]}"
SENTENCES = (". ", "; ")
CLAUSES = (*SENTENCES, ", ", " (")


def wrapped(text: str, width: int) -> list[str]:
    """Return the text on lines of at most so many characters; a word that is longer has a line of its own.

    A number stays on one line with its error.
    """
    joined = text.replace(" ±", "\u00a0±").replace("± ", "±\u00a0")  # textwrap breaks no line there
    lines = textwrap.wrap(joined, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


def whole_parts(text: str, ends: tuple[str, ...] = CLAUSES) -> Iterator[str]:
    """Yield the text, then its beginnings that end where one of `ends` follows outside brackets, the longest first.

    >>> list(whole_parts("noise (0.1, 0.2), as expected; it goes on"))
    ['noise (0.1, 0.2), as expected; it goes on', 'noise (0.1, 0.2), as expected', 'noise (0.1, 0.2)', 'noise']
    """
    yield text
    depth, found = 0, []
    for at, letter in enumerate(text):
        if depth == 0 and text.startswith(ends, at):
            found.append(text[:at])
        depth = max(0, depth + (letter in _OPEN) - (letter in _CLOSE))
    yield from filter(None, reversed(found))


def fitted(text: str, width: int, lines: int, ends: tuple[str, ...] = CLAUSES, least: int = 0) -> list[str] | None:
    """Return the longest whole part of the text that so many lines of this width hold; None if they hold none.

    A part has at least so many characters.
    """
    for part in whole_parts(text, ends):
        if len(part) < least:
            break
        found = wrapped(part, width)
        if len(found) <= lines and all(len(line) <= width for line in found):
            return found
    return None
