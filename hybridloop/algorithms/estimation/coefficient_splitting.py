"""Coefficient splitting: a term is estimated in every group that measures it, with the best share for each group.

T.-C. Yen, A. Ganeshram and A. F. Izmaylov, npj Quantum Inf. 9 (2023) 14.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.observable import Observable
from hybridloop.algorithms.estimation.reference_state import ReferenceState
from hybridloop.algorithms.minimization import minimize

SMOOTHING = 1e-12  # squared hartree: keeps the gradient finite when a group vanishes
STEPS = 15  # of reweighted least squares
MAX_REWEIGHTED_TERMS = 1500  # each step solves as many linear equations
MAX_STEPS = 200
COST_TOLERANCE = 1e-6  # relative change of the cost per step
COEFFICIENT_DECIMALS = 10  # in hartree: digits that another machine's rounding may change are cut off
MAX_IMAGES = 1_000_000  # amplitudes of all shares: a step then takes milliseconds


def split_coefficients(observable: Observable, reference: ReferenceState) -> Observable:
    """Split each coefficient among the groups that can measure its term: the same operator in the same circuits.

    The shares minimize Σ_g σ_g, the root of the shots by Neyman allocation, with the covariances of the reference
    state: of terms that are correlated, shares of opposite effect cancel. The estimate is unbiased for any state; far
    from the reference only the shares are not optimal. A search along gradients magnifies the last digits, in which
    machines differ; reweighted least squares do not, and are used up to `MAX_REWEIGHTED_TERMS` terms.
    """
    if len(observable.groups) < 2:
        return observable
    # optimize the shares
    split = _CoefficientSplit.of(observable, reference)
    if len(split.totals) <= MAX_REWEIGHTED_TERMS:
        optimum = split.reweighted(STEPS)
    else:
        optimum = minimize(split.cost, split.start, {"maxiter": MAX_STEPS, "ftol": COST_TOLERANCE}).x
    shares = split.restore_sums(np.round(split.project(optimum), COEFFICIENT_DECIMALS))
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


def expected_deviations(observable: Observable, reference: ReferenceState | None) -> NDArray[np.float64]:
    """Return σ_g in hartree of each group, for a state near the reference; None: for a random state.

    A standard error ε takes at least (Σ_g σ_g / ε)² shots. For a random state σ_g² = Σ c², without correlations.
    """
    if not observable.groups:
        return np.zeros(0)
    if reference is None:
        return np.array([np.linalg.norm(group.coefficients) for group in observable.groups])
    split = _CoefficientSplit.as_measured(observable, reference)
    return split.deviations(split.start)


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
    images: scipy.sparse.csr_array  # centered image of the reference state by row, over (group, basis state)
    group_of_image: NDArray[np.int64]
    extra_variance: float
    start: NDArray[np.float64]
    totals: NDArray[np.float64]  # coefficient of each term
    pairs: NDArray[np.float64]  # number of rows of each term
    home: NDArray[np.int64]  # for each term, the row of the group that it comes from

    @classmethod
    def of(cls, observable: Observable, reference: ReferenceState) -> _CoefficientSplit:
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
    def as_measured(cls, observable: Observable, reference: ReferenceState) -> _CoefficientSplit:
        """Create with a row only for each group that has a term, which is enough for the cost of `start`."""
        pairs = _Pairs.of(observable)
        return cls._of_rows(observable, reference, pairs, np.arange(len(pairs.home)), pairs.home)

    @classmethod
    def _of_rows(
        cls,
        observable: Observable,
        reference: ReferenceState,
        pairs: _Pairs,
        term: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> _CoefficientSplit:
        """Create from the number of the term and the pair of each row."""
        group, is_home = pairs.group[rows], rows == pairs.home[term]
        # the image of each row, in columns of its own group
        reference = reference.truncate(max(1, MAX_IMAGES // (2 * len(rows))))
        of_terms = reference.centered_images(observable.operator.paulis[pairs.index[pairs.home]])
        images = scipy.sparse.csr_array(of_terms[term])
        places = np.repeat(group, np.diff(images.indptr)) * of_terms.shape[1] + images.indices
        columns, images.indices = np.unique(places, return_inverse=True)
        images = scipy.sparse.csr_array((images.data, images.indices, images.indptr), shape=(len(rows), len(columns)))
        return cls(
            group=group,
            term=term,
            masks=tuple(pairs.masks[row] for row in rows.tolist()),
            signs=pairs.signs[rows],
            images=images,
            group_of_image=columns // of_terms.shape[1],
            extra_variance=reference.extra_variance,
            start=np.where(is_home, pairs.values[term], 0.0),
            totals=pairs.values,
            pairs=np.bincount(term).astype(float),
            home=np.flatnonzero(is_home),
        )

    def cost(self, free: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return Σ_g σ_g in hartree and its gradient, for shares projected onto the correct sums."""
        shares = self.project(free)
        amplitudes, deviations = self._deviations(shares)
        # the gradient, projected onto shares of constant sums
        half_slope = (self.images @ amplitudes.conj()).real + self.extra_variance * shares
        slope = half_slope / deviations[self.group]
        means = self._sum_by_term(slope) / self.pairs
        return float(deviations.sum()), slope - means[self.term]

    def deviations(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return σ_g in hartree of each group."""
        return self._deviations(shares)[1]

    def _deviations(self, shares: NDArray[np.float64]) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        amplitudes = self.images.T @ shares  # correlated terms add before squaring
        count = int(self.group.max()) + 1
        variances = np.bincount(self.group_of_image, np.abs(amplitudes) ** 2, count)
        extra = self.extra_variance * np.bincount(self.group, shares**2, count)
        return amplitudes, np.sqrt(variances + extra + SMOOTHING)

    def reweighted(self, steps: int) -> NDArray[np.float64]:
        """Return shares by iteratively reweighted least squares.

        Each step minimizes Σ_g σ_g² / σ'_g with the deviations σ'_g of the last one, which never raises Σ_g σ_g (D. R.
        Hunter and K. Lange, Am. Stat. 58 (2004) 30): linear equations for a multiplier of each term.
        """
        rows = [np.flatnonzero(self.group == group) for group in range(int(self.group.max()) + 1)]
        terms, inverses = [self.term[part] for part in rows], []
        for part in rows:
            images = self.images[part]
            covariances = np.asarray((images @ images.conj().T).real.todense())
            inverses.append(np.linalg.inv(covariances + self.extra_variance * np.eye(len(part))))
        shares, deviations = self.start, np.ones(len(rows))
        for _ in range(steps):
            equations = np.zeros((len(self.totals),) * 2)
            for of_group, inverse, deviation in zip(terms, inverses, deviations.tolist(), strict=True):
                equations[np.ix_(of_group, of_group)] += deviation * inverse
            multipliers = np.linalg.solve(equations, self.totals)
            shares = np.zeros(len(self.group))
            for part, of_group, inverse, deviation in zip(rows, terms, inverses, deviations.tolist(), strict=True):
                shares[part] = deviation * (inverse @ multipliers[of_group])
            deviations = self.deviations(shares)
        return shares

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
