"""Cost and expected error of a chemically accurate energy on each target, by its prices and its published noise.

Chemical accuracy is 1 kcal/mol: J. A. Pople, Rev. Mod. Phys. 71 (1999) 1267. No number of shots reaches it where the
target's noise shifts the energy by more, so each cost stands beside the error that is expected.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp
from scipy.sparse import csr_array

from hybridloop.algorithms.estimation.final import MIN_PILOT_SHOTS
from hybridloop.algorithms.mitigation.readout import CALIBRATION_SHOTS
from hybridloop.algorithms.mitigation.zne import TWIRLS, ZeroNoiseExtrapolation
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY, energy_name
from hybridloop.azure.targets import DEFAULT_TARGET, Target, batches_points, check_circuit_fits, find_target
from hybridloop.azure.targets.error_rates import ErrorRates, error_rates
from hybridloop.azure.targets.provider_options import target_with_options
from hybridloop.budget.prices import billing_unit
from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.descriptions import ALGORITHMS
from hybridloop.descriptions.vqe import VQE, VqeSettings
from hybridloop.errors import HybridloopError, InputError
from hybridloop.estimate.accuracy_table import DEBIAS, AccuracyRow, ChemicalAccuracy, ExpectedEnergy
from hybridloop.estimate.dry_run import FINAL, OTHER, DryRound, PubRequest, ideal_bound
from hybridloop.estimate.ideal_sampler import (
    SimulationTooLarge,
    States,
    Step,
    evolve,
    gate_steps,
    ground_states,
    shared_steps,
)
from hybridloop.estimate.pricing import ProgramSize, ProgramSizes, Tariff
from hybridloop.estimate.simulation import Simulation
from hybridloop.settings import EnergySettings, MitigationName, MoleculeSettings, RunSettings

if TYPE_CHECKING:
    from hybridloop.estimate.planner import Planner

STANDARD_ERROR: float = VqeSettings.model_fields["precision"].default  # hartree
CONFIDENCE = 0.95  # share of the energies that must be accurate
BY_DEFAULT = (MitigationName.READOUT, MitigationName.ZNE_LINEAR)
EXTRAPOLATIONS = frozenset({MitigationName.ZNE_LINEAR, MitigationName.ZNE_EXPONENTIAL})
STATED_ERRORS = "error-params"  # option of Quantinuum's emulators: rates that are not the published ones
MAX_DETERMINANTS = 1000  # of a molecule whose subspaces a plan diagonalizes: about a second
MAX_WORK = 1e8  # amplitudes through a gate: about a second
MOST_FAULTS = 128  # on each kind of gate: their mean shift is then known to a tenth
FEWEST_FAULTS = 12
FAULT_SHARE = 0.3  # of the mixed state's energy: the shift of a fault is 0.2 to 0.5 of it on LiH, H4, BeH2, H2O and N2
PAULIS_PER_GATE = 3.0  # of a twirled gate: on each of its qubits one before and one after it, each with chance 3/4
_NO_ANGLES = np.zeros((1, 0))


def chemical_accuracy(planner: Planner, targets: Sequence[Target]) -> ChemicalAccuracy | None:
    """Return the cost of a chemically accurate energy on the targets; None for other runs than a molecule's energy.

    The variational search is the planner's, with `STANDARD_ERROR` and without its own error mitigation. Beside it is
    the upper bound from samples, with its defaults for the same electrons. A planner of the bound has a search with
    defaults beside it. What the planner has simulated is not simulated again.
    """
    algorithm = ALGORITHMS[planner.algorithm]
    is_search = isinstance(planner.settings, EnergySettings)
    if algorithm.value_of or not (is_search or algorithm.sampling_rounds):  # which have several energies, or none
        return None
    search, bound = _both(planner)
    searches, _ = _runs(search, targets)
    known = [run for run in searches if run is not None]
    first = next((run for run in known if run.target.is_noisy), known[0] if known else None)  # groups go with the noise
    problem = None if first is None else getattr(first.simulation.prepared, "problem", None)
    if first is None or not isinstance(problem, ElectronicProblem):
        return None
    shifts = _simulated_shifts(first.simulation, problem) or _shifts_by_gates(first, problem)
    search_error, search_note = _search_error(first.simulation, shifts)
    bounds, refusal = _runs(bound, targets)
    sampled = next((run for run in bounds if run is not None), None)
    bound_error, bound_note = (None, f"not planned, as {refusal}") if sampled is None else _bound_error(sampled)
    methods: Sequence[MitigationName] = ()
    if isinstance(search.settings, VqeSettings):  # no other search has error mitigation
        methods = getattr(planner.settings, "mitigation", None) or BY_DEFAULT
    return ChemicalAccuracy(
        algorithm=search.algorithm,
        bound=bound.algorithm,
        bar=CHEMICAL_ACCURACY,
        standard_error=STANDARD_ERROR,
        search_error=search_error,
        search_note=search_note,
        bound_error=bound_error,
        bound_note=bound_note,
        rows=tuple(
            AccuracyRow(
                target=target.name,
                unit=billing_unit(target),
                bare=None if run is None else run.energy(shifts, search_error),
                mitigated=None if run is None else run.mitigated_energy(shifts, search_error, methods),
                bound=None if by_bound is None else by_bound.effort(debias=planner.settings.debias),
            )
            for target, run, by_bound in zip(targets, searches, bounds, strict=True)
        ),
        is_active_space=first.simulation.facts.is_active_space,
    )


def _both(planner: Planner) -> tuple[Planner, Planner]:
    """Return the planners of the search and of the bound."""
    settings = planner.settings
    same = {name: getattr(settings, name) for name in MoleculeSettings.model_fields}
    if not isinstance(settings, EnergySettings):
        return planner.of(VQE.name, VqeSettings().model_copy(update=same)), planner
    from_samples = next(each for each in ALGORITHMS.values() if each.sampling_rounds)
    bound = planner.of(from_samples.name, from_samples.settings().model_copy(update=same))
    bare = {"precision": STANDARD_ERROR} | ({"mitigation": None} if isinstance(settings, VqeSettings) else {})
    if all(getattr(settings, name) == value for name, value in bare.items()):
        return planner, bound
    return planner.of(planner.algorithm, settings.model_copy(update=bare)), bound


def _runs(planner: Planner, targets: Sequence[Target]) -> tuple[list[_Run | None], str]:
    """Return the run on each target, None where it is refused, and the first reason for that."""
    runs: list[_Run | None] = []
    refusals = []
    for target in targets:
        settings = planner.settings_on(target)
        changed = target_with_options(target, settings.options)
        try:
            simulation = planner.simulate(changed, settings)
            check_circuit_fits(changed, simulation.facts.num_qubits)
            runs.append(_Run(planner, changed, settings, simulation))
        except HybridloopError as error:
            runs.append(None)
            refusals.append(error.problem if isinstance(error, InputError) else str(error))
    return runs, next(iter(refusals), "")


@dataclass(frozen=True, slots=True)
class _Run:
    """A run on a target, with the simulation that it shares with others."""

    planner: Planner
    target: Target
    settings: RunSettings
    simulation: Simulation

    def effort(self, methods: Sequence[MitigationName] = (), *, debias: bool) -> ExpectedEnergy:
        """Return the effort with the provider's error mitigation, or with methods of the run's own; no error."""
        rounds, sizes = self.simulation.expected, self.simulation.sizes
        batches = batches_points(self.target, self.settings.batching)
        if methods:
            rounds, sizes = _mitigated_rounds(self.simulation, self.target.profile, methods)
            batches = False
        tariff = Tariff(self.target, sizes, self.settings.caps, debias, batches)
        total = tariff.total_of_rounds(rounds)
        price = None if total.expected is None else round(total.expected, 6)
        return ExpectedEnergy(total.jobs, total.shots, price, self.planner.seconds(rounds, tariff) / 3600.0)

    def energy(self, shifts: NoiseShifts, left: float | None, methods: Sequence[MitigationName] = ()) -> ExpectedEnergy:
        """Return effort and expected error with these methods; `left` is what the search leaves, None if unknown."""
        rates = None if STATED_ERRORS in self.settings.options else error_rates(self.target, self.settings.options)
        bias = None if rates is None else shifts.bias(rates, methods)
        return _judge(self.effort(methods, debias=False), tuple(map(str, methods)), bias, left)

    def mitigated_energy(
        self, shifts: NoiseShifts, left: float | None, methods: Sequence[MitigationName]
    ) -> ExpectedEnergy | None:
        """Return the same with error mitigation: the provider's if it has one, else by these methods.

        None without noise, without methods, and where the provider's compiler would remove an extrapolation's gates.
        """
        if self.target.debiases:
            return _judge(self.effort(debias=True), (DEBIAS,), None, left)
        removed = bool(EXTRAPOLATIONS & set(methods)) and not self.target.keeps_gates
        return self.energy(shifts, left, methods) if methods and self.target.is_noisy and not removed else None


def _judge(effort: ExpectedEnergy, methods: tuple[str, ...], bias: float | None, left: float | None) -> ExpectedEnergy:
    """Judge an energy by the bias of noise and by what the search left, in hartree; None: unknown.

    It is accurate if enough energies with this bias are within chemical accuracy, by the standard error.
    """
    known = (bias or 0.0) + (left or 0.0)
    spread = NormalDist(known, STANDARD_ERROR)
    if spread.cdf(CHEMICAL_ACCURACY) - spread.cdf(-CHEMICAL_ACCURACY) < CONFIDENCE:
        return replace(effort, mitigation=methods, error=known, reached=False)
    if bias is None or left is None:
        return replace(effort, mitigation=methods)
    return replace(effort, mitigation=methods, error=known, reached=True)


def _search_error(simulation: Simulation, shifts: NoiseShifts) -> tuple[float | None, str]:
    """Return the error in hartree of a dry run's state without noise, None if unknown, and a note on it."""
    if shifts.energy is None:
        return None, "the dry run was not simulated to its end, so the error that its search leaves is unknown"
    exact = simulation.facts.exact()
    if exact is None:
        return None, "the exact energy is unknown, and so the error that the search leaves"
    error = shifts.energy - exact
    return error, f"without noise, the dry run's state is {_above(error, simulation)}"


