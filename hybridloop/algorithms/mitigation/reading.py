"""Counts read with what is known of the machine and of the state: readout errors inverted, symmetries insisted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.estimation import Estimate, Tally, rounding_bound
from hybridloop.algorithms.evaluation import Evaluation
from hybridloop.algorithms.fermions import FermionMapping
from hybridloop.algorithms.measurement import MeasurementGroup, Observable
from hybridloop.algorithms.mitigation.readout import ReadoutErrors, bits_of, variance_of
from hybridloop.algorithms.rounds import Counts, Unreadable

LEAST_KEPT = 0.01  # of the shots: with fewer in the right sector there is nothing to believe


@dataclass(frozen=True, slots=True)
class Symmetry:
    """A parity that the state has: the product of Z over the qubits of `mask` (bit i is qubit i) is `sign`, 1 or −1."""

    mask: int
    sign: int


def symmetries_of(problem: ElectronicProblem) -> tuple[Symmetry, ...]:
    """Each spin's parity of electrons, where single qubits hold it: under Jordan-Wigner; parity has taken it out."""
    if problem.encoding.mapping is not FermionMapping.JORDAN_WIGNER:
        return ()
    norb, electrons = problem.molecule.norb, problem.molecule.electrons
    orbitals = (1 << norb) - 1
    return tuple(Symmetry(orbitals << spin * norb, -1 if count % 2 else 1) for spin, count in enumerate(electrons))


@dataclass(frozen=True, slots=True, eq=False)
class _Polynomial:
    """Σ c_t Π_{i ∈ mask_t} Z_i: masks (terms, qubits), coefficients (terms,)."""

    masks: NDArray[np.bool_]
    coefficients: NDArray[np.float64]


def read_with(
    evaluation: Evaluation, *, errors: ReadoutErrors | None = None, symmetries: Sequence[Symmetry] = ()
) -> Evaluation:
    """The evaluation with readout errors inverted and shots outside the symmetries' sector left out; no further job.

    Symmetries can be told only where a group's outcomes show them; other groups are read without them. Counts of
    which less than `LEAST_KEPT` have them are `Unreadable`.
    The readout errors' own variance, common to all groups, is added to each estimate's.
    """
    read = _reader(errors, tuple(symmetries))
    if errors is None:
        return replace(evaluation, read=read)
    known, before = errors, evaluation.combined

    def combined(observable: Observable, tallies: Sequence[Tally]) -> Estimate:
        estimate = before(observable, tallies)
        slopes = np.sum([each.slopes for each in tallies], axis=0) if tallies else []
        return replace(estimate, variance=estimate.variance + variance_of(slopes, known))

    return replace(evaluation, read=read, combined=combined)


def _reader(
    errors: ReadoutErrors | None, symmetries: tuple[Symmetry, ...]
) -> Callable[[MeasurementGroup, Counts], Tally | Unreadable]:
    def read(group: MeasurementGroup, counts: Counts) -> Tally | Unreadable:
        shown = (_shown(each, group, counts.num_bits) for each in symmetries)
        told = [each for each in shown if each is not None]
        energy = _polynomial(dict(zip(group.masks, group.coefficients.tolist(), strict=True)), counts.num_bits)
        if not told:
            return _tally(energy, 0.0, counts, errors)
        projector = _projector(told)
        kept = _polynomial(projector, counts.num_bits)
        within = _polynomial(_product(projector, group), counts.num_bits)
        return _conditioned(within, kept, counts, errors)

    return read


def _shown(symmetry: Symmetry, group: MeasurementGroup, num_bits: int) -> Symmetry | None:
    """The symmetry as a parity of the group's outcomes; None where they do not show it."""
    z = np.array([[bool(symmetry.mask >> qubit & 1) for qubit in range(num_bits)]])
    (is_shown,), (mask,), (sign,) = group.shown(np.zeros_like(z), z)
    return Symmetry(mask, round(sign) * symmetry.sign) if is_shown else None


def _projector(symmetries: Sequence[Symmetry]) -> dict[int, float]:
    """Π (1 + sign · Z_mask) / 2 as coefficients by mask."""
    found = {0: 1.0}
    for symmetry in symmetries:
        halves: dict[int, float] = {}
        for mask, coefficient in found.items():
            for other, sign in ((mask, 1.0), (mask ^ symmetry.mask, float(symmetry.sign))):
                halves[other] = halves.get(other, 0.0) + sign * coefficient / 2.0
        found = halves
    return found


