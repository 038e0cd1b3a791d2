"""Operator pool of ADAPT-VQE: excitation generators, and the energy's derivatives along them, measured in one round."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import PauliList

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.diagonalization import bit_masks
from hybridloop.algorithms.circuits.initial_point import derivatives_by_generators
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit
from hybridloop.algorithms.estimation.estimates import Estimate, combine, group_statistics
from hybridloop.algorithms.estimation.observable import Grouping, MeasurementGroup, observable
from hybridloop.algorithms.problems.electronic import (
    NEGLIGIBLE,
    ElectronicProblem,
    SymplecticOperator,
    hamiltonian_terms,
    multiply,
    to_pauli_sum,
)
from hybridloop.algorithms.rounds import Counts, FailedPoint, RunRound
from hybridloop.errors import JobFailed

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class OperatorPool(ABC):
    """Operator pool: operators that conserve the Hamiltonian's symmetries; each has one angle.

    Their order breaks ties between equal gradients.
    """

    problem: ElectronicProblem

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of operators."""

    @abstractmethod
    def ansatz(self, chosen: Sequence[int]) -> Ansatz:
        """Build Hartree-Fock followed by the exponentials of the chosen operators, in order, with angles of 0."""

    @abstractmethod
    def simulation(self, chosen: Sequence[int]) -> SimulatedCircuit | None:
        """Return the simulation of the `ansatz` of the same operators; None where that of the pool takes too long.

        Its objective is the energy without a penalty for spin, of which the pool's derivatives are.
        """

    @abstractmethod
    def generators_of(self, index: int) -> list[SymplecticOperator]:
        """Return the generators A of an operator's exponentials exp(θ A), in their order, under Jordan-Wigner."""

    @abstractmethod
    def ranks(self, slopes: Array, curvatures: Array, chosen: Sequence[int]) -> Array:
        """Return the numbers (n,) by which operators are selected, the largest first.

        They follow from the energy's slopes and curvatures (n,) along each, and what the chosen ones make it cost.
        """

    @abstractmethod
    def row(self, index: int) -> dict[str, Any]:
        """Return what a result's table says of an operator."""

    @property
    def independent(self) -> NDArray[np.bool_]:
        """True for each operator (n,) that is no sum of others, so that their gains add up."""
        return np.ones(len(self), bool)

    def generators(self) -> list[list[SymplecticOperator]]:
        """Return the generators of all operators on the problem's qubits."""
        encode = self.problem.encoding.encode
        return [list(map(encode, self.generators_of(index))) for index in range(len(self))]

    def derivatives_at_hartree_fock(self) -> tuple[Array, Array]:
        """Return the exact gradient (n,) and Hessian (n, n) of the energy by all angles, from matrix elements."""
        by_operator = [self.generators_of(index) for index in range(len(self))]
        owners = np.repeat(np.arange(len(self)), list(map(len, by_operator)))
        tied = (owners[:, None] == np.arange(len(self))).astype(float)
        gradient, hessian = derivatives_by_generators(self.problem, list(itertools.chain(*by_operator)))
        return tied.T @ gradient, tied.T @ hessian @ tied


