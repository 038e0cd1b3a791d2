"""Grown circuit of a molecule: its operators and angles, chosen on this computer, or those of a run's record."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version

import numpy as np
import scipy
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulated_start import ANGLE_DECIMALS, simulated_minimum
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit
from hybridloop.algorithms.grown.circuit import grown
from hybridloop.algorithms.grown.growth import GROWTH, grow, simulated
from hybridloop.algorithms.grown.operators import Operator
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.errors import InputError
from hybridloop.preparation.choices.initial_point import InitialPoint, Start
from hybridloop.runtime.json_cache import SIMULATIONS, keep, read_cached
from hybridloop.runtime.run_events import SIMULATION_RUNNING, report
from hybridloop.runtime.stages import announce
from hybridloop.settings import StartName

RECORD = "grown:"  # beginning of the word of a run's record that has the operators and angles of a grown circuit
SHOWN_EVERY_S = 1.0


@dataclass(frozen=True, eq=False)
class GrownCircuit:
    """Operators of a grown circuit after Hartree-Fock of a Jordan-Wigner problem, and their angles (n,) in radians."""

    problem: ElectronicProblem
    operators: tuple[Operator, ...]
    point: NDArray[np.float64]

    @property
    def record(self) -> str:
        """The word for a run's record: its operators and their angles."""
        angles = (f"{angle:.{ANGLE_DECIMALS}f}" for angle in self.point.tolist())
        return RECORD + ",".join(f"{each.text}={angle}" for each, angle in zip(self.operators, angles, strict=True))

    @cached_property
    def simulation(self) -> SimulatedCircuit | None:
        """The simulation of the circuit; None where the determinants are too many."""
        return simulated(self.problem, self.operators)

    @cached_property
    def ansatz(self) -> Ansatz:
        """The circuit at angles of 0."""
        return grown(self.problem, self.operators)

    @property
    def energy(self) -> float | None:
        """The simulated energy at the angles, in hartree."""
        return None if self.simulation is None else self.simulation.energy(self.point)

    @classmethod
    def chosen(cls, problem: ElectronicProblem, most: float) -> GrownCircuit | None:
        """Return the circuit that is grown to `most` hartree above the exact energy; None where none gets there.

        What is grown is kept beside the simulations, for later runs.
        """
        molecule = problem.molecule
        integrals = molecule.one_body.tolist(), molecule.two_body.tolist(), molecule.core_energy, molecule.electrons
        versions = version("hybridloop"), np.__version__, scipy.__version__, GROWTH
        key = hashlib.sha256(repr(("grown", integrals, most, versions)).encode()).hexdigest()
        if (kept := read_cached(SIMULATIONS, key)) is not None:
            with suppress(InputError, TypeError, KeyError, AttributeError):  # of another program
                record = kept["grown"]
                return None if record is None else cls.recorded(problem, record)
        progress = _Progress()
        found = grow(problem, most, progress)
        circuit = None
        if found is not None:
            point = np.round(simulated_minimum(found.simulation, found.point), ANGLE_DECIMALS) + 0.0
            circuit = cls(problem, found.operators, point)
        if progress.operators:  # else there was nothing to simulate
            keep(SIMULATIONS, key, {"grown": None if circuit is None else circuit.record})
        return circuit

    @classmethod
    def recorded(cls, problem: ElectronicProblem, record: str) -> GrownCircuit:
        """Return the circuit of a run's record. Raises InputError for a damaged one."""
        try:
            parts = [each.rpartition("=") for each in record.removeprefix(RECORD).split(",")]
            operators = tuple(Operator.parse(text, problem.molecule.norb) for text, _, _ in parts)
            point = np.array([float(angle) for _, _, angle in parts])
            if not np.isfinite(point).all():
                raise ValueError("an angle is not finite")
        except ValueError as error:
            what = f"the circuit that the run recorded is damaged ({error})"
            raise InputError("ansatz", what, "Start a new run; this one's counts are kept.") from error
        return cls(problem, operators, point)

    def start(self, initial_point: InitialPoint, seed: int, *, is_simulated: bool) -> Start:
        """Return the ansatz at its initial point, as the settings name it, or chosen. Raises InputError."""
        ansatz = self.ansatz
        match initial_point:
            case StartName.AUTO:
                model = self.simulation if is_simulated else None
                start = replace(ansatz, initial_point=self.point, is_near=True, model=model)
                return Start(start, "the angles of the simulation by which the circuit was grown")
            case StartName.HF:
                return Start(ansatz)
            case StartName.RANDOM:
                point = np.random.default_rng(seed).uniform(-np.pi, np.pi, ansatz.num_parameters)
                return Start(replace(ansatz, initial_point=point))
            case StartName.NEWTON:
                raise InputError("initial_point", "only uccsd has a Newton start", "Give uccsd, or leave it out.")
        return Start(replace(ansatz, initial_point=np.array(initial_point, float)))


class _Progress:
    """Announcement of a growth that takes more than a second, and again every second."""

    def __init__(self) -> None:
        self.operators = 0
        self._next_at = time.monotonic() + SHOWN_EVERY_S

    def __call__(self, operators: int, excess: float) -> None:
        self.operators = operators
        if (now := time.monotonic()) < self._next_at:
            return
        self._next_at = now + SHOWN_EVERY_S
        text = (
            f"growing the circuit by simulation: {operators} operators, {1e3 * excess:.2f} mHa above the exact energy"
        )
        announce(text)
        report(SIMULATION_RUNNING, text, {"operators": operators, "excess": excess})
