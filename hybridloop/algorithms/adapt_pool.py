"""ADAPT-VQE operator pool: excitation generators, and their energy gradients measured in one round."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.uccsd import Excitation, excitation_ansatz, symmetry_allowed_excitations
from hybridloop.algorithms.estimation.estimates import Estimate, GroupStatistics, group_statistics
from hybridloop.algorithms.estimation.observable import MeasurementGroup, observable
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.fermions import (
    NEGLIGIBLE,
    SymplecticOperator,
    excitation,
    hamiltonian_terms,
    multiply,
    qubit_excitation,
    to_pauli_sum,
)
from hybridloop.algorithms.rounds import Counts, FailedPoint, RunRound
from hybridloop.errors import JobFailed


class PoolKind(enum.StrEnum):
    """Kind of the pool's generators."""

    FERMIONIC = "fermionic"  # with the Z strings of the fermion-to-qubit mapping
    QUBIT = "qubit"  # without Z strings: shorter circuits, at times a few more operators


@dataclass(frozen=True, slots=True, eq=False)
class OperatorPool:
    """Operator pool: single and double excitations from Hartree-Fock that conserve the Hamiltonian's symmetries.

    Their order breaks ties between equal gradients.
    """

    problem: ElectronicProblem
    kind: PoolKind
    excitations: tuple[Excitation, ...]

    @classmethod
    def of(cls, problem: ElectronicProblem, kind: PoolKind = PoolKind.FERMIONIC) -> OperatorPool:
        """Create the pool of all symmetry-conserving singles and doubles of a problem."""
        return cls(problem, kind, tuple(symmetry_allowed_excitations(problem)))

    def ansatz(self, chosen: Sequence[int]) -> Ansatz:
        """Build Hartree-Fock followed by the exponentials of the chosen operators, in order, with angles of 0."""
        excitations = [self.excitations[index] for index in chosen]
        name = f"adapt ({len(excitations)})"
        return excitation_ansatz(self.problem, excitations, name, generator_of=self._generator_of)

    def generators(self) -> list[SymplecticOperator]:
        """Generators A of each exp(θ A), on the problem's qubits."""
        return [self.problem.encoding.encode(self._generator_of(*excitation)) for excitation in self.excitations]

    def _generator_of(self, emptied: Iterable[int], filled: Iterable[int]) -> SymplecticOperator:
        return (excitation if self.kind is PoolKind.FERMIONIC else qubit_excitation)(emptied, filled)


@dataclass(frozen=True, slots=True, eq=False)
class PoolGradients:
    """Gradients of all pool operators: the commutators [H, A_k], grouped jointly so that they share circuits.

    If exp(θ A_k) is appended to a circuit, the energy's derivative at θ = 0 is ⟨[H, A_k]⟩ in the circuit's state
    (H. R. Grimsley, S. E. Economou, E. Barnes and N. J. Mayhall, Nat. Commun. 10 (2019) 3007).
    `groups_measured` has one group per circuit; `by_operator[k]` has the same groups with operator k's coefficients.
    """

    groups_measured: tuple[MeasurementGroup, ...]
    by_operator: tuple[tuple[MeasurementGroup, ...], ...]

    @classmethod
    def of(cls, pool: OperatorPool) -> PoolGradients:
        """Group the terms of all commutators, sorted by √Σ_k c_k² so that large terms share circuits."""
        encoding = pool.problem.encoding
        energy = encoding.encode(hamiltonian_terms(pool.problem.molecule))
        commutators = [_commutator(energy, generator) for generator in pool.generators()]
        sizes: dict[tuple[int, int], float] = {}
        for commutator in commutators:
            for key, value in commutator.items():
                sizes[key] = math.hypot(sizes.get(key, 0.0), value)
        groups = observable(to_pauli_sum(sizes, encoding.num_qubits)).groups if sizes else ()
        keys = [[_key(group, mask) for mask in group.masks] for group in groups]
        by_operator = (map(_with_coefficients, groups, keys, [operator] * len(groups)) for operator in commutators)
        return cls(groups, tuple(map(tuple, by_operator)))

    def measure(self, ansatz: Ansatz, point: NDArray[np.float64], run_round: RunRound, shots: int) -> list[Estimate]:
        """Measure each operator's gradient, in hartree per radian, after the circuit at the point (n,); one round.

        Raises JobFailed where a circuit has no result.
        """
        circuits = [group.measurement_circuit(ansatz.circuit) for group in self.groups_measured]
        pubs = [SamplerPub.coerce((circuit, point[None, :], shots)) for circuit in circuits]
        counts = [_require_counts(result[0]) for result in (run_round(pubs) if pubs else [])]
        return [
            _total([group_statistics(*pair) for pair in zip(groups, counts, strict=True)])
            for groups in self.by_operator
        ]


def _with_coefficients(
    group: MeasurementGroup, keys: Sequence[tuple[int, int]], operator: SymplecticOperator
) -> MeasurementGroup:
    """Return the group with the operator's coefficients.

    X^x Z^z = (−i)^|x & z| P, and each term of a commutator has an even number of Ys, so the factor is ±1.
    """
    coefficients = [operator.get((x, z), 0.0) * (-1.0 if (x & z).bit_count() % 4 else 1.0) for x, z in keys]
    return MeasurementGroup(group.basis, group.masks, np.array(coefficients))


def _key(group: MeasurementGroup, mask: int) -> tuple[int, int]:
    """Exponents (x, z) of the Pauli term X^x Z^z that acts on the qubits of `mask` in the group's basis."""
    letters = list(enumerate(reversed(group.basis)))
    x, z = (sum(1 << qubit for qubit, letter in letters if letter in kind) for kind in ("XY", "YZ"))
    return x & mask, z & mask


def _commutator(left: SymplecticOperator, right: SymplecticOperator) -> dict[tuple[int, int], float]:
    """left · right − right · left."""
    difference = multiply(left, right)
    for key, value in multiply(right, left).items():
        difference[key] = difference.get(key, 0.0) - value
    return {key: value for key, value in difference.items() if abs(value) > NEGLIGIBLE}


def _total(tallies: Sequence[GroupStatistics]) -> Estimate:
    return Estimate(
        value=math.fsum(group.mean for group in tallies),
        variance=math.fsum(group.variance for group in tallies),
        shots=sum(group.shots for group in tallies),
        is_exact=all(group.is_exact for group in tallies),
        rounding_bound=math.fsum(group.rounding_bound for group in tallies),
    )


def _require_counts(result: Counts | FailedPoint) -> Counts:
    if isinstance(result, FailedPoint):
        raise JobFailed(
            f"a job of the operator gradients failed ({result.reason})",
            "The next operator can't be chosen without it; earlier rounds are kept.",
            "Run again.",
        )
    return result
