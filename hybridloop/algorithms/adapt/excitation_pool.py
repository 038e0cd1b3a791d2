"""Pool of single and double excitations from Hartree-Fock, fermionic or on qubits."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hybridloop.algorithms.adapt.operator_pool import Array, OperatorPool
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit, is_simulable
from hybridloop.algorithms.circuits.uccsd import (
    Excitation,
    excitation_ansatz,
    mirrored_angles,
    symmetry_allowed_excitations,
)
from hybridloop.algorithms.problems.electronic import (
    ElectronicProblem,
    SymplecticOperator,
    excitation,
    qubit_excitation,
)

GRADIENTS = 1_000  # of the whole pool's circuit: the simulations of a growth take fewer
ExcitationGroup = tuple[Excitation, ...]  # excitations that share an angle


class PoolKind(enum.StrEnum):
    """Kind of the pool's generators."""

    FERMIONIC = "fermionic"  # with the Z strings of the fermion-to-qubit mapping
    QUBIT = "qubit"  # without Z strings: shorter circuits, at times a few more operators


@dataclass(frozen=True, slots=True, eq=False)
class ExcitationPool(OperatorPool):
    """Operator pool of single and double excitations from Hartree-Fock that conserve the Hamiltonian's symmetries.

    An operator is a group of excitations that share an angle.
    """

    kind: PoolKind
    groups: tuple[ExcitationGroup, ...]
    is_simulated: bool = True

    @classmethod
    def of(
        cls,
        problem: ElectronicProblem,
        kind: PoolKind = PoolKind.FERMIONIC,
        groups: Sequence[ExcitationGroup] | None = None,
    ) -> ExcitationPool:
        """Create the pool of these groups, else of all symmetry-conserving singles and doubles, each on its own."""
        if groups is None:
            groups = [(each,) for each in symmetry_allowed_excitations(problem)]
        return cls(problem, kind, tuple(groups))

    @classmethod
    def tied(cls, problem: ElectronicProblem, kind: PoolKind = PoolKind.FERMIONIC) -> ExcitationPool:
        """Create the pool in which mirror images in alpha and beta share an angle (`mirrored_angles`)."""
        excitations = symmetry_allowed_excitations(problem)
        groups: list[ExcitationGroup] = []
        for number, each in zip(mirrored_angles(problem, excitations), excitations, strict=True):
            groups[number:] = [(*(groups[number] if number < len(groups) else ()), each), *groups[number + 1 :]]
        return cls(problem, kind, tuple(groups))

    def ansatz(self, chosen: Sequence[int]) -> Ansatz:
        """Build Hartree-Fock followed by the exponentials of the chosen operators, in order, with angles of 0."""
        pairs = [(number, each) for number, index in enumerate(chosen) for each in self.groups[index]]
        numbers, selected = [number for number, _ in pairs], [each for _, each in pairs]
        name = f"adapt ({len(chosen)})"
        return excitation_ansatz(self.problem, selected, name, angles=numbers, generator_of=self.generator_of)

    def simulation(self, chosen: Sequence[int]) -> SimulatedCircuit | None:
        """Return the simulation of the `ansatz` of the same operators; None where that of the pool takes too long.

        Its objective is the energy without a penalty for spin, of which the pool's derivatives are.
        """
        operators = [each for group in self.groups for each in group]
        if not self.is_simulated or not is_simulable(self.problem, operators, GRADIENTS):
            return None
        pairs = [(number, each) for number, index in enumerate(chosen) for each in self.groups[index]]
        numbers, selected = [number for number, _ in pairs], [each for _, each in pairs]
        simulation = SimulatedCircuit.of(self.problem, selected, numbers, generator_of=self.generator_of)
        return None if simulation is None else replace(simulation, objective=simulation.hamiltonian)

    def __len__(self) -> int:
        return len(self.groups)

    def generators_of(self, index: int) -> list[SymplecticOperator]:
        """Return the generators A of an operator's exponentials exp(θ A), in their order, under Jordan-Wigner."""
        return [self.generator_of(*excitation) for excitation in self.groups[index]]

    def ranks(self, slopes: Array, _curvatures: Array, _chosen: Sequence[int]) -> Array:
        """Return the slopes by size."""
        return np.abs(slopes)

    def row(self, index: int) -> dict[str, Any]:
        """Return the spin orbitals that an operator empties and fills, and whether its mirror image is with it."""
        emptied, filled = self.groups[index][0]
        return {"emptied": list(emptied), "filled": list(filled), "spins_exchanged": len(self.groups[index]) > 1}

    @property
    def generator_of(self) -> Callable[[Iterable[int], Iterable[int]], SymplecticOperator]:
        """The function of a generator T − T† under Jordan-Wigner by the orbitals emptied and filled."""
        return excitation if self.kind is PoolKind.FERMIONIC else qubit_excitation
