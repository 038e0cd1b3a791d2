"""Which terms share a circuit: by one-qubit gates alone, or by gates between qubits where that saves shots."""

from __future__ import annotations

from dataclasses import dataclass

from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.measurement import Grouping, Observable, observable
from hybridloop.algorithms.sharing import expected_deviations, share_terms, unknown_deviations

WORTH = 0.9  # of the shots: for less it is not worth gates that a machine may get wrong
MOST_LONGER = 0.1  # of the ansatz's gates between qubits: noise grows with them


@dataclass(frozen=True, slots=True, eq=False)
class Grouped:
    """An observable ready to be measured, how its terms are grouped, and a clause that says why."""

    observable: Observable
    grouping: Grouping
    why: str


def grouped(hamiltonian: SparsePauliOp, grouping: Grouping, reference_state: int | None) -> Observable:
    """The operator in groups, its terms shared out among them where a basis state near the one sought is known."""
    whole = observable(hamiltonian, grouping)
    return whole if reference_state is None else share_terms(whole, reference_state)


def choose_grouping(
    hamiltonian: SparsePauliOp, ansatz: Ansatz, reference_state: int | None, *, shots: int, precision: float
) -> Grouped:
    """Fully commuting groups where they take clearly fewer shots and hardly lengthen the circuit; else qubit-wise ones.

    Shots are those of one round of a search by slopes, 2n + 1 points of n angles with `shots` for each group, and of an
    answer with the standard error `precision`, (Σ_g σ_g / precision)², each σ_g as expected near the reference, or
    of a state unknown.
    """
    plain = grouped(hamiltonian, Grouping.QUBIT_WISE, reference_state)
    turned = grouped(hamiltonian, Grouping.FULLY_COMMUTING, reference_state)
    points = 2 * ansatz.num_parameters + 1

    def needed(by: Observable) -> float:
        deviations = unknown_deviations(by) if reference_state is None else expected_deviations(by, reference_state)
        return points * len(by.groups) * shots + (deviations / precision) ** 2

    before, after = needed(plain), needed(turned)
    own, further = int(ansatz.circuit.num_nonlocal_gates()), turned.two_qubit_gates
    if after > WORTH * before:
        saved = 100 * max(0.0, 1.0 - after / before)
        why = f"fully commuting ones would save {saved:.0f} % of some {before:.1e} shots"
        return Grouped(plain, Grouping.QUBIT_WISE, why)
    if further > MOST_LONGER * own:
        why = f"fully commuting ones would add {further} gates between qubits to the {own} of the ansatz"
        return Grouped(plain, Grouping.QUBIT_WISE, why)
    why = (
        f"{len(turned.groups)} circuits a point do the work of {len(plain.groups)}, with {after:.1e} shots in place of "
        f"{before:.1e}, for {further} more gates between qubits than the {own} of the ansatz"
    )
    return Grouped(turned, Grouping.FULLY_COMMUTING, why)
