"""Prepare a VQE: circuit with its initial point, optimizer, measurement groups and error mitigation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.basis import to_basis, two_qubit_gates
from hybridloop.algorithms.circuits.simulated_start import simulated_minimum
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit
from hybridloop.algorithms.circuits.statevector import StatevectorModel
from hybridloop.algorithms.circuits.uccsd import mirrored_angles, symmetry_allowed_excitations
from hybridloop.algorithms.diagnostics import StateChecks
from hybridloop.algorithms.estimation.final import MAX_EXACT_ROUNDS, MAX_ROUNDS, Allocation
from hybridloop.algorithms.estimation.grouping import GroupingChoice
from hybridloop.algorithms.estimation.observable import Observable
from hybridloop.algorithms.facts import (
    GIVE_ANOTHER_CIRCUIT,
    GIVE_LAYERS,
    GROUND_TOLERANCE,
    MORE_SHOTS,
    another_symmetry,
    examine,
    ground_tolerance,
    known_residue,
    lowest_of,
    what_reaches_further,
)
from hybridloop.algorithms.mitigation.mitigation import Mitigation
from hybridloop.algorithms.mitigation.readout import CALIBRATION_SHOTS, Symmetry, spin_parity_symmetries
from hybridloop.algorithms.mitigation.zne import (
    ZeroNoiseExtrapolation,
    ZneModel,
    draw_paulis,
    extrapolation_doubts,
    fold_gates,
    is_too_noisy,
    with_interval_over,
)
from hybridloop.algorithms.optimizers.base import Optimizer, Stop
from hybridloop.algorithms.optimizers.missing_points import (
    FAIL,
    MissingPointPolicy,
    Penalize,
    Skip,
    check_missing_point_policy,
)
from hybridloop.algorithms.optimizers.registry import SearchSettings, choose_optimizer
from hybridloop.algorithms.outcome import Fact, Outcome, measured_value
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.algorithms.problems.pauli import MAX_EXACT_QUBITS
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.simulated_energy import TESTED_PRECISIONS, SimulatedEnergy
from hybridloop.algorithms.vqe import vqe
from hybridloop.azure.targets import Target
from hybridloop.budget.prices import is_free
from hybridloop.compiler.circuit_structure import extract_structure
from hybridloop.compiler.point_gate import has_unbound_program
from hybridloop.compiler.qir_template import placeholder_qir
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.preparation.checks import check_mitigation
from hybridloop.preparation.circuit import choose_circuit
from hybridloop.preparation.measurement_groups import measurement_groups
from hybridloop.preparation.prepared import (
    ANGLES_SIMULATED,
    Accuracy,
    OnRound,
    PlanFacts,
    PreparedEnergy,
    ProblemFacts,
    angles_searched_on,
)
from hybridloop.preparation.problem import EnergyProblem, accuracy_of, facts_of, resolve_problem
from hybridloop.settings import (
    AnsatzName,
    AutoResume,
    MappingName,
    MitigationName,
    OptimizerName,
    ProblemText,
    StartName,
)
from hybridloop.settings.energies import GroupingName
from hybridloop.settings.optimizer_plugins import OBJECT, find_optimizer
from hybridloop.tasks.failure_policy import FailurePolicy, OnLostJob

MENDABLE = 4.0  # residues: 98 % of the ends of a search of two angles are nearer, and more of several (χ²)


@dataclass(frozen=True, slots=True)
class PreparedVqe(PreparedEnergy):
    """A VQE that lacks only a session."""

    facts: ProblemFacts
    problem: EnergyProblem
    ansatz: Ansatz
    circuit_reason: str | None
    start_reason: str | None
    simulation: SimulatedCircuit | None
    search: SearchSettings
    on_lost: MissingPointPolicy
    settings: VqeSettings
    mitigation: Mitigation
    accuracy: Accuracy
    energy: GroupingChoice
    has_noise: bool = False  # of the target
    samples: bool = True  # false of a target whose distribution is exact

    @property
    def origin_of_angles(self) -> str:
        """The target, or the circuit's simulation."""
        return angles_searched_on(self.settings.target) if self.ansatz.model is None else ANGLES_SIMULATED

    def plan_facts(self, *, samples: bool) -> PlanFacts:
        """Return the limits of the search and of the final measurement."""
        final = (MAX_ROUNDS if samples else MAX_EXACT_ROUNDS) * (1 if self.ansatz.model is None else 2)  # a test too
        return self._plan_facts(self.settings.max_rounds, final, 0, samples=samples)

    def make_optimizer(self) -> Optimizer:
        """Return a new optimizer, which serves one run."""
        return _optimizer(self.settings.optimizer, self.search, self.accuracy)

    def measure(self, run_round: RunRound, on_progress: OnRound, /) -> Outcome:
        """Search for the lowest energy and measure it, by an optimizer of this run."""
        optimizer, model = self.make_optimizer(), self.ansatz.model
        electronic = self.problem if isinstance(self.problem, ElectronicProblem) else None
        checks = None if electronic is None else StateChecks.of(electronic, self.ansatz)
        result = vqe(
            self.energy.observable,
            self.ansatz,
            optimizer,
            run_round,
            shots=self.circuit_shots,
            precision=self.accuracy.precision,
            max_rounds=self.settings.max_rounds,
            on_lost=self.on_lost,
            allocation=Allocation(self.settings.allocation),
            mitigation=self.mitigation,
            deviations=self.energy.deviations if self.samples else None,
            least_shots=self.energy.least_shots,
            simulated=None if model is None else self._simulated_energy(model.energy(self.ansatz.initial_point)),
            falls_short=self.falls_short,
            final_pubs=(lambda _: ()) if checks is None else checks.pubs,
            on_progress=on_progress,
        )
        # doubts about the point found
        point = np.array(result.parameters)
        state = None if checks is None else checks.read(result.final.others)
        warnings = [] if state is None else list(state.warnings)
        energy = self.simulated_energy(point)
        excess = self.excess(energy)
        facts = self.examined(point, excess, Stop(result.converged, result.reason))
        warnings += [fact.reason for fact in facts if not fact.shown and result.converged]
        final = result.final
        if (estimate := final.estimate).extrapolation is not None:
            warnings += extrapolation_doubts(estimate, self.accuracy.precision, self.facts.unit)
            if energy is not None:
                tested = self._simulated_energy(energy).test(estimate)
                warnings += (
                    [] if tested.passed else [f"unlike the simulation: {tested.reason}. The interval holds both."]
                )
                final = replace(final, estimate=with_interval_over(estimate, energy))
        (forecast,) = [source for source in result.error_budget if source.is_one_sided]
        left = known_residue(excess) or (forecast.amount, forecast.meaning)
        result = replace(result, **measured_value(final, *left))
        return replace(
            result,
            interval95=None if energy is None and is_too_noisy(estimate) else result.interval95,
            converged=result.converged and not warnings,
            reason="; ".join([*(warning.split(":")[0] for warning in warnings), result.reason]),
            warnings=tuple(warnings),
            facts=facts,
            choices=tuple(self._choices()),
            **({} if state is None else state.columns),
        )

    def _simulated_energy(self, energy: float) -> SimulatedEnergy:
        """Return the test of an energy; one to less than some precisions would take most of a run's shots."""
        tolerance = self.settings.tolerance
        if tolerance is None:
            tolerance = max(self.accuracy.tolerance or CHEMICAL_ACCURACY, TESTED_PRECISIONS * self.accuracy.precision)
        return SimulatedEnergy(energy, tolerance, self.facts.unit, self.has_noise)

    def _choices(self) -> Iterator[str]:
        """Yield each choice that the settings left open, with its reason."""
        if self.circuit_reason is not None:
            yield f"circuit: {self.circuit_reason}"
        if self.start_reason is not None:
            yield f"start: {self.start_reason}"
        if self.settings.optimizer == OptimizerName.AUTO and not (self.has_noise and self.ansatz.model):
            choice = choose_optimizer(self.ansatz)
            only = "" if self.ansatz.model is None else "if the measured energy is above the simulated one, "
            yield f"optimizer: {only}{choice.name}, as {choice.reason}"
        if self.accuracy.choice is not None:
            yield self.accuracy.choice
        if self.settings.grouping is GroupingName.AUTO:
            yield f"groups: {self.energy.text}"

    def examined(self, point: NDArray[np.float64], excess: float | None, stop: Stop) -> tuple[Fact, ...]:
        """Return what is shown of the state at a point with this `excess`, at which a search stopped."""
        return examine(stop, excess, self._claim_tolerance, unit=self.facts.unit, remedy=partial(self._remedy, point))

    @property
    def _claim_tolerance(self) -> float:
        """Largest energy above the exact lowest one at which a state is claimed."""
        if not isinstance(self.problem, ElectronicProblem):
            return self.accuracy.tolerance or ground_tolerance(self.accuracy.precision)
        return ground_tolerance(self.accuracy.precision, max(GROUND_TOLERANCE, 0.5 * (self.accuracy.tolerance or 0.0)))

    def _remedy(self, point: NDArray[np.float64]) -> str:
        energy = self.simulated_energy(point)
        if self.ansatz.model is None and self._is_reached_near(point):
            return MORE_SHOTS
        if self.simulation is None or energy is None:
            return GIVE_LAYERS if isinstance(self.settings.ansatz, AnsatzName) else GIVE_ANOTHER_CIRCUIT
        return another_symmetry(self.simulation, energy) or what_reaches_further(self.simulation.problem)

    def falls_short(self, point: NDArray[np.float64], residue: float) -> bool:
        """Return whether the state at a point (n,) is too high by what more shots can mend.

        It is above the exact energy by more than a claim may be, the circuit's minimum nearby is not, and the `residue`
        that the search expects explains it: an end that is further off is no chance of shot noise.
        """
        excess = self.excess(self.simulated_energy(point))
        if excess is None or not self._claim_tolerance < excess <= MENDABLE * residue:
            return False
        return self._is_reached_near(point)

    def _is_reached_near(self, point: NDArray[np.float64]) -> bool:
        """Return whether the minimum that the circuit's simulation has downhill of a point is near the exact energy."""
        model = self.simulation or StatevectorModel.of(self.ansatz.circuit, self.problem.hamiltonian)
        if model is None:
            return False
        excess = self.excess(model.energy(simulated_minimum(model, point)))
        return excess is not None and excess <= self._claim_tolerance

    def excess(self, energy: float | None) -> float | None:
        """Return how far a simulated energy is above the exact one, None where one of them is unknown."""
        lowest = self.facts.exact()
        if self.simulation is not None:
            lowest = lowest_of(lowest, self.simulation)
        return None if energy is None or lowest is None else energy - lowest

    def simulated_energy(self, point: NDArray[np.float64]) -> float | None:
        """Return the energy of the circuit's state at a point (n,) in radians; None where it takes too much work."""
        if self.simulation is not None:
            return self.simulation.energy(point)
        if self.ansatz.circuit.num_qubits > MAX_EXACT_QUBITS:
            return None
        state = Statevector(self.ansatz.circuit.assign_parameters(point))
        return float(state.expectation_value(self.problem.hamiltonian).real)


