"""Pool of the operators of a grown circuit, which are selected by their gain for each two-qubit gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.adapt.operator_pool import Array, OperatorPool
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit
from hybridloop.algorithms.grown.circuit import grown, most_two_qubit_gates
from hybridloop.algorithms.grown.growth import operators_of_reference, simulated
from hybridloop.algorithms.grown.operators import COUPLED, Operator, generator_of
from hybridloop.algorithms.problems.electronic import ElectronicProblem, SymplecticOperator


@dataclass(frozen=True, slots=True, eq=False)
class CoupledPool(OperatorPool):
    """Pairs, singles, qubit excitations and coupled exchange that excite electrons of the Hartree-Fock determinant."""

    operators: tuple[Operator, ...]
    is_simulated: bool = True

    @classmethod
    def of(cls, problem: ElectronicProblem, *, is_simulated: bool = True) -> CoupledPool:
        """Create the pool of a Jordan-Wigner problem."""
        return cls(problem, tuple(operators_of_reference(problem)), is_simulated)

    def __len__(self) -> int:
        return len(self.operators)

    def ansatz(self, chosen: Sequence[int]) -> Ansatz:
        """Build Hartree-Fock followed by the exponentials of the chosen operators, in order, with angles of 0."""
        return replace(grown(self.problem, self._operators(chosen)), name=f"adapt ({len(chosen)})")

    def simulation(self, chosen: Sequence[int]) -> SimulatedCircuit | None:
        """Return the simulation of the `ansatz` of the same operators; None where that of the pool takes too long."""
        found = simulated(self.problem, self._operators(chosen)) if self.is_simulated else None
        return None if found is None else replace(found, objective=found.hamiltonian)

    def generators_of(self, index: int) -> list[SymplecticOperator]:
        """Return the generators A of an operator's exponentials exp(θ A), in their order, under Jordan-Wigner."""
        return list(map(generator_of, self.operators[index].exponentials(self.problem.molecule.norb)))

    @property
    def independent(self) -> NDArray[np.bool_]:
        """All operators but coupled exchange, which is a sum of qubit excitations."""
        return np.array([operator.kind != COUPLED for operator in self.operators])

    def ranks(self, slopes: Array, curvatures: Array, chosen: Sequence[int]) -> Array:
        """Return g² / 2 h for each two-qubit gate that an operator adds to those chosen, in hartree."""
        operators = self._operators(chosen)
        before = most_two_qubit_gates(self.problem, operators)
        longer = [most_two_qubit_gates(self.problem, [*operators, each]) for each in self.operators]
        ranks: Array = slopes**2 / (2.0 * curvatures) / np.maximum(np.array(longer) - before, 1)
        return ranks

    def row(self, index: int) -> dict[str, Any]:
        """Return the operator's text, and the spin orbitals that its first excitation empties and fills."""
        operator = self.operators[index]
        exponentials = operator.exponentials(self.problem.molecule.norb)
        emptied, filled, _ = exponentials[0][0]
        is_tied = len(exponentials) > 1
        return {"emptied": list(emptied), "filled": list(filled), "spins_exchanged": is_tied, "operator": operator.text}

    def _operators(self, chosen: Sequence[int]) -> list[Operator]:
        return [self.operators[index] for index in chosen]
