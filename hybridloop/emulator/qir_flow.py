"""The order in which a QIR entry point's lines are executed, and under which measured results.

Jumps go forward only. A branch on a result is followed both ways, up to the block where the ways meet again; what lies
between is done under that result's value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from hybridloop.emulator.program import Unrunnable

INVALID_QIR = "QIRPreProcessingFailed"
MAX_INDEX = 4096  # of a qubit or result: far above any target, far below what would fill the memory
MAX_CONDITIONS = 64  # of one instruction: branches within branches

Conditions = tuple[tuple[int, int], ...]

_NAME = r"(\"[^\"]*\"|[\w.$-]+)"
_INDEX = re.compile(
    r"(?:%Qubit\*|%Result\*|ptr)(?: (?:nonnull|noundef|readonly|writeonly|nocapture))*"
    r" (?:(null)|inttoptr \(i64 (\d+) to (?:%Qubit\*|%Result\*|ptr)\))"
)
_LABEL = re.compile(_NAME + ":")
_JUMP = re.compile(rf"br label %{_NAME}")
_BRANCH = re.compile(rf"br i1 %{_NAME}, label %{_NAME}, label %{_NAME}")
_RETURN = re.compile(r"ret (?:void|i64 \S+|i32 \S+)")
_READ = re.compile(
    rf"%{_NAME} = (?:tail )?call (?:zeroext )?i1 @__quantum__(?:rt__read_result|qis__read_result__body)\((.*)\)"
    r"(?: #\d+)?"
)
_NOT = re.compile(rf"%{_NAME} = (?:xor i1|icmp eq i1|icmp ne i1) %{_NAME}, (true|false)")


def executed_lines(body: str) -> Iterator[tuple[str, Conditions]]:
    """The body's instructions in the order of execution, each with the results that it depends on."""
    return _Walk(_blocks(body)).lines("", None, ())


def index_of(text: str, line: str) -> int:
    """The number of a qubit or result that an operand names."""
    match = _INDEX.fullmatch(text)
    if match is None:
        raise Unrunnable(INVALID_QIR, f"an operand is not a constant qubit or result: {line[:120]!r}")
    index = 0 if match[1] else int(match[2])
    if index >= MAX_INDEX:
        raise Unrunnable(INVALID_QIR, f"index {index} is out of range: {line[:120]!r}")
    return index


def _blocks(body: str) -> dict[str, list[str]]:
    """Lines under their block's label; the entry block's is empty."""
    blocks: dict[str, list[str]] = {"": []}
    current = blocks[""]
    for raw in body.split("\n"):
        line = (raw.partition(";")[0] if ";" in raw else raw).strip()
        if not line:
            continue
        label = _LABEL.fullmatch(line) if line[-1] == ":" else None
        if label is None:
            current.append(line)
        elif blocks[""] or len(blocks) > 1:  # else it names the entry block, to which nothing jumps
            current = blocks[label[1]] = []
    return blocks


@dataclass(slots=True)
class _Walk:
    """Goes through the blocks once, remembering which variable is which result's value."""

    blocks: dict[str, list[str]]
    visited: set[str] = field(default_factory=set)
    known: dict[str, tuple[int, int]] = field(default_factory=dict)  # variable -> result, its value where it is true

    def lines(self, block: str | None, until: str | None, conditions: Conditions) -> Iterator[tuple[str, Conditions]]:
        """The lines from a block on to the block `until` (None: the return), all under these conditions."""
        if len(conditions) > MAX_CONDITIONS:
            raise Unrunnable(INVALID_QIR, "the program's branches are nested too deeply")
        while block != until:
            if block is None or block in self.visited or block not in self.blocks:
                problem = f"the program jumps to block {block!r}, which is a loop or not there, or returns in a branch"
                raise Unrunnable(INVALID_QIR, problem)
            self.visited.add(block)
            *inner, last = self.blocks[block] or [""]
            for line in inner:
                # a call's line is the rule, and the quickest to tell
                if line[0] == "%" and self._is_noted(line):
                    continue
                if line[:3] in ("br ", "ret"):
                    raise Unrunnable(INVALID_QIR, f"instructions follow {line!r} in its block")
                yield line, conditions
            if branch := _BRANCH.fullmatch(last):
                result, value = self._asked(branch[1], last)
                meeting = self._meeting(branch[2], branch[3])
                yield from self.lines(branch[2], meeting, (*conditions, (result, value)))
                yield from self.lines(branch[3], meeting, (*conditions, (result, 1 - value)))
                block = meeting
            elif jump := _JUMP.fullmatch(last):
                block = jump[1]
            elif _RETURN.fullmatch(last):
                block = None
            else:
                raise Unrunnable(INVALID_QIR, f"a block ends without a return or a jump on a result: {last[:120]!r}")

    def _is_noted(self, line: str) -> bool:
        """Whether the line only gives a name to a result's value or its opposite; it is remembered then."""
        if read := _READ.fullmatch(line):
            self.known[read[1]] = (index_of(read[2], line), 1)
        elif (other := _NOT.fullmatch(line)) and other[2] in self.known:
            result, value = self.known[other[2]]
            turns = (other[3] == "true") == ("icmp eq" not in line)
            self.known[other[1]] = (result, 1 - value if turns else value)
        else:
            return False
        return True

    def _asked(self, variable: str, line: str) -> tuple[int, int]:
        if variable not in self.known:
            raise Unrunnable(INVALID_QIR, f"the program branches on what is no measured result: {line[:120]!r}")
        return self.known[variable]

    def _meeting(self, first: str, second: str) -> str | None:
        """The first block that both ways reach; None where each returns by itself, or there is no single first one."""
        both = self._reached(first) & self._reached(second)
        heads = both - {following for block in both for following in self._successors(block)}
        return heads.pop() if len(heads) == 1 else None

    def _reached(self, start: str) -> set[str]:
        reached, unread = set[str](), [start]
        while unread:
            block = unread.pop()
            if block not in reached and self.blocks.get(block):
                reached.add(block)
                unread += self._successors(block)
        return reached

    def _successors(self, block: str) -> tuple[str, ...]:
        last = self.blocks[block][-1]
        if branch := _BRANCH.fullmatch(last):
            return branch[2], branch[3]
        jump = _JUMP.fullmatch(last)
        return () if jump is None else (jump[1],)