def prepare_vqe(
    problem: ProblemText,
    settings: VqeSettings,
    seed: int,
    target: Target,
    groupings: Sequence[str] = (),
) -> PreparedVqe:
    """Build a VQE from its problem text. Raises InputError; sends nothing.

    `groupings` has the grouping that was chosen when the run was started, if it was recorded.
    """
    resolved = resolve_problem(problem, settings, target)
    start, circuit_reason = choose_circuit(resolved, settings, seed, is_free=is_free(target))
    ansatz = start.ansatz
    search = SearchSettings(
        ansatz,
        is_near=ansatz.starts_near or not isinstance(settings.initial_point, StartName),
        seed=seed,
        max_rounds=settings.max_rounds,
        tolerance=settings.tolerance,
        shots=settings.shots,
        gradient_norm=settings.gradient_norm,
    )
    if settings.optimizer.startswith(OBJECT) and settings.resume_automatically not in (None, AutoResume.NEVER):
        name = settings.optimizer.removeprefix(OBJECT)
        reason = f"the optimizer {name} is an object: workers cannot import it"
        raise InputError("resume_automatically", reason, "Leave it out, or register the optimizer as an entry point.")
    on_lost = missing_point_policy(settings.failure)
    accuracy = accuracy_of(resolved, settings, settings.tolerance)
    check_missing_point_policy(on_lost, _optimizer(settings.optimizer, search, accuracy))
    mitigation = _mitigation(settings.mitigation or (), settings.mapping, resolved)
    energy = measurement_groups(resolved, ansatz, settings, accuracy, target, groupings)
    least = energy.least_shots * len(energy.observable.groups)
    search = replace(search, least_shots=max(search.least_shots, least))
    if mitigation.zne is not None:
        check_mitigation(target, settings)
        _check_scales(mitigation.zne, energy.observable, ansatz, target)
    return PreparedVqe(
        facts_of(resolved),
        resolved,
        ansatz,
        circuit_reason,
        start.reason,
        _simulation(resolved, ansatz) if settings.is_uccsd else None,
        search,
        on_lost,
        settings,
        mitigation,
        accuracy,
        energy,
        target.is_noisy,
        target.samples,
    )


