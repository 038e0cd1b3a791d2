"""Choice of measurement groups: qubit-wise or fully commuting, by their cost and noise on a target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.coefficient_splitting import expected_deviations, split_coefficients
from hybridloop.algorithms.estimation.observable import Grouping, MeasurementGroup, Observable, observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState

MAX_COST_RATIO = 0.9  # the shots of a smaller saving are not known well enough: they are predicted within a tenth
MAX_GATE_INCREASE = 0.1  # before search rules 5: relative to the ansatz's two-qubit gates


@dataclass(frozen=True, slots=True, eq=False)
class GroupingChoice:
    """An observable in measurement groups, its grouping, and the reason for it, as a clause for messages."""

    observable: Observable
    grouping: Grouping
    why: str


@dataclass(frozen=True, slots=True)
class MeasurementCosts:
    """Cost and noise of measurements on a target.

    `cost` is that of the ansatz measured in a group with so many shots, in `unit`: of money, or shots if they are free
    or their price is unknown. `two_qubit_error` is the strength of depolarizing noise after a gate on two qubits.
    """

    cost: Callable[[MeasurementGroup, int], float]
    unit: str
    two_qubit_error: float


def group_hamiltonian(hamiltonian: SparsePauliOp, grouping: Grouping, reference: ReferenceState | None) -> Observable:
    """Group a Hamiltonian's terms for measurement; with a `reference`, coefficients are split."""
    whole = observable(hamiltonian, grouping)
    return whole if reference is None else split_coefficients(whole, reference)


