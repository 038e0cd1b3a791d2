"""Choice of measurement groups, of Pauli terms or of rotated orbitals, by their cost and noise on a target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.basis import without_two_qubit_rotations
from hybridloop.algorithms.estimation.coefficient_splitting import expected_deviations, split_coefficients
from hybridloop.algorithms.estimation.double_factorization import (
    MAX_DETERMINANTS,
    MAX_ORBITALS,
    double_factorization,
)
from hybridloop.algorithms.estimation.final import MIN_PILOT_SHOTS
from hybridloop.algorithms.estimation.group_coefficients import RotatedGroups
from hybridloop.algorithms.estimation.observable import Grouping, MeasurementGroup, Observable, observable
from hybridloop.algorithms.estimation.pair_fragments import MAX_STATES, pair_groups
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.pairs import PairedElectrons
from hybridloop.errors import InputError
from hybridloop.runtime.text_table import count_text

MIN_GROUPS = 3  # of commuting terms: with fewer, eigenvectors save nothing
MAX_NOISE = 1.1  # of Σσ with noise to Σσ without: noise leaves nothing of what a fit saves
SEARCH_ROUNDS, SEARCH_SHARE = 5, 4.0  # of a measured search: medians of molecules, the shots in final measurements
HIDDEN_FAULTS = 0.5  # of the faults of a circuit of pairs: those that do not change the number of pairs
MAX_COST_RATIO = 0.9  # the shots of a smaller saving are not known well enough: they are predicted within a tenth
CIRCUIT_WORDS = ("pairs:", "grown:", "orbitals:")  # beginnings of a record's words that have a circuit and its orbitals
_QUBIT_WISE, _COMMUTING = Grouping.QUBIT_WISE, Grouping.FULLY_COMMUTING


Problem = ElectronicProblem | PairedElectrons | None  # whose integrals allow rotated groups


@dataclass(frozen=True, slots=True)
class Effort:
    """Effort of a circuit with its measurement: `amount` in `unit`, a price or shots times gates, with errors in it.

    `gates` on two qubits are those of the largest circuit.
    """

    amount: float
    unit: str
    gates: int

    def __str__(self) -> str:
        return f"{_two_digits(self.amount)} {self.unit} and {self.gates} two-qubit gates in a circuit"


def _two_digits(amount: float) -> str:
    return f"{float(f'{amount:.2g}'):,.{0 if amount >= 10.0 else 1}f}"


@dataclass(frozen=True, slots=True, eq=False)
class GroupingChoice:
    """An observable in measurement groups, its grouping, and the reason for it, as a clause for messages.

    `deviations` (groups,) in hartree are what the standard deviation of each group's shots is expected to be.
    `rotations` are fitted ones of orbitals or pairs as a text, else empty. `least_shots` are those of a job. `effort`
    is that of a whole run with them, None where it was not estimated. `circuit` has the words that a run records of the
    circuit itself (`CIRCUIT_WORDS`), empty for one that follows from the settings.
    """

    observable: Observable
    grouping: Grouping
    why: str
    deviations: NDArray[np.float64]
    rotations: str = ""
    least_shots: int = 1
    effort: Effort | None = None
    circuit: str = ""

    @property
    def record(self) -> str:
        """The grouping, the least shots of a job, the rotations, and the circuit, as a run records them.

        Prices may have changed on a resume, and a fit may end elsewhere on another machine.
        """
        return " ".join(filter(None, (self.grouping, str(self.least_shots), self.rotations, self.circuit)))

    @property
    def text(self) -> str:
        """The grouping and the reason for it."""
        return f"{self.grouping}, as {self.why}"


class RecordedGroups(NamedTuple):
    """The parts of a `GroupingChoice.record`."""

    grouping: Grouping
    least_shots: int
    rotations: str
    circuit: str

    @classmethod
    def read(cls, record: str) -> RecordedGroups:
        words = record.split(" ")
        circuit = [word for word in words if word.startswith(CIRCUIT_WORDS)]
        name, least, rotations = (*(word for word in words if word not in circuit), "")[:3]
        return cls(Grouping(name), int(least), rotations, " ".join(circuit))


@dataclass(frozen=True, slots=True)
class MeasurementCosts:
    """Cost and noise of measurements on a target.

    `cost` is that of the ansatz measured in a group with so many shots, in `unit`: of money, or shots if they are free
    or their price is unknown. `two_qubit_error` is the strength of depolarizing noise after a gate on two qubits.
    `samples` is false of a target whose distribution is exact: fewer shots save nothing there. A job with fewer than
    `least_shots` saves little. Without `two_qubit_rotations` rxx, ryy and rzz are CNOTs there. `is_price` is false
    where shots are free or their price is unknown.
    """

    cost: Callable[[MeasurementGroup, int], float]
    unit: str
    two_qubit_error: float
    samples: bool = True
    least_shots: int = 1
    two_qubit_rotations: bool = True
    is_price: bool = False


def group_hamiltonian(hamiltonian: SparsePauliOp, grouping: Grouping, reference: ReferenceState | None) -> Observable:
    """Group a Hamiltonian's terms for measurement; with a `reference`, coefficients are split."""
    whole = observable(hamiltonian, grouping)
    return whole if reference is None else split_coefficients(whole, reference)


