"""QIR text: its entry point, the blocks of that, and what kind of target it needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from hybridloop.errors import ProgramError

_DEFINE = re.compile(
    r"^define [^@\n]*+@(\"[^\"\n]*+\"|[\w.$-]++)\(([^\n]*)\)([^\n){]*+)\{[^\n]*\n(.*?)(?:^\}|\Z)",
    re.MULTILINE | re.DOTALL,
)
_GROUP = re.compile(r"#(\d+)")
_ATTRIBUTES = re.compile(r"^attributes #(\d+) = \{([^\n]*)\}", re.MULTILINE)
_ENTRY = re.compile(r'"(?:entry_point|EntryPoint)"')
_REQUIRED = re.compile(r'"(?:required_num|num_required)_qubits"="(\d+)"')
_LABEL = re.compile(r"([\w.$-]+|\"[^\"]*\"):(?:\s*;.*)?")
_TARGETS = re.compile(r"label %([\w.$-]+|\"[^\"]*\")")
_QUBIT = re.compile(r"%Qubit\* inttoptr \(i64 (\d+) to")
_POINTER = re.compile(r"inttoptr \(i64 (\d+) to")
_PLAIN_CALL = re.compile(r"(?:tail |musttail |notail )?call void @__quantum__(?:qis|rt)__\w+\(.*")
_FLOATS = re.compile(r"\b(?:f(?:add|sub|mul|div|rem|neg|cmp)|phi double|select i1 [^,]+, double|[us]itofp|fpto[us]i)\b")


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """The function that a job runs: its name, its lines by block in order, and the qubits that it declares or uses."""

    name: str
    blocks: dict[str, tuple[str, ...]]
    num_qubits: int
    calls_functions: bool

    @property
    def is_straight(self) -> bool:
        """True if all is one sequence of quantum instructions and outputs, as the base profile has it."""
        lines = [line for block in self.blocks.values() for line in block]
        body = [line for line in lines if not line.startswith(("ret ", "br label "))]
        return not self.has_loops and all(_PLAIN_CALL.match(line) for line in body)

    @property
    def has_loops(self) -> bool:
        """True if a block can be run again."""
        graph = {name: _successors(block) for name, block in self.blocks.items()}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError:
            return True
        return False

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The lines that each shot runs last: those before the only return, back to where ways join or part."""
        follows = {name: _successors(block) for name, block in self.blocks.items()}
        ends = [name for name, block in self.blocks.items() if block and block[-1].startswith("ret ")]
        if len(ends) != 1:
            return ()
        chain, before = [ends[0]], ends[0]
        while len(previous := [name for name, after in follows.items() if before in after]) == 1:
            before = previous[0]
            if len(follows[before]) != 1 or before in chain:
                break
            chain.insert(0, before)
        return tuple(line for name in chain for line in self.blocks[name])

    @property
    def is_bounded(self) -> bool:
        """True if no instruction can run twice in a shot, so that all of them together are the most that it runs."""
        return not self.has_loops and not self.calls_functions

    @property
    def computes_doubles(self) -> bool:
        """True if it computes with doubles that depend on measurements, which Adaptive_RI does not have."""
        return any(_FLOATS.search(line) for block in self.blocks.values() for line in block)


def is_qir(text: str) -> bool:
    """Return whether a text is QIR: LLVM assembly that calls quantum instructions."""
    return "@__quantum__" in text and re.search(r"^define ", text, re.MULTILINE) is not None


def entry_point(text: str, name: str) -> EntryPoint:
    """Return the entry point of QIR text. Raises ProgramError if there is not exactly one, or one with arguments."""
    text = text.replace("\r\n", "\n")
    attributes = dict(_ATTRIBUTES.findall(text))
    defined = [
        (function.strip('"'), parameters, " ".join(attributes.get(group, "") for group in _GROUP.findall(suffix)), body)
        for function, parameters, suffix, body in _DEFINE.findall(text)
    ]
    entries = [found for found in defined if _ENTRY.search(found[2])] or defined
    if len(entries) != 1:
        raise ProgramError(name, f"a QIR program has one entry point; {len(entries)} were found")
    function, parameters, marks, body = entries[0]
    if parameters.strip():
        raise ProgramError(name, f"its entry point {function} takes arguments: give a program that sets them itself")
    required = _REQUIRED.search(marks)
    pointers = _QUBIT if required else _POINTER  # without types a result's number looks like a qubit's
    used = max((int(number) for number in pointers.findall(body)), default=0) + 1
    if "@__quantum__rt__qubit_allocate" in body:
        raise ProgramError(
            name, "it allocates qubits while it runs, so their number is not known: compile it for a target"
        )
    calls = any(re.search(rf'@"?{re.escape(called)}"?\(', body) for called, *_ in defined)
    return EntryPoint(function, _blocks(body), max(int(required[1]) if required else 0, used), calls)


def _blocks(body: str) -> dict[str, tuple[str, ...]]:
    blocks: dict[str, list[str]] = {"": []}
    current = ""
    for raw in body.splitlines():
        comment = raw.find(";", raw.rfind('"') + 1)
        line = (raw if comment < 0 else raw[:comment]).strip()
        if label := _LABEL.fullmatch(line):
            current = label[1]
            blocks[current] = []
        elif line:
            blocks[current].append(line)
    return {name: tuple(lines) for name, lines in blocks.items() if name or lines}


def _successors(block: tuple[str, ...]) -> set[str]:
    """Return the blocks that may follow; a `switch` may go on over several lines."""
    return {name for line in block for name in _TARGETS.findall(line)}
