"""Blocks of diagonal gates, as in QAOA and Ising circuits: one gate for each block, so that a state is passed once.

A stretch of CNOTs and diagonal gates that leaves all bits as they were is a sum of phases, each of a parity of bits
(M. Amy et al., Quantum Sci. Technol. 4 (2018) 015002).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hybridloop.emulator.formats.gates import DIAGONAL
from hybridloop.emulator.model.program import Instruction

MAX_BLOCK = 10  # qubits: a wider block takes longer than two
MOST_LOOKS = 20  # at each gate, on average: the rest of a program that takes more stays as it is
QUARTER = math.pi / 2
_TURNS = {"z": math.pi, "s": QUARTER, "sdg": -QUARTER, "t": QUARTER / 2, "tdg": -QUARTER / 2}

Terms = dict[frozenset[int], float]  # angles θ of exp(−i θ/2 Π Z) by the qubits of the product


def with_diagonal_blocks(instructions: Sequence[Instruction]) -> tuple[Instruction, ...]:
    """Return a program, up to its global phase, with blocks for the stretches of diagonal gates that they shorten.

    A block is an instruction `DIAGONAL`, whose angles (2^k,) are the phases of k qubits; bit i of an index is the i-th.
    """
    merged = list[Instruction]()
    position, looked_at = 0, 0
    while position < len(instructions) and looked_at <= MOST_LOOKS * len(instructions):
        last, end, terms = _stretch(instructions, position)
        looked_at += last - position
        blocks = _blocks(terms)
        end = max(end, position + 1)
        is_shorter = blocks is not None and len(blocks) < end - position
        merged += blocks if blocks is not None and is_shorter else instructions[position:end]
        position = end
    return (*merged, *instructions[position:])


def _stretch(instructions: Sequence[Instruction], start: int) -> tuple[int, int, Terms]:
    """Return the end of the longest stretch from here that leaves all bits as they are, and its terms.

    The first number is the end of all CNOTs and diagonal gates from here.
    """
    parities: dict[int, frozenset[int]] = {}  # of qubits that hold another bit than their own
    terms, found, end, position = Terms(), Terms(), start, start
    for position in range(start, len(instructions)):
        instruction = instructions[position]
        held = [parities.get(qubit, frozenset((qubit,))) for qubit in instruction.qubits]
        if instruction.conditions:
            break
        if instruction.name == "cx":
            target = instruction.qubits[1]
            parities[target] = held[0] ^ held[1]
            if parities[target] == {target}:
                del parities[target]
        elif (turns := _turns(instruction, held)) is not None:
            for bits, angle in turns:
                terms[bits] = terms.get(bits, 0.0) + angle
        else:
            break
        if not parities:
            end, found = position + 1, dict(terms)
    return position, end, found


def _turns(instruction: Instruction, held: Sequence[frozenset[int]]) -> list[tuple[frozenset[int], float]] | None:
    """Return the terms of a diagonal gate on qubits that hold these parities; None for another gate."""
    match instruction.name:
        case "rz" | "p":
            return [(held[0], instruction.angles[0])]
        case "rzz":
            return [(held[0] ^ held[1], instruction.angles[0])]
        case "cz":
            return [(held[0], QUARTER), (held[1], QUARTER), (held[0] ^ held[1], -QUARTER)]
        case name if name in _TURNS:
            return [(held[0], _TURNS[name])]
    return None


@dataclass(slots=True)
class _Block:
    qubits: frozenset[int]
    terms: Terms = field(default_factory=dict)


def _blocks(terms: Mapping[frozenset[int], float]) -> list[Instruction] | None:
    """Divide terms into blocks of at most `MAX_BLOCK` qubits, each with the terms that fit; None for wider terms."""
    blocks = list[_Block]()
    left = {bits: angle for bits, angle in terms.items() if bits and angle}
    if not left or max(map(len, left)) > MAX_BLOCK:
        return None
    while left:
        qubits = min(left, key=lambda bits: (-len(bits), sorted(bits)))
        while True:  # the qubit that brings the most further terms
            joined = {qubit: 0 for bits in left if len(bits - qubits) == 1 for qubit in bits - qubits}
            for bits in left:
                if len(bits - qubits) == 1 and bits & qubits:
                    joined[next(iter(bits - qubits))] += 1
            if len(qubits) == MAX_BLOCK or not joined:
                break
            qubits |= {min(joined, key=lambda qubit: (-joined[qubit], qubit))}
        block = _Block(qubits, {bits: left[bits] for bits in left if bits <= qubits})
        blocks.append(block)
        left = {bits: angle for bits, angle in left.items() if bits not in block.terms}
    return [Instruction(DIAGONAL, tuple(sorted(block.qubits)), tuple(_phases(block).tolist())) for block in blocks]


def _phases(block: _Block) -> NDArray[np.float64]:
    places = {qubit: place for place, qubit in enumerate(sorted(block.qubits))}
    index = np.arange(1 << len(places))
    phases = np.zeros(len(index))
    for bits, angle in block.terms.items():
        mask = sum(1 << places[qubit] for qubit in bits)
        phases -= angle / 2 * (1 - 2 * (np.bitwise_count(index & mask) & 1).astype(int))
    return phases
