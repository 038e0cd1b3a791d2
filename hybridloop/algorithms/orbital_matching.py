"""Match the orbitals of two geometries up to signs, so that the angles of one can start the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.uccsd import Excitation
from hybridloop.algorithms.problems.molecule import Molecule

MOST_ORBITALS = 10  # 512 choices of signs
ALIKE = 0.9  # least cosine between the sign-dependent integrals: orbitals that mix or change order fall below it
APART = 0.02  # cosines closer than this do not distinguish two choices of signs


@dataclass(frozen=True, slots=True)
class OrbitalMatching:
    """Signs (n,) of the second molecule's excitations relative to the first's, None if unknown, and the reason."""

    signs: tuple[float, ...] | None
    reason: str


def match_orbitals(one: Molecule, other: Molecule, excitations: Sequence[Excitation]) -> OrbitalMatching:
    """Find the signs that carry angles of `one` over to `other`, which has the same excitations.

    Orbitals are compared by their integrals, which fix each up to a sign: flipping orbital p's sign flips every
    integral in which p appears an odd number of times. The signs with the most similar integrals are returned, if the
    similarity suffices, no two orbitals fit better when swapped, and other signs that fit as well flip no excitation
    (those are symmetries of the molecule).
    """
    if one.norb != other.norb or one.electrons != other.electrons:
        return OrbitalMatching(None, "the numbers of orbitals or electrons differ")
    if one.norb > MOST_ORBITALS:
        return OrbitalMatching(None, f"{one.norb} orbitals have too many sign choices to try")
    if (swapped := _better_swapped(one, other)) is not None:
        return OrbitalMatching(None, f"orbitals {swapped[0]} and {swapped[1]} have changed their order")
    fits = [(_cosine(one, other, signs), signs) for signs in _choices(one.norb)]
    best = max(fit for fit, _ in fits)
    if best < ALIKE:
        return OrbitalMatching(None, f"the best cosine between their integrals is only {best:.2f}")
    turned = {_turned(signs, excitations) for fit, signs in fits if fit > best - APART}
    if len(turned) > 1:
        return OrbitalMatching(None, "two choices of the orbitals' signs fit equally well")
    return OrbitalMatching(turned.pop(), f"the cosine between their integrals is {best:.3f}")


def _choices(count: int) -> Iterator[NDArray[np.float64]]:
    """All choices of signs with + for the first orbital: flipping all signs changes nothing."""
    for signs in itertools.product((1.0, -1.0), repeat=count - 1):
        yield np.array((1.0, *signs))


def _turned(signs: NDArray[np.float64], excitations: Sequence[Excitation]) -> tuple[float, ...]:
    """The sign of each excitation: the product of its orbitals' (spin orbitals are all alpha, then all beta)."""
    return tuple(
        float(np.prod([signs[orbital % len(signs)] for orbital in (*emptied, *filled)]))
        for emptied, filled in excitations
    )


def _cosine(one: Molecule, other: Molecule, signs: NDArray[np.float64]) -> float:
    """Cosine between the sign-dependent integrals; 1 where there are none."""
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
    """Integrals of both molecules, with a mask of those in which some orbital appears an odd number of times."""
    for a, b in ((one.one_body, other.one_body), (one.two_body, other.two_body)):
        places = np.indices(a.shape)
        counts = [np.sum(places == orbital, axis=0) for orbital in range(one.norb)]
        yield a, b, np.any([count % 2 for count in counts], axis=0)


def _better_swapped(one: Molecule, other: Molecule) -> tuple[int, int] | None:
    """Two orbitals whose sign-independent integrals fit better when they are swapped; None where there are none."""
    as_they_are = _distance(one, other, np.arange(one.norb))
    for p, q in itertools.combinations(range(one.norb), 2):
        order = np.arange(one.norb)
        order[[p, q]] = order[[q, p]]
        if _distance(one, other, order) < as_they_are:
            return p, q
    return None


def _distance(one: Molecule, other: Molecule, order: NDArray[np.int64]) -> float:
    """Squared distance of h_pp, (pp|qq) and (pq|pq), with the other molecule's orbitals in the given order."""
    return sum(
        float(np.sum((a - b[np.ix_(*[order] * b.ndim)]) ** 2))
        for a, b in (
            (np.diag(one.one_body), np.diag(other.one_body)),
            (np.einsum("ppqq->pq", one.two_body), np.einsum("ppqq->pq", other.two_body)),
            (np.einsum("pqpq->pq", one.two_body), np.einsum("pqpq->pq", other.two_body)),
        )
    )
