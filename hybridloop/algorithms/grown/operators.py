"""Operators of a grown circuit: moves of electron pairs, singles, qubit excitations and coupled exchange.

Qubit excitations have no strings of Z: Y. S. Yordanov, D. R. M. Arvidsson-Shukur and C. H. W. Barnes, Phys. Rev. A 102
(2020) 062612. Coupled exchange is the sum or difference of two of them that one circuit makes: M. Ramôa et al., npj
Quantum Inf. 11 (2025) 86.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from hybridloop.algorithms.problems.electronic import SymplecticOperator, qubit_excitation

PAIR, EXCHANGE, DOUBLE, COUPLED = "p", "x", "d", "c"
SAME_SPIN = {"u": 0, "v": 1}  # two moves in alpha, or in beta
SINGLES = {"s": (0, 1), "a": (0,), "b": (1,)}  # in both spins, alpha and beta

Term = tuple[tuple[int, ...], tuple[int, ...], int]  # spin orbitals emptied and filled, and a sign
Exponential = tuple[Term, ...]  # terms that act on different determinants: Σ sign (Q† … Q … − h.c.) in one exponential
SINGLE_GATES, EXCITATION_GATES, COUPLED_GATES = 2, 13, 9  # on two qubits, of an exponential of spin orbitals
FIRST_PAIR_GATES = 2  # of a pair, before its orbitals are copied to the other spin


@dataclass(frozen=True, slots=True)
class Operator:
    """Exponentials that share an angle. Orbitals are spatial: p, q of a pair or single, p, q, s, t of two moves.

    A `DOUBLE` moves p → q in alpha and s → t in beta, `SAME_SPIN` both in one spin. `COUPLED` adds the term that moves
    t → s in beta, times the first sign. A last sign is that of the mirror image, which shares the angle.
    """

    kind: str
    orbitals: tuple[int, ...]
    signs: tuple[int, ...] = ()

    @property
    def is_pair(self) -> bool:
        return self.kind == PAIR

    def exponentials(self, norb: int) -> tuple[Exponential, ...]:
        """Return the exponentials in order; spin orbital p + norb is the beta one of orbital p."""
        p, q = self.orbitals[:2]
        if self.kind in SINGLES:
            return tuple((((p + spin * norb,), (q + spin * norb,), 1),) for spin in SINGLES[self.kind])
        if self.kind in (PAIR, EXCHANGE):
            first, second = (p, q) if self.kind == PAIR else (q, p)
            return ((((p, first + norb), (q, second + norb), 1),),)
        s, t = self.orbitals[2:]
        if self.kind in SAME_SPIN:
            first = SAME_SPIN[self.kind] * norb
            return ((((p + first, s + first), (q + first, t + first), 1),),)
        inner = self.signs[: self.kind == COUPLED]
        direct: list[Term] = [((p, s + norb), (q, t + norb), 1), *(((p, t + norb), (q, s + norb), k) for k in inner)]
        return tuple(direct), *(
            tuple((_mirrored(emptied, norb), _mirrored(filled, norb), sign * k) for emptied, filled, k in direct)
            for sign in self.signs[len(inner) :]
        )

    @property
    def gates(self) -> int:
        """The most two-qubit gates of its circuit, where all of its orbitals have both spins."""
        if self.kind in SINGLES:
            return SINGLE_GATES * len(SINGLES[self.kind])
        mirrored = len(self.signs) == (2 if self.kind == COUPLED else 1)
        return (COUPLED_GATES if self.kind == COUPLED else EXCITATION_GATES) * (2 if mirrored else 1)

    @classmethod
    def parse(cls, text: str, norb: int) -> Operator:
        """Read the `text` of an operator on so many orbitals. Raises ValueError."""
        if (operator := _by_text(norb).get(text)) is None:
            raise ValueError(f"no operator on {norb} orbitals is {text!r}")
        return operator

    @property
    def text(self) -> str:
        """The operator for a run's record, as in c0-2-1-3+-."""
        return self.kind + "-".join(map(str, self.orbitals)) + "".join("+" if sign > 0 else "-" for sign in self.signs)


@lru_cache(maxsize=4)
def _by_text(norb: int) -> dict[str, Operator]:
    every = itertools.chain(every_operator(norb, is_closed=True), every_operator(norb, is_closed=False))
    return {each.text: each for each in every}


def generator_of(exponential: Exponential) -> SymplecticOperator:
    """Return the generator of an exponential under Jordan-Wigner; all of its terms flip the same qubits."""
    total: defaultdict[tuple[int, int], float] = defaultdict(float)
    for emptied, filled, sign in exponential:
        for key, value in qubit_excitation(emptied, filled).items():
            total[key] += sign * value
    return {key: value for key, value in total.items() if value}


def _mirrored(orbitals: tuple[int, ...], norb: int) -> tuple[int, ...]:
    return tuple((orbital + norb) % (2 * norb) for orbital in orbitals)


def every_operator(norb: int, *, is_closed: bool) -> Iterator[Operator]:
    """Yield all operators of so many orbitals: pairs first, then singles, exchange, coupled exchange, and doubles.

    In a closed shell mirror images in alpha and beta share an angle; an open one has doubles of one spin, too.
    """
    moves = list(itertools.combinations(range(norb), 2))
    yield from (Operator(PAIR, move) for move in moves)
    yield from (Operator(kind, move) for kind in ("s" if is_closed else "ab") for move in moves)
    yield from (Operator(EXCHANGE, move) for move in moves)
    both = itertools.combinations(moves, 2) if is_closed else itertools.permutations(moves, 2)
    last = ((1,), (-1,)) if is_closed else ((),)
    orbitals = [(*first, *second) for first, second in both]
    for each, inner, sign in itertools.product(orbitals, (1, -1), last):
        yield Operator(COUPLED, each, (inner, *sign))
    for (p, q, s, t), sign in itertools.product(orbitals, last):
        yield from (Operator(DOUBLE, each, sign) for each in ((p, q, s, t), (p, q, t, s)))
    for p, q, s, t in () if is_closed else itertools.combinations(range(norb), 4):
        for kind, each in itertools.product(SAME_SPIN, ((p, s, q, t), (p, q, s, t), (p, q, t, s))):
            yield Operator(kind, each)
