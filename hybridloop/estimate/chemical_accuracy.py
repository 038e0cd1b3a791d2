"""Cost of a chemically accurate energy on each target: a VQE with and without error mitigation, and SQD beside it.

Chemical accuracy is 1 kcal/mol: J. A. Pople, Rev. Mod. Phys. 71 (1999) 1267. No number of shots reaches it where the
target's noise shifts the energy by more, so each cost stands beside the error that is expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.azure.error_rates import error_rates
from hybridloop.azure.provider_options import target_with_options
from hybridloop.azure.targets import Target, batches_points, check_circuit_fits
from hybridloop.budget.prices import billing_unit
from hybridloop.descriptions.adapt import AdaptSettings
from hybridloop.descriptions.sqd import SqdSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import HybridloopError, InputError
from hybridloop.estimate.accuracy_table import DEBIAS, AccuracyRow, AccurateEnergy, ChemicalAccuracy, Effort
from hybridloop.estimate.dry_run import DryRound
from hybridloop.estimate.energy_errors import SearchedState, subspace_error
from hybridloop.estimate.mitigated_rounds import mitigated_rounds
from hybridloop.estimate.noise_bias import EXTRAPOLATIONS
from hybridloop.estimate.pricing import Tariff
from hybridloop.estimate.simulation import Simulation
from hybridloop.settings import EnergySettings, MitigationName, MoleculeSettings, RunSettings

STANDARD_ERROR: float = VqeSettings.model_fields["precision"].default  # hartree
CONFIDENCE = 0.95  # share of the energies that must be accurate
BY_DEFAULT = (MitigationName.READOUT, MitigationName.ZNE_LINEAR)
STATED_ERRORS = "error-params"  # option of Quantinuum's emulators: rates that are not the published ones


class TargetPlanner(Protocol):
    """A planner of one algorithm on one problem, which simulates it once for targets with equal sampling."""

    @property
    def algorithm(self) -> str:
        """The name of the algorithm."""
        ...

    @property
    def settings(self) -> RunSettings:
        """The settings, of the algorithm's own class."""
        ...

    def of(self, algorithm: str, settings: RunSettings) -> TargetPlanner:
        """Return the planner of another algorithm or of other settings."""
        ...

    def settings_on(self, target: Target) -> RunSettings:
        """Return the settings for a target."""
        ...

    def simulate(self, target: Target, settings: RunSettings) -> Simulation:
        """Return the run's simulation. Raises InputError."""
        ...

    def seconds(self, rounds: Sequence[DryRound], tariff: Tariff) -> float:
        """Return the estimated time of rounds on the tariff's target."""
        ...


def chemical_accuracy(planner: TargetPlanner, targets: Sequence[Target]) -> ChemicalAccuracy | None:
    """Return the cost of a chemically accurate energy on the targets; None for other runs than a molecule's energy.

    The VQE is the planner's, with `STANDARD_ERROR` and without its own error mitigation; beside it is SQD with its
    defaults, for the same electrons. Beside a planner of SQD is a VQE with its defaults. What the planner has simulated
    is not simulated again.
    """
    if type(planner.settings) not in (VqeSettings, AdaptSettings, SqdSettings):  # scans and levels have many energies
        return None
    vqe, sqd = _both(planner)
    planned = [_on(vqe, target) for target in targets]
    runs = [on for on in planned if isinstance(on, _OnTarget)]
    first = next((on for on in runs if on.target.is_noisy), runs[0] if runs else None)  # groups go with the noise
    state = None if first is None else SearchedState.of(first.simulation, first.target.profile)
    if first is None or state is None:
        return None
    subspaces = [_on(sqd, target) for target in targets]
    sampled = next((on for on in subspaces if isinstance(on, _OnTarget)), None)
    bound, bound_note = None, f"not planned, as {subspaces[0]}"
    if sampled is not None:
        bound, bound_note = subspace_error(sampled.simulation)
    methods = _methods(vqe, planner.settings)
    return ChemicalAccuracy(
        algorithm=vqe.algorithm,
        bar=CHEMICAL_ACCURACY,
        standard_error=STANDARD_ERROR,
        search_error=state.error,
        search_note=state.note,
        subspace_error=bound,
        subspace_note=bound_note,
        rows=tuple(
            AccuracyRow(
                target=target.name,
                unit=billing_unit(target),
                bare=on.energy(state, ()) if isinstance(on, _OnTarget) else None,
                mitigated=on.mitigated_energy(state, methods) if isinstance(on, _OnTarget) else None,
                sqd=by_sqd.effort(debias=planner.settings.debias) if isinstance(by_sqd, _OnTarget) else None,
            )
            for target, on, by_sqd in zip(targets, planned, subspaces, strict=True)
        ),
        is_active_space=first.simulation.facts.is_active_space,
    )


