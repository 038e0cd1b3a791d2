"""Claims of a VQE: what its outcome may say of its state, each by a bound from above, and every doubt about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp, Statevector

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulated_start import simulated_minimum
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit
from hybridloop.algorithms.circuits.statevector import StatevectorModel
from hybridloop.algorithms.diagnostics import StateChecks
from hybridloop.algorithms.doubt import Doubt
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.final import FinalMeasurement
from hybridloop.algorithms.estimation.observable import MeasurementGroup
from hybridloop.algorithms.facts import (
    GIVE_ANOTHER_CIRCUIT,
    GIVE_LAYERS,
    GIVE_UCCSD,
    MORE_SHOTS,
    another_symmetry,
    examine,
    known_residue,
    lowest_of,
    symmetry_conserved,
    what_reaches_further,
)
from hybridloop.algorithms.optimizers.base import Stop
from hybridloop.algorithms.outcome import Fact, Outcome, measured_value
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.pauli import MAX_EXACT_QUBITS, PauliProblem
from hybridloop.algorithms.vqe.expectations import NO_EXPECTATIONS, Expectations
from hybridloop.algorithms.vqe.simulated_energy import SimulatedEnergy
from hybridloop.runtime.leaves import leaf

if TYPE_CHECKING:
    from hybridloop.algorithms.mitigation import zne
else:
    zne = leaf("hybridloop.algorithms.mitigation.zne")

MENDABLE = 20.0  # residues: strong couplings that a search has not learned leave more than its noise

O = TypeVar("O", bound=Outcome)  # noqa: E741


@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """Claims of a VQE. This class makes none of the state: the outcome says what the search found.

    `simulated` is the energy at the ansatz's initial point, if that is the minimum of a simulation. `expectations` are
    the operators that are measured beside the energy at the final point, with its shots where they can be.
    """

    simulated: SimulatedEnergy | None = None
    expectations: Expectations = NO_EXPECTATIONS

    @property
    def groups(self) -> tuple[MeasurementGroup, ...]:
        """The groups that are measured at the final point for `judge`."""
        return ()

    def pubs(self, _point: NDArray[np.float64], /) -> Sequence[SamplerPub]:
        """Return the PUBs of the groups at the final point (n,)."""
        return ()

    def falls_short(self, _point: NDArray[np.float64], _residue: float, /) -> bool:
        """Return whether a search that converged at a point (n,) must go on, by the residue that it expects."""
        return False

    def judge(self, outcome: O, _final: FinalMeasurement, /) -> O:
        """Return the outcome with what is shown of it, and its doubts."""
        return outcome


NO_CLAIMS = Claims()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StateClaims(Claims):
    """Claims of a VQE by the exact energy, the simulation of its circuit, and the measured quantum numbers.

    The ansatz's state is measured with the `hamiltonian`, on its own qubits. A state is claimed at most `tolerance`
    above the lowest energy that `exact` gives (None: unknown). `simulation` is
    that of a UCCSD circuit, None for others and where it is too large. `test` compares the measured energy with a
    simulated one. `precision` is that of the final measurement. With `has_layers` more of them may reach further.
    Outcomes with another number of what is `counted` (empty: nothing) are errors, and were discarded.
    """

    problem: ElectronicProblem | PauliProblem
    ansatz: Ansatz
    hamiltonian: SparsePauliOp
    simulation: SimulatedCircuit | None
    exact: Callable[[], float | None]
    tolerance: float
    precision: float
    test: Callable[[float], SimulatedEnergy]
    has_layers: bool
    counted: str = ""

    @property
    def unit(self) -> str:
        """Unit of all energies: hartree, or empty for a Pauli sum."""
        return "hartree" if isinstance(self.problem, ElectronicProblem) else ""

    @property
    def _checks(self) -> StateChecks | None:
        return StateChecks.of(self.problem, self.ansatz) if isinstance(self.problem, ElectronicProblem) else None

    @property
    def groups(self) -> tuple[MeasurementGroup, ...]:
        """The groups of the quantum numbers."""
        checks = self._checks
        return () if checks is None else checks.groups

    def pubs(self, point: NDArray[np.float64], /) -> Sequence[SamplerPub]:
        """Return the PUBs of the quantum numbers."""
        checks = self._checks
        return () if checks is None else checks.pubs(point)

    def judge(self, outcome: O, final: FinalMeasurement, /) -> O:
        """Return the outcome with its facts and quantum numbers, its value's known residue, and its doubts."""
        point, checks = np.array(outcome.parameters), self._checks
        state = None if checks is None else checks.read(final.others)
        energy = self.energy_at(point)
        excess = self.excess(energy)
        facts, shortfall = self.examined(point, excess, Stop(outcome.converged, outcome.reason))
        doubts = [*(() if state is None else state.doubts), *shortfall]
        if (estimate := final.estimate).extrapolation is not None:
            doubts += zne.extrapolation_doubts(estimate, self.precision, self.unit)
            if energy is not None:
                doubts += self._unlike_simulation(energy, estimate)
        facts = (*facts, *([symmetry_conserved(estimate, self.counted)] if self.counted else []))
        (forecast,) = [source for source in outcome.error_budget if source.is_one_sided]
        values = measured_value(final, *(known_residue(excess) or (forecast.amount, forecast.meaning)))
        if estimate.extrapolation is not None and zne.is_too_noisy(estimate):
            values["interval95"] = None
        columns = {} if state is None else state.columns
        return replace(outcome, **values, **columns, facts=facts).doubted(*doubts)

    def _unlike_simulation(self, energy: float, estimate: Estimate) -> list[Doubt]:
        tested = self.test(energy).test(estimate)
        return [] if tested.passed else [Doubt("unlike the simulation", f"{tested.reason}.")]

    def examined(
        self, point: NDArray[np.float64], excess: float | None, stop: Stop
    ) -> tuple[tuple[Fact, ...], list[Doubt]]:
        """Return what is shown of the state at a point with this `excess`, at which a search stopped: see `examine`."""
        return examine(stop, excess, self.tolerance, unit=self.unit, remedy=partial(self._remedy, point))

    def _remedy(self, point: NDArray[np.float64]) -> str:
        energy = self.energy_at(point)
        if self.ansatz.model is None and self._is_reached_near(point):
            return MORE_SHOTS
        if self.ansatz.name == "puccd":
            return GIVE_UCCSD
        if self.simulation is None or energy is None:
            return GIVE_LAYERS if self.has_layers else GIVE_ANOTHER_CIRCUIT
        return another_symmetry(self.simulation, energy) or what_reaches_further(self.simulation.problem)

    def falls_short(self, point: NDArray[np.float64], residue: float, /) -> bool:
        """Return whether the state at a point (n,) is too high by what more shots can mend.

        It is above the exact energy by more than a claim may be, the circuit's minimum nearby is not, and the `residue`
        that the search expects explains it: an end that is further off is no chance of shot noise.
        """
        excess = self.excess(self.energy_at(point))
        if excess is None or not self.tolerance < excess <= MENDABLE * residue:
            return False
        return self._is_reached_near(point)

    def _is_reached_near(self, point: NDArray[np.float64]) -> bool:
        """Return whether the minimum that the circuit's simulation has downhill of a point is near the exact energy."""
        model = self.simulation or StatevectorModel.of(self.ansatz.circuit, self.hamiltonian)
        if model is None:
            return False
        excess = self.excess(model.energy(simulated_minimum(model, point)))
        return excess is not None and excess <= self.tolerance

    def excess(self, energy: float | None) -> float | None:
        """Return how far a simulated energy is above the exact one, None where one of them is unknown."""
        lowest = self.exact()
        if self.simulation is not None:
            lowest = lowest_of(lowest, self.simulation)
        return None if energy is None or lowest is None else energy - lowest

    def energy_at(self, point: NDArray[np.float64]) -> float | None:
        """Return the energy of the circuit's state at a point (n,) in radians; None where it takes too much work."""
        if self.simulation is not None:
            return self.simulation.energy(point)
        if self.ansatz.circuit.num_qubits > MAX_EXACT_QUBITS:
            return None
        state = Statevector(self.ansatz.circuit.assign_parameters(point))
        return float(state.expectation_value(self.hamiltonian).real)