def given_grouping(
    hamiltonian: SparsePauliOp,
    grouping: Grouping,
    reference: ReferenceState | None,
    why: str,
    problem: Problem,
    rotations: str | None = None,
) -> GroupingChoice:
    """Group the Hamiltonian of a `problem` with integrals, or of none. Raises InputError for an impossible grouping.

    `rotations` are those that were chosen before, None to fit them.
    """
    if grouping in (Grouping.DOUBLE_FACTORIZATION, Grouping.PAIR_ROTATIONS):
        found = _rotated(grouping, problem, reference, rotations)
        return GroupingChoice(found.observable, grouping, why, found.deviations, found.rotations)
    grouped = group_hamiltonian(hamiltonian, grouping, reference)
    return GroupingChoice(grouped, grouping, why, expected_deviations(grouped, reference))


def _rotated(
    grouping: Grouping, problem: Problem, reference: ReferenceState | None, rotations: str | None
) -> RotatedGroups:
    found: RotatedGroups | None = None
    if grouping is Grouping.PAIR_ROTATIONS:
        what = "only puccd measures electron pairs"
        if isinstance(problem, PairedElectrons):
            found = pair_groups(problem, text=rotations or "")
            what = f"{problem.molecule.source} has more than {MAX_STATES} states of its pairs"
    elif isinstance(problem, ElectronicProblem) and reference is not None:
        found = double_factorization(problem, reference, rotations)
        what = (
            f"{problem.molecule.source} has more than {MAX_ORBITALS} orbitals or {MAX_DETERMINANTS:,} determinants, or "
            "integrals that its eigenvectors do not give back"
        )
    else:
        what = "puccd measures pairs" if problem else "the problem is no molecule, and has no orbitals to rotate"
    if found is None:
        raise InputError("grouping", f"{grouping.replace('-', ' ')} is not possible: {what}", "Choose auto.")
    return found


def pauli_groupings(hamiltonian: SparsePauliOp, reference: ReferenceState | None) -> tuple[Observable, Observable]:
    """Return the Hamiltonian in qubit-wise and in fully commuting groups, from which `choose_grouping` chooses."""
    return (
        group_hamiltonian(hamiltonian, _QUBIT_WISE, reference),
        group_hamiltonian(hamiltonian, _COMMUTING, reference),
    )


