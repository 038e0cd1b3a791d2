"""A molecule whose ground state is its Hartree-Fock determinant: its answer is computed, and no job is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from qiskit import QuantumCircuit

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.uccsd import symmetry_allowed_excitations
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.final import FinalMeasurement
from hybridloop.algorithms.facts import examine
from hybridloop.algorithms.optimizers.base import Stop
from hybridloop.algorithms.outcome import Outcome, measured_value
from hybridloop.algorithms.problems.electronic import ElectronicProblem, set_bits
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.vqe.expectations import Expectations, rows_of_determinant
from hybridloop.preparation.prepared import (
    CIRCUIT,
    SEARCH,
    OnRound,
    PlanFacts,
    PreparedAlgorithm,
    ProblemFacts,
)
from hybridloop.preparation.problem import EnergyProblem

SAME_STATE = 1e-8  # hartree: rounding of both energies
NO_ANGLES = "no angles: there is nothing to measure"
NO_CIRCUIT = "none: Hartree-Fock is the exact ground state"


@dataclass(frozen=True, slots=True)
class PreparedReference(PreparedAlgorithm):
    """An answer without a round: the energy and the properties of the Hartree-Fock determinant."""

    facts: ProblemFacts
    problem: EnergyProblem  # of electrons
    ansatz: Ansatz
    expectations: Expectations

    @property
    def choices(self) -> Mapping[str, str]:
        """The reasons for no search and no circuit."""
        return {SEARCH: NO_ANGLES, CIRCUIT: NO_CIRCUIT}

    def plan_facts(self, *, samples: bool) -> PlanFacts:
        """Return a plan without rounds."""
        return PlanFacts(0, 0, 0)

    def measure(self, _run_round: RunRound, _on_progress: OnRound, /) -> Outcome:
        """Return what is known of the determinant; its spin is that of the molecule."""
        exact = self.facts.exact()
        assert isinstance(self.problem, ElectronicProblem)
        assert exact is not None  # `hartree_fock_if_exact` compared it
        energy = self.problem.molecule.hartree_fock_energy
        alpha, beta = self.problem.molecule.electrons
        spin = 0.5 * abs(alpha - beta)
        value = max(energy, exact)  # equal but for rounding
        stop = Stop(converged=True, reason=_reason(self.problem))
        facts, _ = examine(stop, value - exact, SAME_STATE, unit="hartree", remedy=str)
        return Outcome(
            **measured_value(FinalMeasurement(Estimate(value, 0.0, 0), is_precise=True), 0.0, NO_CIRCUIT),
            parameters=(),
            converged=True,
            reason=stop.reason,
            rounds=0,
            history=(),
            electrons=float(alpha + beta),
            electrons_error=0.0,
            spin_squared=spin * (spin + 1.0),
            spin_squared_error=0.0,
            observables=rows_of_determinant(self.expectations, self.problem.reference_state),
            facts=facts,
        )


def hartree_fock_if_exact(problem: EnergyProblem, facts: ProblemFacts) -> Ansatz | None:
    """Return the circuit of a molecule's Hartree-Fock determinant if its energy is the exact one; None for others."""
    if not isinstance(problem, ElectronicProblem) or not sum(problem.molecule.electrons):
        return None
    exact = facts.exact()
    if exact is None or problem.molecule.hartree_fock_energy - exact > SAME_STATE:
        return None
    circuit = QuantumCircuit(problem.encoding.num_qubits, name="hartree-fock")
    for qubit in set_bits(problem.reference_state):
        circuit.x(qubit)
    return Ansatz(circuit.name, circuit, np.zeros(0), (), conserves_electrons=True, conserves_spin=True)


def _reason(problem: ElectronicProblem) -> str:
    norb = problem.molecule.norb
    if all(count in (0, norb) for count in problem.molecule.electrons):
        why = "no orbital is empty, so no electron can be excited"
    elif not symmetry_allowed_excitations(problem):
        why = "symmetry forbids every excitation"
    else:
        why = "its energy is the exact one"
    return f"Hartree-Fock is the exact ground state: {why}"
