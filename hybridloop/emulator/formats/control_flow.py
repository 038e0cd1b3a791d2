"""Control-flow graph of an adaptive program: loops, and the order in which its blocks record the outputs."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping, Sequence

from hybridloop.emulator.formats.qir_functions import INVALID_QIR, OutputRecord, output_tree
from hybridloop.emulator.model.adaptive_program import Block, OutputKind, Return
from hybridloop.emulator.model.program import JobInputError, Output

MAX_OUTPUT_BLOCKS = 64  # that record outputs; compilers use one

OutputEntry = tuple[bool, int] | OutputKind  # a list (is_tuple and length), or a recorded value


def recorded_output(
    blocks: Sequence[Block], start: int, entries: Mapping[int, Sequence[OutputEntry]]
) -> tuple[Output, tuple[OutputKind, ...]]:
    """Return the tree of the outputs, with the positions of the recorded values, and the values' kinds.

    `entries` has the outputs of each block. Raises JobInputError unless each is recorded once in every shot.
    """
    successors = [set(block.successors) for block in blocks]
    recording = [number for number, found in entries.items() if found]
    if len(recording) > MAX_OUTPUT_BLOCKS:
        raise JobInputError(INVALID_QIR, f"more than {MAX_OUTPUT_BLOCKS} blocks record outputs")
    for number in recording:
        around = _reachable({start}, successors, without=number)
        is_optional = any(isinstance(blocks[each].end, Return) for each in around)
        repeats = number in _reachable(successors[number], successors)
        if is_optional or repeats or number not in _reachable({start}, successors):
            raise JobInputError(INVALID_QIR, "the entry point must record each output exactly once in every shot")
    # every path has all these blocks, in one order: from the first, all others are reachable
    followers = {number: len(_reachable({number}, successors) & set(recording)) for number in recording}
    kinds: list[OutputKind] = []
    tree: list[OutputRecord] = []
    for number in sorted(recording, key=lambda each: -followers[each]):
        for entry in entries[number]:
            if isinstance(entry, OutputKind):
                tree.append(len(kinds))
                kinds.append(entry)
            else:
                tree.append(entry)
    return output_tree(tree), tuple(kinds)


def has_loop(blocks: Sequence[Block]) -> bool:
    """Return True if a path leads from a block back to it."""
    try:
        graphlib.TopologicalSorter({number: set(block.successors) for number, block in enumerate(blocks)}).prepare()
    except graphlib.CycleError:
        return True
    return False


def _reachable(starts: set[int], successors: Sequence[set[int]], without: int | None = None) -> set[int]:
    """Return the blocks that are reached from `starts`, themselves included, on paths that avoid block `without`."""
    reached, waiting = set[int](), list(starts)
    while waiting:
        block = waiting.pop()
        if block not in reached and block != without:
            reached.add(block)
            waiting += successors[block]
    return reached
