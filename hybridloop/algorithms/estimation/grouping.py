"""Shot-saving measurement groups: coefficient splitting, and the choice of qubit-wise or fully commuting groups.

A term can be estimated in every group that measures it; coefficient splitting finds the best share of each group.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp
from scipy.optimize import minimize

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.observable import Grouping, Observable, bit_masks, observable

EXTRA_VARIANCE = 0.1  # of each term's variance bound c²: expected beyond that of the reference state
SMOOTHING = 1e-12  # squared hartree: keeps the gradient finite when a group vanishes
MAX_STEPS = 200
COST_TOLERANCE = 1e-6  # relative change of the cost per step
COEFFICIENT_DECIMALS = 10  # in hartree: digits that another machine's rounding may change are cut off
MAX_SHOT_RATIO = 0.9  # a smaller saving is not worth more gates, which add errors
MAX_GATE_INCREASE = 0.1  # relative to the ansatz's two-qubit gates: noise grows with them


def split_coefficients(observable: Observable, reference_state: int) -> Observable:
    """Split each coefficient among the groups that can measure its term: the same operator in the same circuits.

    Coefficient splitting by covariances: T.-C. Yen, A. Ganeshram and A. F. Izmaylov, npj Quantum Inf. 9 (2023) 14. The
    shares minimize Σ_g σ_g, the root of the shots by Neyman allocation, for a state near a basis state (bit i = qubit
    i) such as Hartree-Fock. Its covariances are known: terms that flip the same qubits are fully correlated, so shares
    of opposite effect cancel, and diagonal terms do not vary. The estimate is unbiased for any state; far from the
    reference only the shares are not optimal.
    """
    if len(observable.groups) < 2:
        return observable
    # optimize the shares
    split = _CoefficientSplit.of(observable, reference_state)
    optimum = minimize(
        split.cost, split.start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_STEPS, "ftol": COST_TOLERANCE}
    )
    shares = split.restore_sums(np.round(split.project(optimum.x), COEFFICIENT_DECIMALS))
    if split.cost(shares)[0] >= split.cost(split.start)[0]:
        return observable
    # groups with the new coefficients; those that lost all terms are dropped
    groups = []
    for number, group in enumerate(observable.groups):
        rows = np.flatnonzero((split.group == number) & (shares != 0.0))
        masks = tuple(split.masks[row] for row in rows)
        groups.append(replace(group, masks=masks, coefficients=split.signs[rows] * shares[rows]))
    return Observable(observable.operator, observable.constant, tuple(group for group in groups if group.masks))


def expected_deviations(observable: Observable, reference_state: int | None) -> float:
    """Return Σ_g σ_g in hartree for a state near a basis state, as in `split_coefficients`; None: for a random state.

    A standard error ε takes at least (Σ_g σ_g / ε)² shots. For a random state σ_g² = Σ c², without correlations.
    """
    if not observable.groups:
        return 0.0
    if reference_state is None:
        return float(sum(np.linalg.norm(group.coefficients) for group in observable.groups))
    split = _CoefficientSplit.of(observable, reference_state)
    return split.cost(split.start)[0]


@dataclass(frozen=True, slots=True, eq=False)
class _CoefficientSplit:
    """The shares of all pairs of a group and a term that it can measure, as arrays with one row per pair.

    `start` assigns each term wholly to the group that it comes from.
    """

    group: NDArray[np.int64]
    term: NDArray[np.int64]
    masks: tuple[int, ...]
    signs: NDArray[np.float64]  # sign of the term in the group's outcomes
    phase: NDArray[np.complex128]  # of the term's image of the reference state; 0 for diagonal terms
    flip: NDArray[np.int64]  # index of (group, flipped qubits): terms with the same index are fully correlated
    group_of_flip: NDArray[np.int64]
    start: NDArray[np.float64]
    totals: NDArray[np.float64]  # coefficient of each term
    home: NDArray[np.int64]  # for each term, the row of the group that it comes from

    @classmethod
    def of(cls, observable: Observable, reference: int) -> _CoefficientSplit:
        paulis = observable.operator.paulis
        x_masks, z_masks = bit_masks(paulis.x), bit_masks(paulis.z)
        measurable = [group.measurable_terms(paulis) for group in observable.groups]
        # the terms as (index in the operator, home group, coefficient)
        terms: list[tuple[int, int, float]] = []
        for home, (group, (is_measurable, masks, signs)) in enumerate(zip(observable.groups, measurable, strict=True)):
            index_of = {masks[index]: index for index in np.flatnonzero(is_measurable).tolist()}
            for mask, value in zip(group.masks, group.coefficients.tolist(), strict=True):
                terms.append((index_of[mask], home, value * float(signs[index_of[mask]])))
        # one row per pair: group, term, mask, sign, phase, (group, flipped qubits), start share
        rows: list[tuple[int, int, int, float, complex, tuple[int, int], float]] = []
        for number, (index, home, value) in enumerate(terms):
            x, z = x_masks[index], z_masks[index]
            phase = 1j ** ((x & z).bit_count() % 4) * (-1.0) ** (z & reference).bit_count() if x else 0.0
            for place, (is_measurable, masks, signs) in enumerate(measurable):
                if is_measurable[index]:
                    start = value if place == home else 0.0
                    rows.append((place, number, masks[index], float(signs[index]), phase, (place, x), start))
        flips = {flip: number for number, flip in enumerate(sorted({row[5] for row in rows}))}
        is_home = [row[0] == terms[row[1]][1] for row in rows]
        return cls(
            group=np.array([row[0] for row in rows]),
            term=np.array([row[1] for row in rows]),
            masks=tuple(row[2] for row in rows),
            signs=np.array([row[3] for row in rows]),
            phase=np.array([row[4] for row in rows], complex),
            flip=np.array([flips[row[5]] for row in rows]),
            group_of_flip=np.array([number for number, _ in flips]),
            start=np.array([row[6] for row in rows]),
            totals=np.array([value for *_, value in terms]),
            home=np.flatnonzero(is_home)[np.argsort(np.array([row[1] for row in rows])[is_home], kind="stable")],
        )

    def cost(self, free: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return Σ_g σ_g in hartree and its gradient, for shares projected onto the correct sums."""
        shares = self.project(free)
        # variances: correlated terms add before squaring
        amplitudes = self._sum_by_flip(self.phase.real * shares) + 1j * self._sum_by_flip(self.phase.imag * shares)
        count = int(self.group.max()) + 1
        variances = np.bincount(self.group_of_flip, np.abs(amplitudes) ** 2, count)
        deviations = np.sqrt(variances + EXTRA_VARIANCE * np.bincount(self.group, shares**2, count) + SMOOTHING)
        # the gradient, projected onto shares of constant sums
        half_slope = (np.conj(self.phase) * amplitudes[self.flip]).real + EXTRA_VARIANCE * shares
        slope = half_slope / deviations[self.group]
        means = self._sum_by_term(slope) / self._sum_by_term(np.ones(len(slope)))
        return float(deviations.sum()), slope - means[self.term]

    def project(self, free: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the nearest shares whose sums are the coefficients."""
        missing = (self.totals - self._sum_by_term(free)) / self._sum_by_term(np.ones(len(free)))
        return free + missing[self.term]

    def restore_sums(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add the rounding error of each term's shares to the share of its home group."""
        exact = shares.copy()
        exact[self.home] += self.totals - self._sum_by_term(shares)
        return exact

    def _sum_by_term(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(self.term, values, len(self.totals)).astype(float)

    def _sum_by_flip(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(self.flip, values, len(self.group_of_flip)).astype(float)


@dataclass(frozen=True, slots=True, eq=False)
class GroupingChoice:
    """An observable in measurement groups, its grouping, and the reason for it, as a clause for messages."""

    observable: Observable
    grouping: Grouping
    why: str


def group_hamiltonian(hamiltonian: SparsePauliOp, grouping: Grouping, reference_state: int | None) -> Observable:
    """Group a Hamiltonian's terms for measurement.

    With a `reference_state`, a basis state (bit i = qubit i) near the state sought, coefficients are split.
    """
    whole = observable(hamiltonian, grouping)
    return whole if reference_state is None else split_coefficients(whole, reference_state)


def choose_grouping(
    hamiltonian: SparsePauliOp, ansatz: Ansatz, reference_state: int | None, *, shots: int, precision: float
) -> GroupingChoice:
    """Choose fully commuting groups if they save shots and hardly lengthen the circuit, else qubit-wise groups.

    The shots are those of one round of a gradient search, 2n + 1 points of n angles with `shots` for each group, and of
    a final measurement with the standard error `precision`, (Σ_g σ_g / precision)², with σ_g expected near the
    reference state, or for a random state without one.
    """
    qubit_wise = group_hamiltonian(hamiltonian, Grouping.QUBIT_WISE, reference_state)
    commuting = group_hamiltonian(hamiltonian, Grouping.FULLY_COMMUTING, reference_state)
    points = 2 * ansatz.num_parameters + 1
    before, after = (
        points * len(grouped.groups) * shots + (expected_deviations(grouped, reference_state) / precision) ** 2
        for grouped in (qubit_wise, commuting)
    )
    ansatz_gates, added_gates = int(ansatz.circuit.num_nonlocal_gates()), commuting.two_qubit_gates
    if after > MAX_SHOT_RATIO * before:
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