def _both(planner: TargetPlanner) -> tuple[TargetPlanner, TargetPlanner]:
    """Return the planners of the VQE and of SQD."""
    settings = planner.settings
    same = {name: getattr(settings, name) for name in MoleculeSettings.model_fields}
    if not isinstance(settings, EnergySettings):
        return planner.of("vqe", VqeSettings().model_copy(update=same)), planner
    sqd = planner.of("sqd", SqdSettings().model_copy(update=same))
    bare = {"precision": STANDARD_ERROR} | ({"mitigation": None} if isinstance(settings, VqeSettings) else {})
    if all(getattr(settings, name) == value for name, value in bare.items()):
        return planner, sqd
    return planner.of(planner.algorithm, settings.model_copy(update=bare)), sqd


def _methods(vqe: TargetPlanner, settings: RunSettings) -> tuple[MitigationName, ...]:
    """Return the error mitigation of the settings, else the one that corrects readout and gates; ADAPT-VQE has none."""
    if not isinstance(vqe.settings, VqeSettings):
        return ()
    return getattr(settings, "mitigation", None) or BY_DEFAULT


def _on(planner: TargetPlanner, target: Target) -> _OnTarget | str:
    """Return the run on a target, or the reason why it is refused there."""
    settings = planner.settings_on(target)
    target = target_with_options(target, settings.options)
    try:
        simulation = planner.simulate(target, settings)
        check_circuit_fits(target, simulation.facts.num_qubits)
    except HybridloopError as error:
        return error.problem if isinstance(error, InputError) else str(error)
    return _OnTarget(planner, target, settings, simulation)


@dataclass(frozen=True, slots=True)
class _OnTarget:
    """A run on a target, with the simulation that it shares with others."""

    planner: TargetPlanner
    target: Target
    settings: RunSettings
    simulation: Simulation

    def effort(self, methods: Sequence[MitigationName] = (), *, debias: bool) -> Effort:
        """Return the expected effort with the provider's error mitigation, or with methods of the run's own."""
        rounds, sizes = self.simulation.expected, self.simulation.sizes
        batches = batches_points(self.target, self.settings.batching)
        if methods:
            qubits, profile = self.simulation.facts.num_qubits, self.target.profile
            rounds, sizes = mitigated_rounds(rounds, sizes, profile, methods, qubits)
            batches = False
        tariff = Tariff(self.target, sizes, self.settings.caps, debias, batches)
        total = tariff.total_of_rounds(rounds)
        price = None if total.expected is None else round(total.expected, 6)
        return Effort(total.jobs, total.shots, price, self.planner.seconds(rounds, tariff) / 3600.0)

    def energy(self, state: SearchedState, methods: Sequence[MitigationName]) -> AccurateEnergy:
        """Return the effort and the expected error of an energy by these methods of the run's own."""
        rates = None if STATED_ERRORS in self.settings.options else error_rates(self.target, self.settings.noise_model)
        bias = None if rates is None else state.shifts.bias(rates, methods)
        return _judge(self.effort(methods, debias=False), tuple(map(str, methods)), bias, state.error)

    def mitigated_energy(self, state: SearchedState, methods: Sequence[MitigationName]) -> AccurateEnergy | None:
        """Return the same with error mitigation: the provider's if it has one, else by these methods.

        None without noise, without methods, and where the provider's compiler would remove an extrapolation's gates.
        """
        if self.target.debiases:
            return _judge(self.effort(debias=True), (DEBIAS,), None, state.error)
        removed = bool(EXTRAPOLATIONS & set(methods)) and not self.target.keeps_gates
        return self.energy(state, methods) if methods and self.target.is_noisy and not removed else None


def _judge(effort: Effort, methods: tuple[str, ...], bias: float | None, left: float | None) -> AccurateEnergy:
    """Judge an energy by the bias of noise and by what the search left, in hartree; None: unknown."""
    known = (bias or 0.0) + (left or 0.0)
    if not _is_accurate(known):
        return AccurateEnergy(effort, methods, known, reached=False)
    if bias is None or left is None:
        return AccurateEnergy(effort, methods, None, None)
    return AccurateEnergy(effort, methods, known, reached=True)


def _is_accurate(bias: float) -> bool:
    """Return whether enough energies with this bias are within chemical accuracy, by the standard error."""
    distribution = NormalDist(bias, STANDARD_ERROR)
    return distribution.cdf(CHEMICAL_ACCURACY) - distribution.cdf(-CHEMICAL_ACCURACY) >= CONFIDENCE
