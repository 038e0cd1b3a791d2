"""Operators that an adaptive circuit may grow by, and their gradients, measured all at once."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.estimation import Estimate, Tally, tally
from hybridloop.algorithms.fermions import (
    NEGLIGIBLE,
    XZ,
    excitation,
    hamiltonian_terms,
    multiply,
    qubit_excitation,
    to_pauli_sum,
)
from hybridloop.algorithms.measurement import MeasurementGroup, observable
from hybridloop.algorithms.rounds import Counts, Lost, RunRound
from hybridloop.algorithms.uccsd import Excitation, excitation_ansatz, symmetric_excitations
from hybridloop.errors import JobFailed


class PoolKind(enum.StrEnum):
    """What exponentials are made of."""

    FERMIONIC = "fermionic"  # with the strings of Zs that make fermions
    QUBIT = "qubit"  # without: shorter circuits, at times a few more operators


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Singles and doubles from Hartree-Fock that keep the Hamiltonian's symmetries; ties are broken by their order."""

    problem: ElectronicProblem
    kind: PoolKind
    excitations: tuple[Excitation, ...]

    @classmethod
    def of(cls, problem: ElectronicProblem, kind: PoolKind = PoolKind.FERMIONIC) -> Pool:
        """All that there are."""
        return cls(problem, kind, tuple(symmetric_excitations(problem)))

    def ansatz(self, chosen: Sequence[int]) -> Ansatz:
        """Hartree-Fock, then the exponential of each chosen operator in order, whose angle is 0 to begin with."""
        made = [self.excitations[each] for each in chosen]
        return excitation_ansatz(self.problem, made, f"adapt ({len(made)})", generator_of=self._generator_of)

    def generators(self) -> list[XZ]:
        """A of each exp(θ A), on the problem's qubits."""
        return [self.problem.encoding.encode(self._generator_of(*each)) for each in self.excitations]

    def _generator_of(self, emptied: Iterable[int], filled: Iterable[int]) -> XZ:
        return (excitation if self.kind is PoolKind.FERMIONIC else qubit_excitation)(emptied, filled)


@dataclass(frozen=True, slots=True, eq=False)
class PoolGradients:
    """The commutators [H, A_k], parted into groups together, so that one set of circuits answers for all of them.

    If exp(θ A_k) is appended to a circuit, the energy's derivative at θ = 0 is ⟨[H, A_k]⟩ in the circuit's state
    (H. R. Grimsley, S. E. Economou, E. Barnes and N. J. Mayhall, Nat. Commun. 10 (2019) 3007).
    `by_operator[k]` has the circuits' groups with operator k's coefficients.
    """

    circuits_of: tuple[MeasurementGroup, ...]
    by_operator: tuple[tuple[MeasurementGroup, ...], ...]

    @classmethod
    def of(cls, pool: Pool) -> PoolGradients:
        """Terms are grouped by their size over all commutators, √Σ_k c_k²: large ones are to share circuits."""
        encoding = pool.problem.encoding
        energy = encoding.encode(hamiltonian_terms(pool.problem.molecule))
        commutators = [_commutator(energy, each) for each in pool.generators()]
        sizes: dict[tuple[int, int], float] = {}
        for each in commutators:
            for key, value in each.items():
                sizes[key] = math.hypot(sizes.get(key, 0.0), value)
        groups = observable(to_pauli_sum(sizes, encoding.num_qubits)).groups if sizes else ()
        keys = [[_key(group, mask) for mask in group.masks] for group in groups]
        return cls(
            groups, tuple(tuple(map(_with_coefficients, groups, keys, [each] * len(groups))) for each in commutators)
        )

    def measured(self, ansatz: Ansatz, point: NDArray[np.float64], run_round: RunRound, shots: int) -> list[Estimate]:
        """Each operator's gradient in hartree per radian after the circuit at the point (n,); one round."""
        circuits = [group.measured(ansatz.circuit) for group in self.circuits_of]
        pubs = [SamplerPub.coerce((circuit, point[None, :], shots)) for circuit in circuits]
        counts = [_known(answer[0]) for answer in (run_round(pubs) if pubs else [])]
        return [_total([tally(*each) for each in zip(groups, counts, strict=True)]) for groups in self.by_operator]


def _with_coefficients(group: MeasurementGroup, keys: Sequence[tuple[int, int]], operator: XZ) -> MeasurementGroup:
    """The group with the operator's own coefficients; X^x Z^z = (−i)^|x & z| P, and a commutator's Ys are even."""
    own = [operator.get((x, z), 0.0) * (-1.0 if (x & z).bit_count() % 4 else 1.0) for x, z in keys]
    return MeasurementGroup(group.basis, group.masks, np.array(own))


def _key(group: MeasurementGroup, mask: int) -> tuple[int, int]:
    """X^x Z^z of the term that looks at these qubits in the group's basis."""
    letters = list(enumerate(reversed(group.basis)))
    x, z = (sum(1 << qubit for qubit, letter in letters if letter in kind) for kind in ("XY", "YZ"))
    return x & mask, z & mask


def _commutator(left: XZ, right: XZ) -> dict[tuple[int, int], float]:
    """left · right − right · left."""
    difference = multiply(left, right)
    for key, value in multiply(right, left).items():
        difference[key] = difference.get(key, 0.0) - value
    return {key: value for key, value in difference.items() if abs(value) > NEGLIGIBLE}


def _total(tallies: Sequence[Tally]) -> Estimate:
    return Estimate(
        value=math.fsum(each.mean for each in tallies),
        variance=math.fsum(each.variance for each in tallies),
        shots=sum(each.shots for each in tallies),
        is_exact=all(each.is_exact for each in tallies),
        rounding_bound=math.fsum(each.rounding_bound for each in tallies),
    )


def _known(answer: Counts | Lost) -> Counts:
    if isinstance(answer, Lost):
        raise JobFailed(
            f"a circuit of the gradients was lost ({answer.reason})",
            "Without it the next operator can't be chosen; the rounds before are unharmed.",
            "Run again.",
        )
    return answer