def _bound_error(run: _Run) -> tuple[float | None, str]:
    """Return the error in hartree of the bound from ideal samples, None if unknown, and a note on it."""
    bound, clause = ideal_bound(run.simulation.prepared, find_target(DEFAULT_TARGET), seed=0)
    exact = run.simulation.facts.exact()
    if bound is None:
        return None, f"an upper bound that noise raises, and its error is unknown: {clause}"
    if exact is None:
        return None, "an upper bound that noise raises, and its error is unknown, as the exact energy is"
    error = bound - exact
    return error, f"an upper bound that noise raises; by ideal samples {_above(error, run.simulation)} ({clause})"


def _above(error: float, simulation: Simulation) -> str:
    return f"{1e3 * error:.2f} mHa above the {energy_name('exact', is_active_space=simulation.facts.is_active_space)}"


@dataclass(frozen=True, slots=True)
class NoiseShifts:
    """Shifts of a circuit's energy to first order in the noise, each in hartree for an error rate of 1.

    `mixed` is the energy of the maximally mixed state above the circuit's: noise shifts the energy no further. `energy`
    is the circuit's own without noise; None if it was not simulated.
    """

    one_qubit: float
    two_qubit: float
    readout: float
    mixed: float
    energy: float | None = None

    @classmethod
    def by_gates(cls, one_qubit: float, two_qubit: float, mixed: float) -> NoiseShifts:
        """Return the shifts of a circuit that is not simulated by its numbers of gates; readout errors are left out."""
        of_fault = FAULT_SHARE * mixed
        return cls(0.75 * one_qubit * of_fault, 15 / 16 * two_qubit * of_fault, 0.0, mixed)

    def bias(self, rates: ErrorRates, methods: Sequence[MitigationName] = ()) -> float:
        """Return the expected bias in hartree that noise leaves with these methods of error mitigation.

        The noise of a whole circuit is taken to mix its state with the maximally mixed one: A. M. Dalzell, N.
        Hunter-Jones and F. G. S. L. Brandão, Commun. Math. Phys. 405 (2024) 78. At a scale s of the noise the energy is
        then M (1 − exp(−s b / M)) too high, with the first-order shift b and the mixed state's M. Of that, linear
        extrapolation leaves what is no line; the same is taken for the exponential, which leaves less where this decay
        is the true one. Readout mitigation leaves no readout error, and post-selection is not counted.
        """
        gates = rates.one_qubit * self.one_qubit + rates.two_qubit * self.two_qubit
        readout = 0.0 if MitigationName.READOUT in methods else rates.readout * self.readout
        if not EXTRAPOLATIONS & set(methods):
            return self._mixed_by(gates + readout)
        zne = ZeroNoiseExtrapolation()
        scaled = zip(zne.weights, zne.scales, strict=True)
        return math.fsum(weight * self._mixed_by(scale * gates + readout) for weight, scale in scaled)

    def _mixed_by(self, shift: float) -> float:
        if shift <= 0.0 or self.mixed <= 0.0:
            return shift
        return -self.mixed * math.expm1(-shift / self.mixed)