def choose_grouping(
    of_paulis: tuple[Observable, Observable],
    ansatz: Ansatz,
    reference: ReferenceState | None,
    costs: MeasurementCosts,
    *,
    precision: float,
    problem: Problem = None,
    rotations: str | None = None,
) -> GroupingChoice:
    """Choose the groups of the smallest product of cost and mean squared error, `of_paulis` or rotated ones.

    Its inverse is the efficiency of an estimator (P. W. Glynn and W. Whitt, Oper. Res. 40 (1992) 505; with bias: P.
    L'Ecuyer, Proc. Winter Simul. Conf. (1994) 122). The cost is that of a final measurement with the standard error
    `precision` and, unless the ansatz has a simulation for its search, of a search: `SEARCH_ROUNDS` of 2n + 1 points of
    n angles, with `SEARCH_SHARE` times the shots of the final measurement. The error is that standard error, and the
    bias of noise
    (1 − (1 − r)^G) √Σc² for G gates on two qubits: global depolarizing of strength r after each (J. Vovrosh et al.,
    Phys. Rev. E 104 (2021) 035309). Fully commuting groups add gates, on a target without noise at no cost, and double
    factorization of a small molecule, the `problem`, adds more: with fitted orbitals, or with eigenvectors, which take
    fewer gates. Electron pairs are measured after rotations fitted to them wherever that is possible: only these
    conserve their number, and show errors. `rotations` are those that were fitted before, if any.
    """
    plan = partial(_Plan.of, ansatz=ansatz, costs=costs, precision=precision)
    qubit_wise, commuting = (plan(grouped, expected_deviations(grouped, reference)) for grouped in of_paulis)
    if isinstance(problem, PairedElectrons):
        gates = int(ansatz.circuit.num_nonlocal_gates()) + 2 * (problem.num_qubits // 2)
        fault = HIDDEN_FAULTS * (1.0 - (1.0 - costs.two_qubit_error) ** gates)
        if (pairs := pair_groups(problem, fault=fault, text=rotations or "")) is not None:
            rotated = plan(pairs.observable, pairs.deviations)
            choice = rotated.choice(Grouping.PAIR_ROTATIONS, rotated.instead_of(qubit_wise, costs.unit))
            return replace(choice, rotations=pairs.rotations)
    elif problem is not None and reference is not None:
        # a search by measurements that starts far from the reference has points where fitted groups vary more
        may_fit = costs.samples and (ansatz.model is not None or ansatz.starts_near)
        texts = [rotations or None] if may_fit else []
        texts += [""] if len(commuting.observable.groups) >= MIN_GROUPS else []
        found = [double_factorization(problem, reference, text) for text in texts]
        plans = [(plan(each.observable, each.deviations), each.rotations) for each in found if each is not None]
        plans = [each for each in plans if not each[1] or each[0].noise_rise <= MAX_NOISE]
        better = [each for each in plans if all(each[0].is_better_than(other) for other in (qubit_wise, commuting))]
        if better:
            best, text = min(better, key=lambda each: each[0].product)
            chosen = best.choice(Grouping.DOUBLE_FACTORIZATION, best.instead_of(qubit_wise, costs.unit))
            return replace(chosen, rotations=text)
    unit = costs.unit
    if commuting.cost > MAX_COST_RATIO * qubit_wise.cost:
        saved = 100 * max(0.0, 1.0 - commuting.cost / qubit_wise.cost)
        saves = (
            f"would save only {saved:.0f} % of about {_two_digits(qubit_wise.cost)} {unit}"
            if saved >= 1.0
            else "save nothing"
        )
        why = f"fully commuting groups {saves}"
        return qubit_wise.choice(_QUBIT_WISE, why)
    if commuting.product > MAX_COST_RATIO * qubit_wise.product:
        noise = "bring noise to circuits that have no such gates"
        if qubit_wise.bias:
            noise = f"make the error expected of noise {commuting.bias / qubit_wise.bias:.1f} times as large"
        why = (
            f"fully commuting groups would take about {_two_digits(commuting.cost)} {unit} instead of "
            f"{_two_digits(qubit_wise.cost)}, but their {commuting.added_gates:.1f} two-qubit gates beside the "
            f"{qubit_wise.gates:.0f} of the ansatz would {noise}"
        )
        return qubit_wise.choice(_QUBIT_WISE, why)
    return commuting.choice(_COMMUTING, commuting.instead_of(qubit_wise, unit))


def effort_of(choice: GroupingChoice, ansatz: Ansatz, costs: MeasurementCosts, precision: float) -> Effort:
    """Return the effort of a run to a standard error, measured in these groups."""
    return _Plan.of(choice.observable, choice.deviations, ansatz=ansatz, costs=costs, precision=precision).effort


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A grouping's expected cost, and the bias and standard error of its energy in hartree.

    `gates` on two qubits are those of a shot of the final measurement, on average, and `added_gates` of them its own.
    """

    observable: Observable
    deviations: NDArray[np.float64]
    cost: float
    gates: float
    added_gates: float
    bias: float
    precision: float
    fault: float
    effort: Effort

    @property
    def noise_rise(self) -> float:
        """The sum of the deviations with gate noise, relative to that without."""
        noisy = _with_faults(self.observable, self.deviations, self.fault)
        return float(noisy.sum() / self.deviations.sum()) if self.deviations.any() else 1.0

    @property
    def product(self) -> float:
        """The product of cost and mean squared error."""
        return self.cost * (self.bias**2 + self.precision**2)

    def choice(self, grouping: Grouping, why: str) -> GroupingChoice:
        return GroupingChoice(self.observable, grouping, why, self.deviations)

    def is_better_than(self, other: _Plan) -> bool:
        return self.cost <= MAX_COST_RATIO * other.cost and self.product <= MAX_COST_RATIO * other.product

    def instead_of(self, qubit_wise: _Plan, unit: str) -> str:
        """Return what it takes and what qubit-wise groups would take, as a clause."""
        own, others = len(self.observable.groups), len(qubit_wise.observable.groups)
        gates = qubit_wise.gates + self.added_gates
        return (
            f"{count_text(own, 'circuit')} per point, with {count_text(round(gates), 'two-qubit gate')} each, "
            f"{'takes' if own == 1 else 'take'} about {_two_digits(self.cost)} {unit}, and {others} qubit-wise, with "
            f"{qubit_wise.gates:.0f}, about {_two_digits(qubit_wise.cost)}"
        )

    @classmethod
    def of(
        cls,
        grouped: Observable,
        deviations: NDArray[np.float64],
        *,
        ansatz: Ansatz,
        costs: MeasurementCosts,
        precision: float,
    ) -> _Plan:
        jobs = 0 if ansatz.model is not None else SEARCH_ROUNDS * (2 * ansatz.num_parameters + 1)

        def total_of(cost: Callable[[MeasurementGroup, int], float], deviations: NDArray[np.float64]) -> float:
            final = [math.ceil(each * deviations.sum() / precision**2) for each in deviations.tolist()]
            total = math.fsum(map(cost, grouped.groups, final))
            if jobs:
                shots = [max(costs.least_shots, math.ceil(SEARCH_SHARE * number / jobs)) for number in final]
                total += jobs * math.fsum(map(cost, grouped.groups, shots))
            return total

        cost = total_of(costs.cost, deviations)
        added = _mean_gates(grouped, deviations)
        circuit = ansatz.circuit if costs.two_qubit_rotations else without_two_qubit_rotations(ansatz.circuit)
        gates = int(circuit.num_nonlocal_gates()) + added
        operator = grouped.operator
        scale = float(np.sqrt(sum(np.abs(operator.coeffs[_acts(operator)]) ** 2)))
        fault = 1.0 - (1.0 - costs.two_qubit_error) ** gates
        own = int(circuit.num_nonlocal_gates())

        def gate_shots(group: MeasurementGroup, shots: int) -> float:
            return float(max(1, own + group.two_qubit_gates) * max(shots, MIN_PILOT_SHOTS))

        def price(group: MeasurementGroup, shots: int) -> float:
            return costs.cost(group, max(shots, MIN_PILOT_SHOTS))

        amount = total_of(price if costs.is_price else gate_shots, _with_faults(grouped, deviations, fault))
        unit = costs.unit if costs.is_price else "shots times gates"
        effort = Effort(amount, unit, own + grouped.two_qubit_gates)
        return cls(grouped, deviations, cost, gates, added, fault * scale, precision, fault, effort)


def _with_faults(grouped: Observable, deviations: NDArray[np.float64], fault: float) -> NDArray[np.float64]:
    """Return the deviations of groups where a share of the shots is random: its variance is Σc².

    Those of pairs are expected with faults already.
    """
    faulty = np.array([float((group.coefficients**2).sum()) for group in grouped.groups])
    noisy = np.sqrt((1.0 - fault) * deviations**2 + fault * faulty)
    return np.where([group.ones is None for group in grouped.groups], noisy, deviations)


def _mean_gates(grouped: Observable, deviations: NDArray[np.float64]) -> float:
    """Return the mean number of added two-qubit gates over the shots of Neyman allocation."""
    if not (total := float(deviations.sum())):
        return 0.0
    return float(deviations @ [group.two_qubit_gates for group in grouped.groups]) / total


def _acts(hamiltonian: SparsePauliOp) -> NDArray[np.bool_]:
    """Return which terms are not the identity."""
    acts: NDArray[np.bool_] = (hamiltonian.paulis.x | hamiltonian.paulis.z).any(axis=1)
    return acts