@dataclass(frozen=True, slots=True, eq=False)
class PoolDerivatives:
    """Derivatives of the energy by the angle of each operator of a pool, as observables that share circuits.

    If exp(θ A) is appended to a circuit, the energy's derivatives at θ = 0 are ⟨[H, A]⟩ and ⟨[[H, A], A]⟩ in the
    circuit's state (H. R. Grimsley, S. E. Economou, E. Barnes and N. J. Mayhall, Nat. Commun. 10 (2019) 3007).
    `groups_measured` has one group per circuit; `by_operator[k]` has the same groups with operator k's coefficients.
    `shot_shares` (groups,) are each group's shots by their mean.
    """

    groups_measured: tuple[MeasurementGroup, ...]
    by_operator: tuple[tuple[MeasurementGroup, ...], ...]
    shot_shares: NDArray[np.float64]

    @classmethod
    def gradients(cls, pool: OperatorPool, grouping: Grouping = Grouping.FULLY_COMMUTING) -> PoolDerivatives:
        """Group the terms of all first derivatives, in hartree per radian.

        A term is estimated in all groups that measure it, and shots are in proportion to the root of the sum of a
        group's squared coefficients: Neyman allocation without correlations.
        """
        energy = _energy_of(pool)
        slopes = [[_commutator(energy, each) for each in generators] for generators in pool.generators()]
        return cls._of(pool, [_sum(*((1.0, each) for each in parts)) for parts in slopes], grouping)

    @classmethod
    def curvatures(cls, pool: OperatorPool, grouping: Grouping = Grouping.FULLY_COMMUTING) -> PoolDerivatives:
        """Group the terms of all second derivatives, in hartree per square radian, as `gradients` does.

        Of two exponentials with one angle, first of A and then of B, the mixed part is 2 [[H, B], A].
        """
        energy, curvatures = _energy_of(pool), []
        for generators in pool.generators():
            curvature: dict[tuple[int, int], float] = {}
            after: dict[tuple[int, int], float] = {}  # [H, B] of all exponentials B that follow
            for generator in reversed(generators):
                slope = _commutator(energy, generator)
                mixed = _sum((1.0, slope), (2.0, after))
                curvature = _sum((1.0, curvature), (1.0, _commutator(mixed, generator)))
                after = _sum((1.0, after), (1.0, slope))
            curvatures.append(curvature)
        return cls._of(pool, curvatures, grouping)

    @classmethod
    def _of(cls, pool: OperatorPool, operators: Sequence[SymplecticOperator], grouping: Grouping) -> PoolDerivatives:
        """Group the operators' terms, sorted by √Σ_k c_k² so that large terms share circuits."""
        sizes: dict[tuple[int, int], float] = {}
        for operator in operators:
            for key, value in operator.items():
                sizes[key] = math.hypot(sizes.get(key, 0.0), value)
        if not sizes:
            return cls((), ((),) * len(operators), np.ones(0))
        union = observable(to_pauli_sum(sizes, pool.problem.encoding.num_qubits), grouping)
        paulis = union.operator.paulis
        keys = list(zip(bit_masks(paulis.x), bit_masks(paulis.z), strict=True))
        # X^x Z^z = (−i)^|x & z| P, and each term of a derivative has an even number of Ys, so the factor is ±1
        factors = np.array([-1.0 if (x & z).bit_count() % 4 else 1.0 for x, z in keys])
        coefficients = factors * [[operator.get(key, 0.0) for key in keys] for operator in operators]
        terms = [_measured_terms(group, paulis) for group in union.groups]
        counts = np.bincount(np.concatenate([indices for indices, _, _ in terms]), minlength=len(keys))
        coefficients /= counts  # no term is the identity, as commutators have no trace
        by_operator = tuple(
            tuple(
                replace(group, masks=masks, coefficients=signs * row[indices])
                for group, (indices, masks, signs) in zip(union.groups, terms, strict=True)
            )
            for row in coefficients
        )
        sizes_by_group = np.array([np.linalg.norm(coefficients[:, indices]) for indices, _, _ in terms])
        return cls(union.groups, by_operator, sizes_by_group / sizes_by_group.mean())

    def shots_of(self, shots: int) -> list[int]:
        """Return the shots of each group for a mean of `shots`, at least 1."""
        return [max(1, math.ceil(round(shots * share, 6))) for share in self.shot_shares.tolist()]

    def measure(
        self, ansatz: Ansatz, point: NDArray[np.float64], run_round: RunRound, shots: Sequence[int]
    ) -> list[Estimate]:
        """Measure each operator's derivative after the circuit at the point (n,), in one round of shots (groups,).

        Raises JobFailed where a circuit has no result.
        """
        circuits = [group.measurement_circuit(ansatz.circuit) for group in self.groups_measured]
        pubs = [
            SamplerPub.coerce((circuit, point[None, :], each)) for circuit, each in zip(circuits, shots, strict=True)
        ]
        results = [result[0] for result in (run_round(pubs) if pubs else [])]
        if failed := [result for result in results if isinstance(result, FailedPoint)]:
            problem = f"a job of the operators' derivatives failed ({failed[0].reason})"
            consequence = "The next operator can't be chosen without it; earlier rounds are kept."
            raise JobFailed(problem, consequence, "Run again.")
        counts = [result for result in results if isinstance(result, Counts)]
        return [
            combine(0.0, [group_statistics(*pair) for pair in zip(groups, counts, strict=True)])
            for groups in self.by_operator
        ]


def _measured_terms(
    group: MeasurementGroup, paulis: PauliList
) -> tuple[NDArray[np.intp], tuple[int, ...], NDArray[np.float64]]:
    """Return the indices of the terms that a group can measure, their masks and signs."""
    is_measurable, masks, signs = group.measurable_terms(paulis)
    return np.flatnonzero(is_measurable), tuple(masks), signs


def _energy_of(pool: OperatorPool) -> SymplecticOperator:
    return pool.problem.encoding.encode(hamiltonian_terms(pool.problem.molecule))


def _commutator(left: SymplecticOperator, right: SymplecticOperator) -> dict[tuple[int, int], float]:
    """left · right − right · left."""
    return _sum((1.0, multiply(left, right)), (-1.0, multiply(right, left)))


def _sum(*parts: tuple[float, SymplecticOperator]) -> dict[tuple[int, int], float]:
    """Add operators with factors; terms below `NEGLIGIBLE` are dropped."""
    total: defaultdict[tuple[int, int], float] = defaultdict(float)
    for factor, operator in parts:
        for key, value in operator.items():
            total[key] += factor * value
    return {key: value for key, value in total.items() if abs(value) > NEGLIGIBLE}