def _check_scales(zne: ZeroNoiseExtrapolation, energy: Observable, ansatz: Ansatz, target: Target) -> None:
    """Compile a group's circuit at each scale as it is submitted. Raises InputError, ProgramError if one is not met."""
    if has_unbound_program(ansatz.circuit):
        problem = "the circuit's gates change with its angles, and zero-noise extrapolation repeats gates that it knows"
        raise InputError("mitigation", problem, "Leave zne out; readout corrects the errors of measurements.")
    circuit = to_basis(energy.groups[0].measurement_circuit(ansatz.circuit))
    if not two_qubit_gates(circuit):
        problem = "the circuit has no gate on two qubits, whose noise zero-noise extrapolation amplifies"
        raise InputError("mitigation", problem, "Leave zne out; readout corrects the errors of measurements.")
    paulis = draw_paulis(circuit, np.random.default_rng(0))
    for scale in zne.scales:
        placeholder_qir(extract_structure(fold_gates(circuit, scale, paulis, 0))[0], target.profile)


def _simulation(resolved: EnergyProblem, ansatz: Ansatz) -> SimulatedCircuit | None:
    """Return the simulation of a UCCSD circuit; None for a Pauli sum, and where it is too large."""
    if isinstance(ansatz.model, SimulatedCircuit):
        return ansatz.model
    if not isinstance(resolved, ElectronicProblem):
        return None
    selected = symmetry_allowed_excitations(resolved)
    angles = mirrored_angles(resolved, selected) if shares_angles(resolved, ansatz) else range(len(selected))
    return SimulatedCircuit.of(resolved, selected, angles)


