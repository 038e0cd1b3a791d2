"""The Q# compiler in an interpreter of its own: the interpreters that a user has set up keep their state."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hybridloop.errors import InputError

_SAID = re.compile(r"^\s*(?:x|`->|\|) (.+)$", re.MULTILINE)  # an error, and its causes below it
_LINE = re.compile(r",-\[line_0:(\d+):\d+\]")  # of the source, not of an entry expression
_MAX_TEXT = 300  # characters of the compiler's message


def compile_entries(source: str, entries: Sequence[str], profile: str) -> list[str]:
    """Compile a Q# source once, and each entry expression to QIR text. Raises InputError with the compiler's words."""
    with _in_words("Correct the source; an ansatz has no measurements."), _evaluated(source, profile) as context:
        return [str(context.compile(entry)) for entry in entries]


def compile_in(context: Any, entries: Sequence[str]) -> list[str]:
    """Compile entry expressions in the interpreter of a user, a `qdk.Context`. Raises InputError."""
    remedy = "Call qdk.init(target_profile=qdk.TargetProfile.Base) before qdk.qsharp.eval, or give the source."
    with _in_words(remedy):
        return [str(context.compile(entry)) for entry in entries]


@contextmanager
def _in_words(remedy: str) -> Iterator[None]:
    """Raise the compiler's errors as InputError, with the line of the source."""
    from qdk import qsharp

    try:
        yield
    except qsharp.QSharpError as error:
        text = str(error)
        line = _LINE.search(text)
        where = "" if line is None else f"line {line[1]}: "
        said = "; ".join(dict.fromkeys(_SAID.findall(text))) or text.strip()
        raise InputError("ansatz", f"the Q# does not compile: {where}{said[:_MAX_TEXT]}", remedy) from error


@contextmanager
def _evaluated(source: str, profile: str) -> Iterator[Any]:
    """Hold a new interpreter that has evaluated the source. It serves the block, in this thread."""
    os.environ.setdefault("QDK_PYTHON_TELEMETRY", "none")  # no telemetry about what users run
    from qdk import Context, TargetProfile

    context = Context(target_profile=getattr(TargetProfile, profile))
    try:
        context.eval(source)
        yield context
    finally:
        # an interpreter may be freed by its own thread alone, so no cycle may leave it to the garbage collector
        _release(context.code)


def _release(namespace: Any) -> None:
    """Remove the references of a namespace, and of those in it, to their interpreter."""
    for value in vars(namespace).values():
        if isinstance(value, type):
            value._qdk_context = None  # type: ignore[attr-defined]
        elif type(value) is type(namespace):
            _release(value)
    vars(namespace).clear()
