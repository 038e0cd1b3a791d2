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
from hybridloop.algorithms.circuits.diagonalization import bit_masks
from hybridloop.algorithms.estimation.observable import Grouping, Observable, observable

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
    kept = np.flatnonzero(shares != 0.0)
    kept = kept[np.argsort(split.group[kept], kind="stable")]
    bounds = np.searchsorted(split.group[kept], np.arange(len(observable.groups) + 1))
    for group, begin, end in zip(observable.groups, bounds, bounds[1:], strict=False):
        rows = kept[begin:end]
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
    split = _CoefficientSplit.as_measured(observable, reference_state)
    return split.cost(split.start)[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """All pairs of a group and a term that it can measure, by group; and the terms, each in its own group.

    `index` is the term's in the operator, `home` the pair of each term with the group that it is in, `values` its
    coefficient there. A term whose coefficient is split counts once for each group that it is in.
    """

    group: NDArray[np.int64]
    index: NDArray[np.int64]
    masks: list[int]
    signs: NDArray[np.float64]
    home: NDArray[np.int64]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, observable: Observable) -> _Pairs:
        parts = [group.measurable_terms(observable.operator.paulis) for group in observable.groups]
        masks, home = list[int](), list[int]()
        for group, (_, part_masks, _) in zip(observable.groups, parts, strict=True):
            row_of = {mask: row for row, mask in enumerate(part_masks, start=len(masks))}
            home += [row_of[mask] for mask in group.masks]
            masks += part_masks
        signs = np.concatenate([part_signs for _, _, part_signs in parts])
        return cls(
            group=np.repeat(np.arange(len(parts)), [len(part_masks) for _, part_masks, _ in parts]),
            index=np.concatenate([np.flatnonzero(is_measurable) for is_measurable, _, _ in parts]),
            masks=masks,
            signs=signs,
            home=np.array(home),
            values=np.concatenate([group.coefficients for group in observable.groups]) * signs[home],
        )


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
    pairs: NDArray[np.float64]  # number of rows of each term
    home: NDArray[np.int64]  # for each term, the row of the group that it comes from

    @classmethod
    def of(cls, observable: Observable, reference: int) -> _CoefficientSplit:
        """Create with a row for each group that can measure a term."""
        pairs = _Pairs.of(observable)
        # the pairs of each term, by their groups in order
        by_index = np.argsort(pairs.index, kind="stable")
        begins = np.searchsorted(pairs.index[by_index], np.arange(len(observable.operator) + 1))
        indices = pairs.index[pairs.home]
        counts = begins[indices + 1] - begins[indices]
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = by_index[np.repeat(begins[indices], counts) + offsets]
        return cls._of_rows(observable, reference, pairs, np.repeat(np.arange(len(indices)), counts), rows)

    @classmethod
    def as_measured(cls, observable: Observable, reference: int) -> _CoefficientSplit:
        """Create with a row only for each group that has a term, which is enough for the cost of `start`."""
        pairs = _Pairs.of(observable)
        return cls._of_rows(observable, reference, pairs, np.arange(len(pairs.home)), pairs.home)

    @classmethod
    def _of_rows(
        cls, observable: Observable, reference: int, pairs: _Pairs, term: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> _CoefficientSplit:
        """Create from the number of the term and the pair of each row."""
        group, is_home = pairs.group[rows], rows == pairs.home[term]
        # the flipped qubits and the phase of each term's image of the reference state
        paulis = observable.operator.paulis[pairs.index[pairs.home]]
        x_masks = bit_masks(paulis.x)
        phases = [
            1j ** ((x & z).bit_count() % 4) * (-1.0) ** (z & reference).bit_count() if x else 0.0
            for x, z in zip(x_masks, bit_masks(paulis.z), strict=True)
        ]
        number_of = {x: number for number, x in enumerate(sorted(set(x_masks)))}
        flips, flip = np.unique(
            group * len(number_of) + np.array([number_of[x] for x in x_masks])[term], return_inverse=True
        )
        return cls(
            group=group,
            term=term,
            masks=tuple(pairs.masks[row] for row in rows.tolist()),
            signs=pairs.signs[rows],
            phase=np.array(phases, complex)[term],
            flip=flip,
            group_of_flip=flips // len(number_of),
            start=np.where(is_home, pairs.values[term], 0.0),
            totals=pairs.values,
            pairs=np.bincount(term).astype(float),
            home=np.flatnonzero(is_home),
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
        means = self._sum_by_term(slope) / self.pairs
        return float(deviations.sum()), slope - means[self.term]

    def project(self, free: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the nearest shares whose sums are the coefficients."""
        missing = (self.totals - self._sum_by_term(free)) / self.pairs
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