def _simulated_shifts(simulation: Simulation, problem: ElectronicProblem) -> NoiseShifts | None:
    """Return the shifts by faults in the final circuits, whose bases of measurement may have two-qubit gates too."""
    final = simulation.median.final
    if not final:
        return None
    try:
        steps = shared_steps(final)
        by_circuit = [_two_qubit_gates(gate_steps(pub)) for pub in final]
    except SimulationTooLarge:
        return None
    shifts, own = noise_shifts(steps, problem.hamiltonian), _two_qubit_gates(steps)
    if shifts is None or not own:
        return shifts
    return replace(shifts, two_qubit=fmean(by_circuit) / own * shifts.two_qubit)


def _two_qubit_gates(steps: Sequence[Step]) -> int:
    return sum(len(step.qubits) == 2 for step in steps)


def _shifts_by_gates(run: _Run, problem: ElectronicProblem) -> NoiseShifts:
    """Return the shifts by the mean numbers of gates of the last final round's circuits."""
    expected, sizes, profile = run.simulation.expected, run.simulation.sizes, run.target.profile
    final = [round_ for round_ in expected if round_.phase == FINAL][-1:] or expected[-1:]
    names = sorted({pub.circuit for round_ in final for pub in round_.pubs})
    counts = [(sizes.size(name, profile) or sizes.largest(profile)).counts for name in names]
    operator = problem.hamiltonian
    is_identity = ~(operator.paulis.x.any(axis=1) | operator.paulis.z.any(axis=1))
    mixed = float(operator.coeffs.real[is_identity].sum()) - run.simulation.facts.reference
    one_qubit, two_qubit = fmean(each.one_qubit for each in counts), fmean(each.two_qubit for each in counts)
    return NoiseShifts.by_gates(one_qubit, two_qubit, mixed)


