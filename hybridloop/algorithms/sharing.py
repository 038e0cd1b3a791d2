"""Fewer shots for the same error bar: a term is estimated in every group whose basis shows it, in the best shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms.measurement import MeasurementGroup, Observable

SPREAD = 0.1  # of each term's own variance, that the state is expected to have beyond the reference's
SMOOTHING = 1e-12  # squared hartree, so that a group may vanish
MOST_STEPS = 200
SETTLED = 1e-6  # of the cost, per step
DIGITS = 10  # of a share, in hartree: what another machine's rounding may change is cut off


def share_terms(observable: Observable, reference_state: int) -> Observable:
    """The same operator in the same bases, each coefficient shared out among the groups that can measure its term.

    The shares minimize Σ_g σ_g, the square root of Neyman's cost, for a state near a basis state (bit i = qubit i) such
    as Hartree-Fock, where covariances are known: terms that flip the same qubits are fully correlated, so that shares
    of opposite effect cancel, and diagonal terms do not vary. Coefficient splitting by covariances: T.-C. Yen,
    A. Ganeshram and A. F. Izmaylov, npj Quantum Inf. 9 (2023) 14. The estimate is unbiased whatever the state is; if it
    is far from the reference, only the shares are not the best.
    """
    if len(observable.groups) < 2:
        return observable
    shares = _Shares.of(observable.groups, reference_state)
    found = minimize(
        shares.cost, shares.start, jac=True, method="L-BFGS-B", options={"maxiter": MOST_STEPS, "ftol": SETTLED}
    )
    split = shares.balanced(np.round(shares.summing_up(found.x), DIGITS))
    if shares.cost(split)[0] >= shares.cost(shares.start)[0]:
        return observable
    groups = []
    for number, group in enumerate(observable.groups):
        mine = np.flatnonzero((shares.group == number) & (split != 0.0))
        masks = tuple(shares.masks[each] for each in mine)
        groups.append(MeasurementGroup(group.basis, masks, split[mine]))
    return Observable(observable.operator, observable.constant, tuple(each for each in groups if each.masks))


@dataclass(frozen=True, slots=True, eq=False)
class _Shares:
    """All pairs of a group and a term that it can measure, as columns; `start` has each term whole in its own group."""

    group: NDArray[np.int64]
    term: NDArray[np.int64]
    masks: tuple[int, ...]
    phase: NDArray[np.complex128]  # of the basis state that the term makes of the reference; 0 for diagonal terms
    flip: NDArray[np.int64]  # numbers of (group, qubits flipped): terms with the same one are fully correlated
    group_of_flip: NDArray[np.int64]
    start: NDArray[np.float64]
    totals: NDArray[np.float64]
    own: NDArray[np.int64]  # for each term, the pair that it starts in

    @classmethod
    def of(cls, groups: Sequence[MeasurementGroup], reference: int) -> _Shares:
        bases = [_letters(group.basis) for group in groups]
        terms = [
            (x & mask, z & mask, number, value)
            for number, (group, (x, z)) in enumerate(zip(groups, bases, strict=True))
            for mask, value in zip(group.masks, group.coefficients.tolist(), strict=True)
        ]
        rows: list[tuple[int, int, int, complex, tuple[int, int], float]] = []
        for place, (x, z, home, value) in enumerate(terms):
            support = x | z
            phase = 1j ** ((x & z).bit_count() % 4) * (-1.0) ** (z & reference).bit_count() if x else 0.0
            for number, (basis_x, basis_z) in enumerate(bases):
                if support & ~(basis_x | basis_z) == 0 and basis_x & support == x and basis_z & support == z:
                    rows.append((number, place, support, phase, (number, x), value if number == home else 0.0))
        flips = {each: i for i, each in enumerate(sorted({row[4] for row in rows}))}
        is_own = [row[0] == terms[row[1]][2] for row in rows]
        return cls(
            group=np.array([row[0] for row in rows]),
            term=np.array([row[1] for row in rows]),
            masks=tuple(row[2] for row in rows),
            phase=np.array([row[3] for row in rows], complex),
            flip=np.array([flips[row[4]] for row in rows]),
            group_of_flip=np.array([number for number, _ in flips]),
            start=np.array([row[5] for row in rows]),
            totals=np.array([value for *_, value in terms]),
            own=np.flatnonzero(is_own)[np.argsort(np.array([row[1] for row in rows])[is_own], kind="stable")],
        )

    def cost(self, free: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Σ_g σ_g in hartree and its slope, at shares brought to their sums."""
        shares = self.summing_up(free)
        together = self._by_flip(self.phase.real * shares) + 1j * self._by_flip(self.phase.imag * shares)
        count = int(self.group.max()) + 1
        variances = np.bincount(self.group_of_flip, np.abs(together) ** 2, count)
        deviations = np.sqrt(variances + SPREAD * np.bincount(self.group, shares**2, count) + SMOOTHING)
        pull = (np.conj(self.phase) * together[self.flip]).real + SPREAD * shares
        slope = pull / deviations[self.group]
        return float(deviations.sum()), slope - (self._by_term(slope) / self._by_term(np.ones(len(slope))))[self.term]

    def summing_up(self, free: NDArray[np.float64]) -> NDArray[np.float64]:
        """The nearest shares whose sums are the coefficients."""
        missing = (self.totals - self._by_term(free)) / self._by_term(np.ones(len(free)))
        nearest: NDArray[np.float64] = free + missing[self.term]
        return nearest

    def balanced(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """What rounding took, given back where each term started."""
        exact = shares.copy()
        exact[self.own] += self.totals - self._by_term(shares)
        return exact

    def _by_term(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.bincount(self.term, values, len(self.totals)).astype(float)
        return sums

    def _by_flip(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.bincount(self.flip, values, len(self.group_of_flip)).astype(float)
        return sums


def _letters(basis: str) -> tuple[int, int]:
    """Qubits that are looked at in X or Y, and in Y or Z."""
    letters = list(enumerate(reversed(basis)))
    return (
        sum(1 << qubit for qubit, letter in letters if letter in "XY"),
        sum(1 << qubit for qubit, letter in letters if letter in "YZ"),
    )
