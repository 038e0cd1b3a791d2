"""Q# as QIR: source text with an entry expression, and callables of an interpreter that a user has set up."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hybridloop.compiler.qsharp_process import QsharpRefused, qsharp_compiler
from hybridloop.errors import InputError

T = TypeVar("T")
_MESSAGE = re.compile(r"^[^\S\n]*+x (.+)$(?:\n\s*+`-> (.+)$)?", re.MULTILINE)
_PLACE = re.compile(r",-\[[^\]\n]{0,300}:(\d{1,9}):\d{1,9}\]")
_COMMENT = re.compile(r"//[^\n]*")
_NAMESPACE = re.compile(r"\bnamespace\s+([\w.]+)")
_ENTRY_POINTS = (  # the operation with the attribute goes before one called Main
    re.compile(
        r"@EntryPoint\s*\([^()]*\)\s*(?:@\w+\s*\([^()]*\)\s*){0,20}(?:internal\s+)?(?:operation|function)\s+(\w+)"
    ),
    re.compile(r"\b(?:operation|function)\s+(Main)\b"),
)
_MAX_TEXT = 300  # characters of the compiler's message
_IN_PYTHON = "return results or integers, and compute the rest in Python"
_WAYS_OUT = {  # by profile: what to do about a program that computes more than a target of it can
    "Base": "choose one with an Adaptive profile (`hybridloop targets`), or measure at the end and count in Python",
    "Adaptive_RI": f"{_IN_PYTHON}; Doubles that depend on measurements need Adaptive_RIF (`hybridloop targets`)",
}


@dataclass(frozen=True, slots=True)
class QsharpProgram:
    """A Q# program: its `source`, and the `entry` expression that calls an operation, such as `Main()`.

    Without an entry it is the source's entry point: the operation with `@EntryPoint()`, else `Main`, in any namespace.
    The program is compiled when it runs, for the profile of the target.
    """

    source: str
    entry: str = ""

    def __post_init__(self) -> None:
        if not self.entry:
            object.__setattr__(self, "entry", f"{_entry_point(self.source)}()")

    @property
    def name(self) -> str:
        """The name of the operation that is called."""
        return self.entry.partition("(")[0].strip() or "qsharp"


def _entry_point(source: str) -> str:
    """Return the full name of a source's entry point; `Main` where it has none."""
    code = without_comments(source)
    found = (match for pattern in _ENTRY_POINTS if (match := pattern.search(code)) is not None)
    match = next(found, None)
    return "Main" if match is None else full_name(code, match[1], match.start())


def without_comments(source: str) -> str:
    """Return Q# source with blanks in place of its comments."""
    return _COMMENT.sub(lambda comment: " " * len(comment[0]), source)


def full_name(code: str, name: str, place: int) -> str:
    """Return the name of what is declared at a place of Q# code without comments, with its namespace if it has one."""
    return ".".join([*[space[1] for space in _NAMESPACE.finditer(code, 0, place)][-1:], name])


def compile_source(source: str, entries: Sequence[str], profile: str) -> list[str]:
    """Compile Q# source to QIR text for each entry expression, in a process with limits.

    Raises InputError with the compiler's words, and CompilationStopped at a limit.
    """
    return [_compiled(source, entry, profile) for entry in entries]


def compile_callable(function: Callable[..., Any], arguments: Sequence[Any], profile: str) -> str:
    """Compile a callable of the user's own interpreter, such as `qdk.code.Main`, to QIR text.

    The interpreter's profile is the user's choice. Raises InputError, also for one that was set up in another thread.
    """
    from qdk import qsharp

    remedy = f"Call qsharp.init(target_profile=qsharp.TargetProfile.{profile}) before the source is evaluated."
    return in_words(lambda: str(qsharp.compile(function, *arguments)), profile, remedy)


def is_qsharp_callable(program: object) -> bool:
    """Return whether this is an operation or function of Q#, as `qdk` and `qsharp` make them."""
    return callable(program) and "__global_callable" in getattr(program, "__dict__", {})


@functools.lru_cache(maxsize=64)
def _compiled(source: str, entry: str, profile: str) -> str:
    if re.fullmatch(r"\s*[A-Za-z_][\w.]*\s*", entry):
        raise InputError("entry", f"{entry!r} does not call its operation", f"Give entry {entry.strip() + '()'!r}.")
    try:
        return qsharp_compiler(os.getpid()).compile(source, entry, profile)
    except QsharpRefused as error:
        called = f", or what it calls, {entry!r}: hl.qsharp(source, 'My.Space.Main(0.5)')" if error.is_of_entry else ""
        raise compiler_refusal(str(error), profile, f"Correct the source{called}.") from error


def in_words(compile_program: Callable[[], T], profile: str, remedy: str) -> T:
    """Compile; put the compiler's error in words of one line, with the remedy. Raises InputError."""
    from qdk.qsharp import QSharpError

    try:
        return compile_program()
    except QSharpError as error:
        raise compiler_refusal(str(error), profile, remedy) from error
    except BaseException as error:  # a panic of the compiler is no subclass of Exception; all others go on
        if type(error).__name__ != "PanicException":
            raise
        problem = "the Q# callable belongs to an interpreter of another thread"
        raise InputError("program", problem, "Set up qsharp in this thread, or give hl.qsharp(source).") from error


def compiler_refusal(text: str, profile: str, remedy: str, what: str = "the Q# program") -> InputError:
    """Return the compiler's error in words of one line, with the remedy; `what` names the program."""
    said = [": ".join(filter(None, parts)) for parts in dict.fromkeys(_MESSAGE.findall(text))]
    said = said or text.splitlines()[:1]
    place = _PLACE.search(text)
    where = f"line {place[1]}: " if place else ""
    if "CapabilitiesCk" in text:
        remedy = f"A target with profile {profile} does not take it: {_WAYS_OUT.get(profile, _IN_PYTHON)}."
    problem = f"{what} does not compile for profile {profile}: {where}{'; '.join(said)[:_MAX_TEXT]}"
    return InputError("program", problem, remedy)
