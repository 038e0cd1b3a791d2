"""Partition of Pauli terms into groups of commuting terms: greedy graph coloring and sorted insertion.

Both work on bits in arrays: lists of pairs of terms, as Qiskit's, take gigabytes for a few thousand terms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import PauliList, SparsePauliOp

from hybridloop.algorithms.circuits.diagonalization import BoolArray, bit_masks


def color_greedily(paulis: PauliList, *, qubit_wise: bool) -> list[list[int]]:
    """Color the graph of pairs that do not commute: each term, by falling degree, takes the first free color.

    Returns the indices of each color's terms, in the order and with the result of Qiskit's `group_commuting` (D. J. A.
    Welsh and M. B. Powell, Comput. J. 10 (1967) 85). Takes n² bytes for n terms.
    """
    conflicts = _conflicts(paulis, qubit_wise=qubit_wise)
    order = np.argsort(-conflicts.sum(axis=1), kind="stable")
    groups: list[list[int]] = []
    blocked = np.zeros((16, len(order)), bool)  # by color: terms with a conflict in it
    for index in order.tolist():
        color = int(np.argmin(blocked[: len(groups) + 1, index]))  # the row after the last color has no conflict
        if color == len(groups):
            groups.append([])
            if len(groups) == len(blocked):
                blocked = np.concatenate([blocked, np.zeros_like(blocked)])
        groups[color].append(index)
        blocked[color] |= conflicts[index]
    return groups


def insert_sorted(operator: SparsePauliOp, *, qubit_wise: bool) -> list[list[int]]:
    """Sorted insertion: each term, largest first, joins the first group of which it commutes with all terms.

    O. Crawford et al., Quantum 5 (2021) 385. Returns the indices of each group's terms.
    """
    order = _largest_first(operator)
    return _insert_qubit_wise(operator.paulis, order) if qubit_wise else _insert_commuting(operator.paulis, order)


def _insert_qubit_wise(paulis: PauliList, order: Sequence[int]) -> list[list[int]]:
    x_masks, z_masks = bit_masks(paulis.x), bit_masks(paulis.z)
    bases: list[tuple[int, int]] = []  # of each group, as X and Z masks
    groups: list[list[int]] = []
    for index in order:
        x, z = x_masks[index], z_masks[index]
        for position, (group_x, group_z) in enumerate(bases):
            shared = (x | z) & (group_x | group_z)
            if not shared & ((x ^ group_x) | (z ^ group_z)):
                bases[position] = (group_x | x, group_z | z)
                groups[position].append(index)
                break
        else:
            bases.append((x, z))
            groups.append([index])
    return groups


def _insert_commuting(paulis: PauliList, order: Sequence[int]) -> list[list[int]]:
    x, z = paulis.x.astype(np.float32), paulis.z.astype(np.float32)
    groups: list[list[int]] = []
    group_of = np.full(len(paulis), -1)
    for index in order:
        has_conflict = (x @ z[index] + z @ x[index]) % 2 == 1
        is_free = np.ones(len(groups) + 2, bool)  # of each group, of a new one, and of the terms without a group
        is_free[group_of[has_conflict]] = False
        place = int(np.argmax(is_free))
        if place == len(groups):
            groups.append([])
        groups[place].append(index)
        group_of[index] = place
    return groups


def _conflicts(paulis: PauliList, *, qubit_wise: bool) -> BoolArray:
    """Return the pairs of terms (n, n) that do not commute; with `qubit_wise`, on at least one qubit."""
    x, z = paulis.x, paulis.z
    if not qubit_wise:
        crossed = _overlaps(x, z)
        return np.asarray((crossed + crossed.T) % 2 == 1)
    # on so many qubits both have a letter, and on so many the same one
    both, same = _overlaps(x | z, x | z), _overlaps(x & z, x & z)
    same += _overlaps(x & ~z, x & ~z)
    same += _overlaps(z & ~x, z & ~x)
    return np.asarray(both != same)


def _overlaps(left: BoolArray, right: BoolArray) -> NDArray[np.float32]:
    """Return the number of common bits of each pair of rows; exact, as it is far below 2^24."""
    overlaps: NDArray[np.float32] = left.astype(np.float32) @ right.astype(np.float32).T
    return overlaps


def _largest_first(operator: SparsePauliOp) -> list[int]:
    sizes = np.round(np.abs(operator.coeffs), 10)  # terms that are equal up to rounding keep the order of their labels
    order: list[int] = np.argsort(-sizes, kind="stable").tolist()
    return order
