"""Public functions for programs that are given to `session.run`."""

from __future__ import annotations

from pathlib import Path

from hybridloop.compiler.languages.from_qsharp import QsharpProgram
from hybridloop.errors import InputError


def qsharp(source: str | Path, entry: str | None = None) -> QsharpProgram:
    """Return a Q# program for `session.run`: source text, or the path of a .qs file, and the expression to call.

    The entry may have arguments, such as `Tilted(0.25)`; by default it is the operation with `@EntryPoint()`, else
    `Main()`. The program is compiled for the profile of the session's
    target when it runs, and the compiler's errors are raised then. Raises InputError for a file that can't be read.
    """
    from hybridloop.compiler.languages.convert import names_a_file, read_text_file

    if isinstance(source, Path) or (isinstance(source, str) and names_a_file(source)):
        source = read_text_file(Path(source))
    if not isinstance(source, str):
        raise InputError("source", f"{type(source).__name__} is no Q# source", "Give its text, or the path of a file.")
    if entry is not None and (not isinstance(entry, str) or not entry.strip()):
        raise InputError("entry", f"{entry!r} calls no operation", "Give an expression such as 'Main()'.")
    return QsharpProgram(source, entry or "")