def shares_angles(problem: ElectronicProblem, ansatz: Ansatz) -> bool:
    """Return whether mirrored excitations share angles in a UCCSD ansatz of the problem."""
    return ansatz.num_parameters < len(symmetry_allowed_excitations(problem))


def with_start(prepared: PreparedVqe, ansatz: Ansatz, reason: str | None) -> PreparedVqe:
    """Return the same VQE at another initial point."""
    search = replace(prepared.search, ansatz=ansatz, is_near=ansatz.starts_near)
    return replace(prepared, ansatz=ansatz, start_reason=reason, search=search)


def _mitigation(methods: Sequence[MitigationName], mapping: MappingName, problem: EnergyProblem) -> Mitigation:
    symmetries: tuple[Symmetry, ...] = ()
    if MitigationName.SYMMETRY in methods:
        if not isinstance(problem, ElectronicProblem):
            raise InputError("mitigation", "a Pauli sum has no electrons to select by", "Leave symmetry out.")
        if not (symmetries := spin_parity_symmetries(problem)):
            what = f"under {mapping.value} no qubits hold a spin's parity of electrons"
            raise InputError("mitigation", what, "Leave symmetry out, or choose jordan-wigner.")
    zne = None
    if MitigationName.ZNE_LINEAR in methods:
        zne = ZeroNoiseExtrapolation(ZneModel.LINEAR)
    if MitigationName.ZNE_EXPONENTIAL in methods:
        zne = ZeroNoiseExtrapolation(ZneModel.EXPONENTIAL)
    shots = CALIBRATION_SHOTS if MitigationName.READOUT in methods else 0
    return Mitigation(shots, symmetries, zne)


def _optimizer(choice: OptimizerName | str, search: SearchSettings, accuracy: Accuracy) -> Optimizer:
    name = choose_optimizer(search.ansatz).name if choice is OptimizerName.AUTO else str(choice)
    spec = find_optimizer(name)
    if "tolerance" in spec.honours:
        search = replace(search, tolerance=accuracy.tolerance)
    return spec.create(name, search)


def missing_point_policy(policy: FailurePolicy) -> MissingPointPolicy:
    """Return the optimizer's treatment of points without a result under a failure policy."""
    match policy.on_lost_job:
        case OnLostJob.FAIL:
            return FAIL
        case OnLostJob.SKIP:
            return Skip()
        case OnLostJob.PENALIZE:
            assert policy.penalty is not None  # checked by the model
            return Penalize(policy.penalty)