def noise_shifts(steps: Sequence[Step], energy: SparsePauliOp, *, seed: int = 0) -> NoiseShifts | None:
    """Simulate faults in the gates that prepare a state; None where that takes too long. `energy` is in hartree.

    To first order in its strength r, depolarizing noise after a gate on k qubits shifts the energy by r (1 − 4^−k)
    times the mean shift of a Pauli fault there. Faults are drawn at gates in even distances, each with a random Pauli.
    """
    qubits = int(energy.num_qubits or 0)
    faults = min(MOST_FAULTS, int(MAX_WORK / (2.0 * max(1, len(steps)) * 2**qubits)))
    if faults < FEWEST_FAULTS:
        return None
    generator = np.random.default_rng(seed)
    matrix = csr_array(energy.to_matrix(sparse=True))
    weights = (energy.paulis.x | energy.paulis.z).sum(axis=1)  # a flip with chance p takes 2 p of a qubit's Pauli
    read = csr_array(SparsePauliOp(energy.paulis, -2.0 * weights * energy.coeffs).to_matrix(sparse=True))
    ideal = evolve(ground_states(1, qubits), steps)
    value, readout = (float(_expectations(each, ideal)[0]) for each in (matrix, read))
    one_and_two = []
    for width in (1, 2):
        places = [number for number, step in enumerate(steps) if len(step.qubits) == width]
        drawn = [places[int(share * len(places))] for share in (np.arange(faults) + 0.5) / faults] if places else []
        shifted = _expectations(matrix, _with_faults(steps, drawn, qubits, generator)) if drawn else np.array([value])
        one_and_two.append(len(places) * (1.0 - 0.25**width) * (float(shifted.mean()) - value))
    mixed = float(matrix.diagonal().real.mean()) - value
    one_qubit, two_qubit = one_and_two
    return NoiseShifts(one_qubit, two_qubit, readout, mixed, value)


