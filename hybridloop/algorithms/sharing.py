"""Fewer shots for the same error bar: a term is estimated in every group whose circuit shows it, in the best shares."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms.measurement import Observable, bit_masks

SPREAD = 0.1  # of each term's own variance, that the state is expected to have beyond the reference's
SMOOTHING = 1e-12  # squared hartree, so that a group may vanish
MOST_STEPS = 200
SETTLED = 1e-6  # of the cost, per step
DIGITS = 10  # of a share, in hartree: what another machine's rounding may change is cut off


def share_terms(observable: Observable, reference_state: int) -> Observable:
    """The same operator in the same circuits, each coefficient shared out among the groups that can measure its term.

    The shares minimize Σ_g σ_g, the square root of Neyman's cost, for a state near a basis state (bit i = qubit i) such
    as Hartree-Fock, where covariances are known: terms that flip the same qubits are fully correlated, so that shares
    of opposite effect cancel, and diagonal terms do not vary. Coefficient splitting by covariances: T.-C. Yen,
    A. Ganeshram and A. F. Izmaylov, npj Quantum Inf. 9 (2023) 14. The estimate is unbiased whatever the state is; if it
    is far from the reference, only the shares are not the best.
    """
    if len(observable.groups) < 2:
        return observable
    shares = _Shares.of(observable, reference_state)
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
        groups.append(replace(group, masks=masks, coefficients=shares.signs[mine] * split[mine]))
    return Observable(observable.operator, observable.constant, tuple(each for each in groups if each.masks))


def expected_deviations(observable: Observable, reference_state: int) -> float:
    """Σ_g σ_g in hartree near that basis state, as above: a standard error ε takes (Σ_g σ_g / ε)² shots at least."""
    return _Shares.of(observable, reference_state).deviations if observable.groups else 0.0


def unknown_deviations(observable: Observable) -> float:
    """Σ_g σ_g in hartree as is to be expected of a state unknown: σ_g² = Σ c², as if nothing correlated."""
    return float(sum(np.linalg.norm(group.coefficients) for group in observable.groups))


@dataclass(frozen=True, slots=True, eq=False)
class _Shares:
    """All pairs of a group and a term that it can measure, as columns; `start` has each term whole in its own group."""

    group: NDArray[np.int64]
    term: NDArray[np.int64]
    masks: tuple[int, ...]
    signs: NDArray[np.float64]  # of the term in the group's outcomes
    phase: NDArray[np.complex128]  # of the basis state that the term makes of the reference; 0 for diagonal terms
    flip: NDArray[np.int64]  # numbers of (group, qubits flipped): terms with the same one are fully correlated
    group_of_flip: NDArray[np.int64]
    start: NDArray[np.float64]
    totals: NDArray[np.float64]
    own: NDArray[np.int64]  # for each term, the pair that it starts in

    @classmethod
    def of(cls, observable: Observable, reference: int) -> _Shares:
        paulis = observable.operator.paulis
        x_masks, z_masks = bit_masks(paulis.x), bit_masks(paulis.z)
        shown = [group.shown(paulis.x, paulis.z) for group in observable.groups]
        terms: list[tuple[int, int, float]] = []  # place in the operator, group that it starts in, coefficient
        for home, (group, (is_shown, masks, signs)) in enumerate(zip(observable.groups, shown, strict=True)):
            place_of = {masks[place]: place for place in np.flatnonzero(is_shown).tolist()}
            for mask, value in zip(group.masks, group.coefficients.tolist(), strict=True):
                terms.append((place_of[mask], home, value * float(signs[place_of[mask]])))
        rows: list[tuple[int, int, int, float, complex, tuple[int, int], float]] = []
        for number, (place, home, value) in enumerate(terms):
            x, z = x_masks[place], z_masks[place]
            phase = 1j ** ((x & z).bit_count() % 4) * (-1.0) ** (z & reference).bit_count() if x else 0.0
            for at, (is_shown, masks, signs) in enumerate(shown):
                if is_shown[place]:
                    start = value if at == home else 0.0
                    rows.append((at, number, masks[place], float(signs[place]), phase, (at, x), start))
        flips = {each: i for i, each in enumerate(sorted({row[5] for row in rows}))}
        is_own = [row[0] == terms[row[1]][1] for row in rows]
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

    @property
    def deviations(self) -> float:
        """Σ_g σ_g in hartree as the terms stand."""
        return self.cost(self.start)[0]

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
