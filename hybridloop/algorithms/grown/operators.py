"""Operators of a grown circuit: moves of electron pairs, singles, qubit excitations and coupled exchange.

Qubit excitations have no strings of Z: Y. S. Yordanov, D. R. M. Arvidsson-Shukur and C. H. W. Barnes, Phys. Rev. A 102
(2020) 062612. Coupled exchange is the sum or difference of two of them that one circuit makes: M. Ramôa et al., npj
Quantum Inf. 11 (2025) 86.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

PAIR, SINGLE, EXCHANGE, DOUBLE, COUPLED = "p", "s", "x", "d", "c"

Term = tuple[tuple[int, ...], tuple[int, ...], int]  # spin orbitals emptied and filled, and a sign
Exponential = tuple[Term, ...]  # terms that act on different determinants: Σ sign (Q† … Q … − h.c.) in one exponential


@dataclass(frozen=True, slots=True)
class Operator:
    """Exponentials that share an angle. Orbitals are spatial: p, q of a pair or single, p, q, s, t of two moves.

    A `DOUBLE` moves p → q in one spin and s → t in the other, and the mirror image of that; `COUPLED` adds to either
    s ← t, times the first sign. The last sign is that of the mirror image.
    """

    kind: str
    orbitals: tuple[int, ...]
    signs: tuple[int, ...] = ()

    @property
    def is_pair(self) -> bool:
        return self.kind == PAIR

    def exponentials(self, norb: int) -> tuple[Exponential, ...]:
        """Return the exponentials in order; spin orbital p + norb is the beta one of orbital p."""
        match self.kind:
            case "p":
                p, q = self.orbitals
                return ((((p, p + norb), (q, q + norb), 1),),)
            case "s":
                p, q = self.orbitals
                return ((((p,), (q,), 1),), (((p + norb,), (q + norb,), 1),))
            case "x":
                p, q = self.orbitals
                return ((((p, q + norb), (q, p + norb), 1),),)
        p, q, s, t = self.orbitals
        *inner, sign = self.signs
        direct: list[Term] = [((p, s + norb), (q, t + norb), 1), *(((p, t + norb), (q, s + norb), k) for k in inner)]
        mirror = [(_mirrored(emptied, norb), _mirrored(filled, norb), sign * k) for emptied, filled, k in direct]
        return tuple(direct), tuple(mirror)

    @classmethod
    def parse(cls, text: str, norb: int) -> Operator:
        """Read the `text` of an operator on so many orbitals. Raises ValueError."""
        if (operator := {each.text: each for each in every_operator(norb)}.get(text)) is None:
            raise ValueError(f"no operator on {norb} orbitals is {text!r}")
        return operator

    @property
    def text(self) -> str:
        """The operator for a run's record, as in c0-2-1-3+-."""
        return self.kind + "-".join(map(str, self.orbitals)) + "".join("+" if sign > 0 else "-" for sign in self.signs)


def _mirrored(orbitals: tuple[int, ...], norb: int) -> tuple[int, ...]:
    return tuple((orbital + norb) % (2 * norb) for orbital in orbitals)


def every_operator(norb: int) -> Iterator[Operator]:
    """Yield all operators of so many orbitals: pairs first, then the others by falling brevity of their circuits."""
    moves = list(itertools.combinations(range(norb), 2))
    yield from (Operator(PAIR, move) for move in moves)
    yield from (Operator(SINGLE, move) for move in moves)
    yield from (Operator(EXCHANGE, move) for move in moves)
    both = [(*first, *second) for first, second in itertools.combinations(moves, 2)]
    for orbitals in both:
        yield from (Operator(COUPLED, orbitals, signs) for signs in itertools.product((1, -1), repeat=2))
    for p, q, s, t in both:
        for orbitals in ((p, q, s, t), (p, q, t, s)):
            yield from (Operator(DOUBLE, orbitals, (sign,)) for sign in (1, -1))