def _product(projector: dict[int, float], group: MeasurementGroup) -> dict[int, float]:
    found: dict[int, float] = {}
    for mask, weight in projector.items():
        for own, coefficient in zip(group.masks, group.coefficients.tolist(), strict=True):
            found[mask ^ own] = found.get(mask ^ own, 0.0) + weight * coefficient
    return found


def _conditioned(
    within: _Polynomial, kept: _Polynomial, counts: Counts, errors: ReadoutErrors | None
) -> Tally | Unreadable:
    """⟨P H⟩ / ⟨P⟩ of the projector P on the sector: the mean over the shots in it, where readout has no errors.

    The variance is that of the ratio to first order, Var(f − (f̄ / p̄) p) / p̄² (the delta method).
    """
    weights = counts.counts / counts.shots
    share = float(weights @ _values(kept, counts, errors))
    if share < LEAST_KEPT:
        return Unreadable(f"of {counts.shots} shots, {max(0.0, share):.1%} have the state's symmetries")
    mean = float(weights @ _values(within, counts, errors)) / share
    deviation = _Polynomial(
        np.concatenate([within.masks, kept.masks]),
        np.concatenate([within.coefficients, -mean * kept.coefficients]) / share,
    )
    return _tally(deviation, mean, counts, errors)


def _tally(polynomial: _Polynomial, offset: float, counts: Counts, errors: ReadoutErrors | None) -> Tally:
    """The tally of `offset` and the polynomial's value in each shot."""
    values, weights = _values(polynomial, counts, errors), counts.counts / counts.shots
    mean = float(weights @ values)
    squares = float(counts.counts @ (values - mean) ** 2)
    stretch = 1.0 if errors is None else np.abs(errors.values).max(axis=1)
    reach = float(np.abs(polynomial.coefficients) @ np.where(polynomial.masks, stretch, 1.0).prod(axis=1))
    bound = rounding_bound(reach, counts) if counts.exact else 0.0
    slopes = () if errors is None else _slopes(polynomial, counts, errors)
    return Tally(counts.shots, offset + mean, squares, reach, counts.exact, bound, slopes)


def _values(polynomial: _Polynomial, counts: Counts, errors: ReadoutErrors | None) -> NDArray[np.float64]:
    """The polynomial's value in each distinct outcome: (k,)."""
    values: NDArray[np.float64] = _terms(polynomial, counts, errors) @ polynomial.coefficients
    return values


def _terms(polynomial: _Polynomial, counts: Counts, errors: ReadoutErrors | None) -> NDArray[np.float64]:
    """Each term's value in each distinct outcome, without its coefficient: (k, terms)."""
    bits = bits_of(counts)
    table = np.tile([1.0, -1.0], (counts.num_bits, 1)) if errors is None else errors.values
    found = np.ones((len(bits), len(polynomial.masks)))
    for qubit in range(counts.num_bits):
        at = polynomial.masks[:, qubit]
        found[:, at] *= table[qubit, bits[:, qubit]][:, None]
    return found


def _slopes(polynomial: _Polynomial, counts: Counts, errors: ReadoutErrors) -> tuple[float, ...]:
    """The mean's derivatives by p(1|0) of each qubit, then by p(0|1) of each."""
    bits, weights = bits_of(counts), counts.counts / counts.shots
    terms = _terms(polynomial, counts, errors) * polynomial.coefficients
    by_qubit = terms @ polynomial.masks  # (k, qubits): what of each outcome's value a qubit is a factor of
    relative = errors.slopes / errors.values  # (2, qubits, 2): each factor is replaced by its derivative
    qubits = np.arange(counts.num_bits)
    return tuple(float(weights @ (by_qubit * kind[qubits, bits])[:, q]) for kind in relative for q in qubits)


def _polynomial(terms: dict[int, float], num_bits: int) -> _Polynomial:
    masks = np.array([[mask >> qubit & 1 for qubit in range(num_bits)] for mask in terms], dtype=bool)
    return _Polynomial(masks.reshape(len(terms), num_bits), np.array(list(terms.values())))