def choose_grouping(
    hamiltonian: SparsePauliOp,
    ansatz: Ansatz,
    reference: ReferenceState | None,
    costs: MeasurementCosts,
    *,
    shots: int,
    precision: float,
) -> GroupingChoice:
    """Choose the groups of the smaller product of cost and mean squared error.

    Its inverse is the efficiency of an estimator (P. W. Glynn and W. Whitt, Oper. Res. 40 (1992) 505; with bias: P.
    L'Ecuyer, Proc. Winter Simul. Conf. (1994) 122). The cost is that of one round of a gradient search, 2n + 1 points
    of n angles with `shots` for each group, and of a final measurement with the standard error `precision`. The error
    is that standard error, and the bias of noise (1 − (1 − r)^G) √Σc² for G gates on two qubits: global depolarizing of
    strength r after each (J. Vovrosh et al., Phys. Rev. E 104 (2021) 035309). Fully commuting groups add gates, on a
    target without noise at no cost.
    """
    plans = [_Plan.of(hamiltonian, grouping, ansatz, reference, costs, shots, precision) for grouping in Grouping]
    qubit_wise, commuting = plans
    unit = costs.unit
    if commuting.cost > MAX_COST_RATIO * qubit_wise.cost:
        saved = 100 * max(0.0, 1.0 - commuting.cost / qubit_wise.cost)
        why = f"fully commuting groups would save only {saved:.0f} % of about {qubit_wise.cost:.1e} {unit}"
        return GroupingChoice(qubit_wise.observable, Grouping.QUBIT_WISE, why)
    if commuting.product > MAX_COST_RATIO * qubit_wise.product:
        noise = "bring noise to circuits that have no such gates"
        if qubit_wise.bias:
            noise = f"make the error expected of noise {commuting.bias / qubit_wise.bias:.1f} times as large"
        why = (
            f"fully commuting groups would take about {commuting.cost:.1e} {unit} instead of {qubit_wise.cost:.1e}, "
            f"but their {commuting.added_gates:.1f} two-qubit gates beside the {qubit_wise.gates:.0f} of the ansatz "
            f"would {noise}"
        )
        return GroupingChoice(qubit_wise.observable, Grouping.QUBIT_WISE, why)
    why = (
        f"they take {len(commuting.observable.groups)} circuits per point instead of "
        f"{len(qubit_wise.observable.groups)} and about {commuting.cost:.1e} {unit} instead of {qubit_wise.cost:.1e}, "
        f"for {commuting.added_gates:.1f} more two-qubit gates a shot than the ansatz's {qubit_wise.gates:.0f}"
    )
    return GroupingChoice(commuting.observable, Grouping.FULLY_COMMUTING, why)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A grouping's expected cost, and the bias and standard error of its energy in hartree.

    `gates` on two qubits are those of a shot of the final measurement, on average, and `added_gates` of them its own.
    """

    observable: Observable
    cost: float
    gates: float
    added_gates: float
    bias: float
    precision: float

    @property
    def product(self) -> float:
        """The product of cost and mean squared error."""
        return self.cost * (self.bias**2 + self.precision**2)

    @classmethod
    def of(
        cls,
        hamiltonian: SparsePauliOp,
        grouping: Grouping,
        ansatz: Ansatz,
        reference: ReferenceState | None,
        costs: MeasurementCosts,
        shots: int,
        precision: float,
    ) -> _Plan:
        grouped = group_hamiltonian(hamiltonian, grouping, reference)
        deviations = expected_deviations(grouped, reference)
        total = float(deviations.sum())
        final = [math.ceil(deviation * total / precision**2) for deviation in deviations.tolist()]
        points = 2 * ansatz.num_parameters + 1
        pairs = list(zip(grouped.groups, final, strict=True))
        cost = math.fsum(points * costs.cost(group, shots) + costs.cost(group, number) for group, number in pairs)
        added = _mean_gates(grouped, deviations)
        gates = int(ansatz.circuit.num_nonlocal_gates()) + added
        scale = float(np.sqrt(sum(np.abs(hamiltonian.coeffs[_acts(hamiltonian)]) ** 2)))
        bias = (1.0 - (1.0 - costs.two_qubit_error) ** gates) * scale
        return cls(grouped, cost, gates, added, bias, precision)


def _mean_gates(grouped: Observable, deviations: NDArray[np.float64]) -> float:
    """Return the mean number of added two-qubit gates over the shots of Neyman allocation."""
    if not (total := float(deviations.sum())):
        return 0.0
    return float(deviations @ [group.two_qubit_gates for group in grouped.groups]) / total


def _acts(hamiltonian: SparsePauliOp) -> NDArray[np.bool_]:
    """Return which terms are not the identity."""
    acts: NDArray[np.bool_] = (hamiltonian.paulis.x | hamiltonian.paulis.z).any(axis=1)
    return acts


def choose_grouping_by_shots(
    hamiltonian: SparsePauliOp, ansatz: Ansatz, reference: ReferenceState | None, *, shots: int, precision: float
) -> GroupingChoice:
    """Choose fully commuting groups if they save shots and hardly lengthen the circuit: the rule of earlier runs.

    The shots are those of one round of a gradient search, 2n + 1 points of n angles with `shots` for each group, and of
    a final measurement with the standard error `precision`, (Σ_g σ_g / precision)², with σ_g expected near the
    reference state, or for a random state without one.
    """
    qubit_wise = group_hamiltonian(hamiltonian, Grouping.QUBIT_WISE, reference)
    commuting = group_hamiltonian(hamiltonian, Grouping.FULLY_COMMUTING, reference)
    points = 2 * ansatz.num_parameters + 1
    before, after = (
        points * len(grouped.groups) * shots + (float(expected_deviations(grouped, reference).sum()) / precision) ** 2
        for grouped in (qubit_wise, commuting)
    )
    ansatz_gates, added_gates = int(ansatz.circuit.num_nonlocal_gates()), commuting.two_qubit_gates
    if after > MAX_COST_RATIO * before:
        saved = 100 * max(0.0, 1.0 - after / before)
        why = f"fully commuting groups would save only {saved:.0f} % of about {before:.1e} shots"
        return GroupingChoice(qubit_wise, Grouping.QUBIT_WISE, why)
    if added_gates > MAX_GATE_INCREASE * ansatz_gates:
        why = f"fully commuting groups would add {added_gates} two-qubit gates to the {ansatz_gates} of the ansatz"
        return GroupingChoice(qubit_wise, Grouping.QUBIT_WISE, why)
    why = (
        f"they take {len(commuting.groups)} circuits per point instead of {len(qubit_wise.groups)} and about "
        f"{after:.1e} shots instead of {before:.1e}, for {added_gates} more two-qubit gates than the ansatz's "
        f"{ansatz_gates}"
    )
    return GroupingChoice(commuting, Grouping.FULLY_COMMUTING, why)