def _with_faults(steps: Sequence[Step], places: Sequence[int], qubits: int, generator: np.random.Generator) -> States:
    """Return states (faults, 2^qubits) of the circuit, each with a random Pauli after the gate at its place.

    `places` ascend. The first row of the states in between has no fault yet.
    """
    states, done = ground_states(1, qubits), 0
    for place in dict.fromkeys(places):
        states = evolve(states, steps[done : place + 1])
        faulty = [_fault(states[:1], steps[place].qubits, generator) for _ in range(places.count(place))]
        states, done = np.concatenate([states, *faulty]), place + 1
    return evolve(states[1:], steps[done:])


def _fault(state: States, qubits: Sequence[int], generator: np.random.Generator) -> States:
    """Apply a random Pauli other than the identity."""
    number = int(generator.integers(1, 4 ** len(qubits)))
    letters = [" xyz"[number >> 2 * index & 3] for index in range(len(qubits))]
    gates = [Step(letter, (qubit,), _NO_ANGLES) for letter, qubit in zip(letters, qubits, strict=True) if letter != " "]
    return evolve(state, gates)


def _expectations(matrix: csr_array, states: States) -> NDArray[np.float64]:
    """Return ⟨state|matrix|state⟩ of each row."""
    images: States = np.asarray(matrix @ states.T)
    values: NDArray[np.float64] = (states.conj() * images.T).sum(axis=1).real
    return values


def _mitigated_rounds(
    simulation: Simulation, profile: str, methods: Sequence[MitigationName]
) -> tuple[tuple[DryRound, ...], ProgramSizes]:
    """Return the rounds of the same run with readout mitigation and zero-noise extrapolation, and all circuits' sizes.

    Readout mitigation measures two circuits before the search and in each final round. Extrapolation replaces each
    group's final circuit by one for each scale factor and twirl. With weights w the variance of the sum is the same
    with |w| Σ|w| times the group's shots at a factor (Neyman allocation), and at least the pilot's minimum. Circuits
    that only the final measurement has are no group's, and stay.
    """
    rounds, sizes = simulation.expected, simulation.sizes
    requests = {pub.circuit for round_ in rounds for pub in round_.pubs}
    known = {(name, profile): sizes.size(name, profile) or sizes.largest(profile) for name in requests}
    searched = {pub.circuit for round_ in rounds if round_.phase != FINAL for pub in round_.pubs}
    calibration: list[PubRequest] = []
    if MitigationName.READOUT in methods:
        qubits = simulation.facts.num_qubits
        for name, flips in (("all zeros", 0), ("all ones", qubits)):
            known[name, profile] = ProgramSize(GateCounts(qubits, flips, 0, qubits), 1)
            calibration.append(PubRequest(name, 1, CALIBRATION_SHOTS))
    done: dict[str, int] = {}
    mitigated = [DryRound(OTHER, tuple(calibration))] if calibration else []
    for round_ in rounds:
        if round_.phase != FINAL:
            mitigated.append(round_)
            continue
        pubs = list(calibration)
        for pub in round_.pubs:
            is_group = pub.circuit in searched or not searched
            pubs += _folded(pub, known, profile, done) if is_group and EXTRAPOLATIONS & set(methods) else [pub]
        mitigated.append(DryRound(FINAL, tuple(pubs)))
    return tuple(mitigated), ProgramSizes(sizes.circuits, known)


def _folded(
    pub: PubRequest, known: dict[tuple[str, str], ProgramSize], profile: str, done: dict[str, int]
) -> Iterator[PubRequest]:
    """Yield a group's circuits at all scale factors; `done` has the shots of earlier rounds over all of them."""
    zne, size = ZeroNoiseExtrapolation(), known[pub.circuit, profile]
    before = done.get(pub.circuit, 0)
    after = done[pub.circuit] = before + pub.shots
    for scale, weight in zip(zne.scales, zne.weights, strict=True):
        one_qubit = round(scale * (size.counts.one_qubit + PAULIS_PER_GATE * size.counts.two_qubit))
        counts = replace(size.counts, one_qubit=one_qubit, two_qubit=scale * size.counts.two_qubit)
        name = f"{pub.circuit} folded {scale}"
        known[name, profile] = ProgramSize(counts, scale * size.depth)
        factor = abs(weight) * sum(map(abs, zne.weights)) / TWIRLS
        least, most = (max(MIN_PILOT_SHOTS, math.ceil(factor * shots)) if shots else 0 for shots in (before, after))
        if most > least:
            yield PubRequest(name, TWIRLS * pub.points, most - least)
