"""Plausibility checks of a result: particle number, spin, energy below the exact one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.doubt import Doubt
from hybridloop.algorithms.estimation.estimates import Estimate, estimate_observable
from hybridloop.algorithms.estimation.observable import Grouping, MeasurementGroup, Observable, observable
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub

SECTOR_SHOTS = 4000
SPIN_SHOTS = 1000  # of each of some eight groups: standard errors of 0.01 near Hartree-Fock, 0.05 at most
TOLERATED_SPREAD = 0.1  # squared electrons: one shot in ten wrong by one, as a noisy machine makes of a correct state
TOLERATED_SPIN = 0.1  # of S²: a twentieth of a triplet in a singlet, which a machine's errors may make of a right state
SIGMAS = 3.0  # standard errors: a smaller deviation counts as noise


@dataclass(frozen=True, slots=True)
class SectorCheck:
    """Measured particle number of a state against the problem's `electrons` (alpha, beta).

    `number` is ⟨N⟩; `spread` is ⟨(N_α − n_α)² + (N_β − n_β)²⟩, which is 0 only where every shot has these electrons.
    """

    electrons: tuple[int, int]
    number: Estimate
    spread: Estimate

    @property
    def in_sector(self) -> bool:
        """True unless the spread is above `TOLERATED_SPREAD` and above noise."""
        return self.spread.value <= max(TOLERATED_SPREAD, SIGMAS * self.spread.standard_error)

    @property
    def doubt(self) -> Doubt | None:
        """Reason to doubt the state; None where the electrons are the right ones."""
        if self.in_sector:
            return None
        alpha, beta = self.electrons
        return Doubt(
            "wrong particle number",
            f"the state has {self.number.value:.3g} electrons on average, the problem has "
            f"{alpha + beta} ({alpha} alpha, {beta} beta); the root mean square deviation is "
            f"{math.sqrt(self.spread.value):.2g}. The energy belongs to another charge or spin and may lie below the "
            "true one. Use the ansatz uccsd, which conserves the electrons, or the mapping parity, which conserves "
            "their parity.",
        )


def _computational_basis(problem: ElectronicProblem) -> MeasurementGroup:
    return MeasurementGroup("Z" * problem.encoding.num_qubits, (), np.zeros(0))


def _sector_of(problem: ElectronicProblem, counts: Counts) -> SectorCheck:
    # both operators consist of I and Z alone
    diagonal = [observable(operator) for operator in (problem.number_operator, problem.electron_deviation_operator)]
    number, spread = (estimate_observable(measured, [counts] * len(measured.groups)) for measured in diagonal)
    return SectorCheck(problem.molecule.electrons, number, spread)


@dataclass(frozen=True, slots=True)
class QuantumNumbers:
    """Estimates of ⟨N⟩ and ⟨S²⟩ of a state: their variance is 0 where the circuit conserves them; None if a job failed.

    `doubts` are reasons to doubt that the state is the one that was asked for.
    """

    electrons: Estimate | None
    spin_squared: Estimate | None
    doubts: tuple[Doubt, ...]

    @property
    def columns(self) -> dict[str, Any]:
        """The quantum numbers as fields of an outcome."""
        return {
            "electrons": self.electrons and self.electrons.value,
            "electrons_error": self.electrons and _error(self.electrons),
            "spin_squared": self.spin_squared and self.spin_squared.value,
            "spin_squared_error": self.spin_squared and _error(self.spin_squared),
        }


def _error(estimate: Estimate) -> float:
    return max(estimate.standard_error, estimate.rounding_bound)


@dataclass(frozen=True, slots=True, eq=False)
class StateChecks:
    """Measurements of ⟨N⟩ and ⟨S²⟩ of a final state, in the same round as its energy.

    `spin` is None where the circuit conserves the spin, or all states of the problem's electrons have one spin.
    """

    problem: ElectronicProblem
    ansatz: Ansatz
    is_sector_known: bool
    spin: Observable | None

    @classmethod
    def of(cls, problem: ElectronicProblem, ansatz: Ansatz) -> StateChecks:
        """Choose what has to be measured."""
        is_sector_known = ansatz.conserves_electrons or not observable(problem.electron_deviation_operator).groups
        alpha, beta = problem.molecule.electrons
        has_one_spin = abs(alpha - beta) == min(alpha + beta, 2 * problem.molecule.norb - alpha - beta)
        is_spin_known = ansatz.conserves_spin or (has_one_spin and is_sector_known)
        spin = None if is_spin_known else observable(problem.spin_squared_operator, Grouping.FULLY_COMMUTING)
        return cls(problem, ansatz, is_sector_known, spin)

    @property
    def groups(self) -> tuple[MeasurementGroup, ...]:
        """The measured groups: that of the electrons, and those of S²."""
        of_electrons = () if self.is_sector_known else (_computational_basis(self.problem),)
        return (*of_electrons, *(() if self.spin is None else self.spin.groups))

    def pubs(self, point: NDArray[np.float64]) -> list[SamplerPub]:
        """Return the PUBs for a point (n,), one for each group."""
        of_electrons = 0 if self.is_sector_known else 1
        shots = [SECTOR_SHOTS] * of_electrons + [SPIN_SHOTS] * (len(self.groups) - of_electrons)
        circuits = [group.measurement_circuit(self.ansatz.circuit) for group in self.groups]
        pairs = zip(circuits, shots, strict=True)
        return [SamplerPub.coerce((circuit, point[None, :], number)) for circuit, number in pairs]

    def read(self, results: Sequence[MeasuredPub]) -> QuantumNumbers:
        """Return the quantum numbers from the results of `pubs`."""
        counts = [result[0] for result in results]
        failed = [each for each in counts if isinstance(each, FailedPoint)]
        if failed:
            what = f"a job that measures them failed ({failed[0].reason})"
            unknown = Doubt("unknown spin or particle number", what)
            return QuantumNumbers(None, None, (unknown,))
        known = [each for each in counts if isinstance(each, Counts)]
        alpha, beta = self.problem.molecule.electrons
        electrons = Estimate(float(alpha + beta), 0.0, 0)
        doubt: Doubt | None = None
        if not self.is_sector_known:
            sector = _sector_of(self.problem, known.pop(0))
            electrons, doubt = sector.number, sector.doubt
        spin = 0.5 * abs(alpha - beta)
        squared = Estimate(spin * (spin + 1.0), 0.0, 0)
        if self.spin is not None:
            squared = estimate_observable(self.spin, known)
            doubt = doubt or spin_doubt(spin, squared)
        return QuantumNumbers(electrons, squared, () if doubt is None else (doubt,))


def spin_doubt(spin: float, squared: Estimate) -> Doubt | None:
    """Return a doubt if ⟨S²⟩ differs from s (s + 1) by more than noise and by more than `TOLERATED_SPIN`, else None."""
    off = abs(squared.value - spin * (spin + 1.0))
    if off <= max(TOLERATED_SPIN, SIGMAS * squared.standard_error, squared.rounding_bound):
        return None
    return Doubt(
        "spin",
        f"⟨S²⟩ is {squared.value:.2f} ± {squared.standard_error:.2f}, and {spin * (spin + 1.0):g} belongs to "
        f"multiplicity {2 * spin + 1:g}. The state mixes spins, so it is not the one that was asked for, even if its "
        "energy is right: in stretched bonds spins lie close. Give another initial point, or the multiplicity of the "
        "state that you want; errors of a machine mix spins too.",
    )


def below_exact(value: float, standard_error: float, rounding_bound: float, exact: float | None) -> Doubt | None:
    """Return a doubt if an energy (hartree) is below the exact one by more than noise, else None."""
    if exact is None or value >= exact - max(SIGMAS * standard_error, rounding_bound):
        return None
    amount = f"{1e3 * (exact - value):.2f} mHa"
    sigmas = f" ({(exact - value) / standard_error:.1f} standard errors)" if standard_error else ""
    return Doubt(
        "below the exact energy",
        f"the value is {amount} below{sigmas} the lowest energy of the molecule's spin in its "
        "orbitals, so its error is at least that large. Possible causes: errors of the machine, an error mitigation "
        "that overshoots, or a state of another spin or with another number of electrons.",
    )
