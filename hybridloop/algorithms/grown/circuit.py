"""Circuit of a grown state: electron pairs on one qubit an orbital, copied to both spins where an operator needs it.

Under Jordan-Wigner qubit p is the alpha spin orbital of orbital p, and qubit p + norb the beta one. As long as an
orbital is empty or has a pair, its beta qubit is a copy of its alpha qubit, so that it is made last: by one CX, before
the first operator that breaks the pair, or at the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector

from hybridloop.algorithms.circuits.ansatz import Ansatz, Frequencies
from hybridloop.algorithms.circuits.pair_rotation import PairGate, givens_gates
from hybridloop.algorithms.circuits.uccsd import MAX_TRACKED_STATES, cancel_inverses, shared_frequencies
from hybridloop.algorithms.grown.operators import FIRST_PAIR_GATES, Exponential, Operator
from hybridloop.algorithms.problems.electronic import ElectronicProblem, mask_of, set_bits

Control = tuple[int, bool]  # a qubit and its value
States = frozenset[int]  # bit i is qubit i


def most_two_qubit_gates(problem: ElectronicProblem, operators: Sequence[Operator]) -> int:
    """Return the two-qubit gates of the circuit of these operators, before what its first states allow to leave out."""
    count, moved, broken = 0, set[int](), _single_orbitals(problem)
    for operator in operators:
        touched = set(operator.orbitals)
        if operator.is_pair and not touched & broken:
            count += FIRST_PAIR_GATES
            moved |= touched
            continue
        count += operator.gates + len(touched & moved - broken)
        broken |= touched
    return count + len(moved - broken)


def _single_orbitals(problem: ElectronicProblem) -> set[int]:
    """Return the orbitals that have one electron in the Hartree-Fock determinant."""
    fewer, more = sorted(problem.molecule.electrons)
    return set(range(fewer, more))


def grown(problem: ElectronicProblem, operators: Sequence[Operator]) -> Ansatz:
    """Build the circuit of operators, in order, after the Hartree-Fock determinant of a Jordan-Wigner problem.

    All angles zero are that determinant. The states that the circuit can have reached are tracked: a control that they
    make needless is left out.
    """
    parameters = ParameterVector("θ", len(operators))
    circuit = _Circuit(problem)
    frequencies = []
    for parameter, operator in zip(parameters, operators, strict=True):
        exponentials = operator.exponentials(problem.molecule.norb)
        frequencies.append(shared_frequencies([circuit.append(each, parameter) for each in exponentials]))
    return Ansatz(
        "grown",
        cancel_inverses(circuit.finished()),
        np.zeros(len(operators)),
        tuple(frequencies),
        conserves_electrons=True,
        conserves_spin=all(operator.is_pair for operator in operators),
    )


class _Circuit:
    """A circuit that is being built, and the states that it can have reached; None: too many."""

    def __init__(self, problem: ElectronicProblem) -> None:
        self._norb, occupation = problem.molecule.norb, problem.encoding.hartree_fock_occupation()
        self._circuit = QuantumCircuit(2 * self._norb, name="grown")
        self._reachable: States | None = frozenset({occupation})
        alpha, beta = occupation & (1 << self._norb) - 1, occupation >> self._norb
        self._broken = _single_orbitals(problem)  # and other orbitals whose beta qubit has its own value
        for orbital in set_bits(alpha):
            self._circuit.x(orbital)
        for orbital in set_bits(beta & ~alpha):
            self._circuit.x(orbital + self._norb)

    def append(self, exponential: Exponential, angle: Parameter) -> Frequencies:
        """Append exp(angle · Σ sign (T − T†)); return the frequencies of the energy along it."""
        emptied, filled, _ = exponential[0]
        moves_pair = len(exponential) == 1 and self._are_pairs(emptied, filled)
        if not moves_pair or self._broken & {emptied[0], filled[0]}:
            self._copy(orbital % self._norb for orbital in (*emptied, *filled))
            moves_pair = False
        if moves_pair or len(emptied) == 1:
            p, q = emptied[0], filled[0]
            self._add(
                givens_gates(p, q, is_one_pair=self._always(lambda state: bool((state >> p ^ state >> q) & 1))), angle
            )
        else:
            self._excitation(exponential, angle)
        frequencies = (2,) if self._always(lambda state: _moved(exponential, state) is not None) else (1, 2)
        self._reach(exponential)
        return frequencies

    def finished(self) -> QuantumCircuit:
        """Return the circuit after all copies."""
        self._copy(range(self._norb))
        return self._circuit

    def _are_pairs(self, *spin_orbitals: Sequence[int]) -> bool:
        return all(len(each) == 2 and each[1] == each[0] + self._norb for each in spin_orbitals)

    def _copy(self, orbitals: Iterable[int]) -> None:
        """Copy alpha qubits to beta qubits that have no value of their own yet; a definite one needs no CX."""
        for orbital in sorted(set(orbitals) - self._broken):
            values = {0, 1} if self._reachable is None else {state >> orbital & 1 for state in self._reachable}
            if values == {1}:
                self._circuit.x(orbital + self._norb)
            elif len(values) == 2:
                self._circuit.cx(orbital, orbital + self._norb)
            self._broken.add(orbital)

    def _always(self, holds: Callable[[int], bool]) -> bool:
        return self._reachable is not None and all(map(holds, self._reachable))

    def _reach(self, exponential: Exponential) -> None:
        if self._reachable is not None:
            moved = (_moved(exponential, state) for state in self._reachable)
            after = self._reachable.union(state for state in moved if state is not None)
            self._reachable = after if len(after) <= MAX_TRACKED_STATES else None

    def _add(self, gates: Iterable[PairGate], angle: Parameter) -> None:
        for name, qubits, factor in gates:
            getattr(self._circuit, name)(*((factor * angle,) if factor else ()), *qubits)

    def _excitation(self, exponential: Exponential, angle: Parameter) -> None:
        """Append a qubit excitation or coupled exchange, by CX around a controlled rotation of one qubit.

        The CX before it leave the states that it moves with known values on all qubits but one. The last of its
        controls is the target of the CX that follows: both are one controlled Y up to a phase.
        """
        before, target, controls, sign = _frame(exponential)
        for pair in before:
            self._circuit.cx(*pair)
        needed = self._needed(controls, before)
        merged = needed and needed[-1] == controls[-1]
        _rotate(self._circuit, 2.0 * sign * angle, target, needed, leaves_last=bool(merged))
        after = list(reversed(before))
        if merged:  # CZ and then CX from the target to the last control
            control = controls[-1][0]
            after.remove((target, control))
            self._circuit.sdg(target)
            self._circuit.sdg(control)
            self._circuit.cx(target, control)
            self._circuit.s(control)
        for pair in after:
            self._circuit.cx(*pair)

    def _needed(self, controls: Sequence[Control], cx: Sequence[tuple[int, int]]) -> list[Control]:
        """Return the fewest controls that hold, on the states reached and after the CX, where all of them hold."""
        if self._reachable is None:
            return list(controls)
        states = [_after_cx(state, cx) for state in self._reachable]
        hold = [tuple(bool(state >> qubit & 1) == value for qubit, value in controls) for state in states]
        wanted = list(map(all, hold))
        for count in range(len(controls)):
            for places in itertools.combinations(reversed(range(len(controls))), count):
                if [all(each[place] for place in places) for each in hold] == wanted:
                    return [controls[place] for place in sorted(places)]
        return list(controls)


def _frame(exponential: Exponential) -> tuple[list[tuple[int, int]], int, list[Control], float]:
    """Return CX gates, the qubit that is rotated, its controls, and the sign of its angle.

    Between them the exponential is a rotation where all controls have their values. The last CX that acts on the last
    control's qubit is from the rotated one.
    """
    (a, b), (c, d), sign = exponential[0]
    if len(exponential) == 1:
        return [(a, b), (c, d), (a, c)], a, [(b, False), (d, False), (c, True)], -sign
    inner = sign * exponential[1][2]
    p, r, s, q = (a, c, b, d) if inner > 0 else (b, d, a, c)
    return [(p, r), (s, q), (p, s)], p, [(q, True), (r, True)], -sign


def _rotate(
    circuit: QuantumCircuit, angle: Any, target: int, controls: Sequence[Control], *, leaves_last: bool
) -> None:
    """Append RY of an angle where all controls hold; with `leaves_last` without the last CZ, of the last control.

    M. Möttönen et al., Phys. Rev. Lett. 93 (2004) 130502: rotations between CZ in the order of a Gray code.
    """
    count = 1 << len(controls)
    if controls:  # CX with H before and after the whole, which reverses rotations, in place of CZ
        circuit.h(target)
    for step in range(count):
        code, following = step ^ step >> 1, (step + 1) % count ^ (step + 1) % count >> 1
        is_negative = sum(code >> place & 1 and value for place, (_, value) in enumerate(controls)) % 2 ^ bool(controls)
        circuit.ry((-1.0 if is_negative else 1.0) / count * angle, target)
        if controls and not (leaves_last and step == count - 1):
            circuit.cx(controls[(code ^ following).bit_length() - 1][0], target)
    if controls:
        circuit.h(target)


def _moved(exponential: Exponential, state: int) -> int | None:
    """Return the state to which an exponential moves a state; None if it leaves it."""
    for emptied, filled, _ in exponential:
        full, empty = mask_of(emptied), mask_of(filled)
        if state & (full | empty) in (full, empty):
            return state ^ (full | empty)
    return None


def _after_cx(state: int, cx: Sequence[tuple[int, int]]) -> int:
    for control, target in cx:
        state ^= (state >> control & 1) << target
    return state
