"""Whether the orbitals of two molecules are the same ones, up to signs: what angles of one mean in the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.molecule import Molecule
from hybridloop.algorithms.uccsd import Excitation

MOST_ORBITALS = 10  # 512 choices of signs
ALIKE = 0.9  # least cosine between the integrals that know of signs: orbitals that mix or change order fall below it
APART = 0.02  # cosines that are nearer than this can't tell two choices of signs apart


@dataclass(frozen=True, slots=True)
class Gauge:
    """Signs (n,) of the second molecule's excitations against the first's; None where they can't be told, and why."""

    signs: tuple[float, ...] | None
    why: str


def gauge_between(one: Molecule, other: Molecule, excitations: Sequence[Excitation]) -> Gauge:
    """How angles of `one` are to be taken in `other`, whose excitations are the same.

    Orbitals are known by their integrals alone, and those up to a sign each: turning orbital p's sign turns every
    integral in which p stands an odd number of times. The signs that make both molecules' integrals most alike are
    taken, if these are alike enough, if no two orbitals fit better the other way round, and if other signs that fit as
    well turn no excitation (those are symmetries of the molecule).
    """
    if one.norb != other.norb or one.electrons != other.electrons:
        return Gauge(None, "they have not the same orbitals and electrons")
    if one.norb > MOST_ORBITALS:
        return Gauge(None, f"{one.norb} orbitals have too many signs to try")
    if (swapped := _better_swapped(one, other)) is not None:
        return Gauge(None, f"orbitals {swapped[0]} and {swapped[1]} have changed their order")
    fits = [(_cosine(one, other, signs), signs) for signs in _choices(one.norb)]
    best = max(fit for fit, _ in fits)
    if best < ALIKE:
        return Gauge(None, f"their integrals are alike to {best:.2f} only, with orbitals of any sign")
    turned = {_turned(signs, excitations) for fit, signs in fits if fit > best - APART}
    if len(turned) > 1:
        return Gauge(None, "two choices of the orbitals' signs fit as well")
    return Gauge(turned.pop(), f"their integrals are alike to {best:.3f}")


def _choices(count: int) -> Iterator[NDArray[np.float64]]:
    """All signs with the first orbital's +: turning all of them changes nothing."""
    for signs in itertools.product((1.0, -1.0), repeat=count - 1):
        yield np.array((1.0, *signs))


def _turned(signs: NDArray[np.float64], excitations: Sequence[Excitation]) -> tuple[float, ...]:
    """The sign of each excitation: the product of its orbitals' (spin orbitals are all alpha, then all beta)."""
    return tuple(
        float(np.prod([signs[orbital % len(signs)] for orbital in (*emptied, *filled)]))
        for emptied, filled in excitations
    )


def _cosine(one: Molecule, other: Molecule, signs: NDArray[np.float64]) -> float:
    """Between the integrals that some signs turn; 1 where there are none."""
    dot = size_one = size_other = 0.0
    for a, b, knows in _integrals(one, other):
        turn = signs
        for _ in range(a.ndim - 1):
            turn = np.multiply.outer(turn, signs)
        dot += float(np.sum((a * b * turn)[knows]))
        size_one, size_other = size_one + float(np.sum(a[knows] ** 2)), size_other + float(np.sum(b[knows] ** 2))
    scale = float(np.sqrt(size_one * size_other))
    return dot / scale if scale > 1e-12 else 1.0


def _integrals(
    one: Molecule, other: Molecule
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]]:
    """Both molecules' integrals, and which have some orbital an odd number of times."""
    for a, b in ((one.one_body, other.one_body), (one.two_body, other.two_body)):
        places = np.indices(a.shape)
        counts = [np.sum(places == orbital, axis=0) for orbital in range(one.norb)]
        yield a, b, np.any([count % 2 for count in counts], axis=0)


def _better_swapped(one: Molecule, other: Molecule) -> tuple[int, int] | None:
    """Two orbitals that, by the integrals without a sign, fit better the other way round."""
    as_they_are = _distance(one, other, np.arange(one.norb))
    for p, q in itertools.combinations(range(one.norb), 2):
        order = np.arange(one.norb)
        order[[p, q]] = order[[q, p]]
        if _distance(one, other, order) < as_they_are:
            return p, q
    return None


def _distance(one: Molecule, other: Molecule, order: NDArray[np.int64]) -> float:
    """Between h_pp, (pp|qq) and (pq|pq) of both, the other's orbitals in that order."""
    return sum(
        float(np.sum((a - b[np.ix_(*[order] * b.ndim)]) ** 2))
        for a, b in (
            (np.diag(one.one_body), np.diag(other.one_body)),
            (np.einsum("ppqq->pq", one.two_body), np.einsum("ppqq->pq", other.two_body)),
            (np.einsum("pqpq->pq", one.two_body), np.einsum("pqpq->pq", other.two_body)),
        )
    )
