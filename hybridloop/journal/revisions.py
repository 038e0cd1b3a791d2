"""Revisions of a run's result: the first is that of the run as it was begun, each extension of the run adds one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hybridloop.journal.records import Event

MAIN_STREAM = "main"
EXTENDED = "extended"  # event: the settings of the extension, and the revision that the run had ended with
WITHDRAWN = "withdrawn"  # event: the extension before it measured nothing, and is none


def extensions_in(events: Sequence[Event]) -> list[int]:
    """Return the places of the extensions among a run's events, without those that measured nothing."""
    places = list[int]()
    for place, event in enumerate(events):
        if event.kind == EXTENDED:
            places.append(place)
        elif event.kind == WITHDRAWN:
            places.pop()
    return places


def revision_of(events: Sequence[Event]) -> int:
    """Return the number of the revision that a run with these events works on, or has ended with; from 1."""
    return 1 + len(extensions_in(events))


def stream_of(revision: int) -> str:
    """Return the stream of the rounds that a revision measures itself."""
    return MAIN_STREAM if revision == 1 else f"{MAIN_STREAM}.{revision}"


def branch_of(stream: str) -> str:
    """Return the stream for the rounds of a run that leaves those of a stream, since its processor asks for others.

    >>> branch_of("main.2"), branch_of("main.2-1")
    ('main.2-1', 'main.2-2')
    """
    name, _, number = stream.partition("-")
    return f"{name}-{int(number or 0) + 1}"


def revision_of_stream(stream: str) -> int | None:
    """Return the revision of a run's own stream; None for a stream that a program named.

    >>> revision_of_stream("main.2"), revision_of_stream("main.2-1"), revision_of_stream("chemistry")
    (2, 2, None)
    """
    own = re.fullmatch(rf"{MAIN_STREAM}(?:\.(\d+))?(?:-\d+)?", stream)
    return None if own is None else int(own[1] or 1)
