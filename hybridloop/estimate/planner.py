"""Plan of a run: its dry run, counted and priced for its target, and for others to compare."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

from hybridloop.azure.targets import Batching, Target, batches_points, check_circuit_fits, find_target, known_targets
from hybridloop.azure.targets.error_rates import error_rates
from hybridloop.azure.targets.offered import offered_target
from hybridloop.azure.targets.provider_options import (
    check_provider_options,
    options_text,
    stated_qubits,
    target_with_options,
)
from hybridloop.budget.caps import check_caps
from hybridloop.budget.prices import billing_unit, is_free
from hybridloop.data import load_table
from hybridloop.errors import HybridloopError, InputError
from hybridloop.estimate.bought import caps_buy_about, cheaper_settings, what_caps_buy
from hybridloop.estimate.dry_run import MAX_WORK, TRIALS, DryRound, dry_run, prepare_trial
from hybridloop.estimate.duration import duration_on_azure, local_duration
from hybridloop.estimate.extrapolation import extrapolate
from hybridloop.estimate.ideal_sampler import Kept
from hybridloop.estimate.plan import (
    Bought,
    CheaperRun,
    Circuit,
    ComparisonRow,
    Effort,
    Figure,
    Money,
    Phase,
    Plan,
    likely_range,
)
from hybridloop.estimate.pricing import (
    JobTotals,
    ProgramSizes,
    Tariff,
    estimate_keep_alive,
    rounds_within_caps,
    sum_if_known,
)
from hybridloop.estimate.simulation import Simulation
from hybridloop.estimate.warnings import dearer_search_warnings, plan_warnings
from hybridloop.preparation.checks import check_limits, check_measures, check_mitigation
from hybridloop.preparation.measurement_costs import choice_facts
from hybridloop.preparation.prepared import ANGLES_SIMULATED, PreparedAlgorithm, angles_searched_on
from hybridloop.runtime.stages import announce
from hybridloop.settings import EnergySettings, ProblemText, RunSettings, SearchName

_NO_CAPS = {
    "max_jobs": None,
    "max_shots": None,
    "max_cost": None,
    "max_cost_per_job": None,
    "batching": Batching.AUTO,
}
_MOST_TRIED = 3  # targets of the same unit
_DECIMALS = 6  # of an amount: further ones are rounding errors


@dataclass(frozen=True, slots=True)
class TargetStatuses:
    """The workspace's status of each target by name (none: unknown), and if it is the local one."""

    by_name: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_local: bool = False


def plan_run(
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    target: Target | None = None,
    *,
    statuses: TargetStatuses | None = None,
    compare: Sequence[str | Target] = (),
) -> Plan:
    """Estimate the run on its target, and on those to compare; nothing is submitted, no session opened.

    `target` is the settings' target, of which the service or the journal may know; None: it is in the table. Raises
    InputError for what a run would refuse. Caps that can't be enforced are warnings of the plan.
    """
    planner = Planner(algorithm, problem, settings, statuses or TargetStatuses())
    target = find_target(settings.target) if target is None else target
    plan = planner.plan(target, debias=settings.debias, is_own=True)
    others = [find_target(other) if isinstance(other, str) else other for other in compare]
    comparison = tuple(map(planner.comparison_row, others))
    plan = replace(plan, searches=planner.searches(plan, target), comparison=comparison)
    return replace(plan, warnings=(*plan.warnings, *dearer_search_warnings(plan)))


def comparable_targets(statuses: TargetStatuses) -> tuple[Target, ...]:
    """Return all targets that measure, of the table and of the workspace; checkers of syntax only give zeros."""
    offered = {target.name: target for status in statuses.by_name.values() if (target := offered_target(status))}
    return tuple(target for target in {**known_targets(), **offered}.values() if not target.checks_only)


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans for one target after the other; targets with equal sampling and equal groups share a dry run.

    A dry run has as many `trials`.
    """

    algorithm: str
    problem: ProblemText
    settings: RunSettings
    statuses: TargetStatuses
    trials: int = TRIALS
    _simulations: dict[tuple[Any, ...], Simulation] = field(default_factory=dict)
    _prepared: dict[tuple[Any, ...], PreparedAlgorithm] = field(default_factory=dict)
    _kept: Kept = field(default_factory=dict)
    _sizes: ProgramSizes = field(default_factory=lambda: ProgramSizes({}))  # of all runs: many circuits are the same

    def plan(self, target: Target, *, debias: bool, is_own: bool = False) -> Plan:
        """Estimate the run on one target.

        Its `is_own` target has a time on the local service too, and cheaper runs where the caps buy no value. Raises
        InputError, ProgramError.
        """
        settings = self.settings_on(target).model_copy(update={"debias": debias})
        check_provider_options(target, settings.options)
        target = target_with_options(target, settings.options)
        if isinstance(settings, EnergySettings):
            check_mitigation(target, settings)
        simulation = self.simulate(target, settings)
        check_circuit_fits(target, simulation.facts.num_qubits)
        # count and price the expected rounds, each trial, and the worst case
        announce(f"counting the gates of {len(self._sizes.circuits):,} circuits")
        batches = batches_points(target, settings.batching)
        tariff = Tariff(target, self._sizes, settings.caps, debias, batches)
        expected, status = simulation.expected, self.statuses.by_name.get(target.name)
        queue_s = None if status is None else status.get("averageQueueTime")
        keep_alive = estimate_keep_alive(settings, target, len(expected), queue_s)
        duration = duration_on_azure(expected, tariff, status)
        if self.statuses.is_local and is_own:
            classical_s = min(trial.classical_s for trial in simulation.trials)
            duration = local_duration(expected, tariff, duration, options=settings.options, classical_s=classical_s)
        trials = [tariff.total_of_rounds(trial.rounds) for trial in simulation.trials]
        usual, worst = tariff.total_of_rounds(expected), tariff.total_of_rounds(simulation.worst)
        cost = _money(simulation, tariff, keep_alive.cost, keep_alive.hold)
        # price both states of the provider's error mitigation
        by_debias = {
            state: cost if state == debias else _money(simulation, replace(tariff, debias=state))
            for state in ((True, False) if target.debiases else ())
        }
        bought = self._bought(target, settings, tariff, simulation)
        has_none = bought is not None and bought.standard_error is None
        plan = Plan(
            algorithm=self.algorithm,
            problem=self.problem.name,
            target=target.name,
            options=options_text(settings.options),
            state=None if status is None else status.get("currentAvailability"),
            qubits=simulation.facts.num_qubits,
            rehearsals=len(simulation.trials),
            assumed=simulation.assumed,
            rounds=_figure(len(expected), [len(each.rounds) for each in simulation.trials], len(simulation.worst)),
            jobs=_figure(usual.jobs, [trial.jobs for trial in trials], worst.jobs),
            shots=_figure(usual.shots, [trial.shots for trial in trials], worst.shots),
            phases=_phases(expected, tariff),
            circuits=_circuits(expected, tariff),
            cost=cost,
            mitigated=by_debias.get(True),
            unmitigated=by_debias.get(False),
            keep_alive=keep_alive,
            duration=duration,
            allowed=rounds_within_caps(expected, tariff, duration),
            bought=bought,
            cheaper=tuple(self._cheaper(target)) if is_own and has_none else (),
            warnings=(),
            prices_dated=str(load_table("prices")["dated"]),
            orbitals=simulation.facts.orbitals,
            groups=self._prepare(target, settings).plan_facts(samples=target.samples).groups,
            classical=simulation.plan_facts.classical,
            without_mitigation=self._without_mitigation(target, debias=debias),
            jobs_unbatched=replace(tariff, batches=False).total_of_rounds(expected).jobs if batches else None,
        )
        refusals = self._refusals(settings, target, simulation.facts.num_qubits)
        return replace(plan, warnings=tuple(plan_warnings(plan, target, settings, refusals)))

    def _bought(self, target: Target, settings: RunSettings, tariff: Tariff, simulation: Simulation) -> Bought | None:
        """Return what the caps buy; None without caps on jobs, shots and cost, or where they can't be enforced.

        None also where rounds were assumed and the standard error of the final measurement is not known.
        """
        caps = tariff.caps
        if not (caps.max_jobs or caps.max_shots or caps.max_cost):
            return None
        try:
            check_caps(caps, target)
        except InputError:
            return None
        if simulation.assumed is not None:
            return caps_buy_about(simulation.expected, simulation.plan_facts.deviation, tariff)
        return what_caps_buy(
            self._prepare(target, settings), tariff, error_rates(target, settings.options), kept=self._kept
        )

    def _cheaper(self, target: Target) -> Iterator[CheaperRun]:
        """Yield runs of which the caps buy a value: with another value of a setting, or on another target."""
        facts = self._prepare(target, self.settings_on(target)).facts
        for name, values in cheaper_settings(self.settings, facts):
            last = self._bought_with(name, values[-1], target) if values else None
            if last is not None:
                yield next(filter(None, (self._bought_with(name, value, target) for value in values[:-1])), last)
        unit = billing_unit(target)
        others = [each for each in comparable_targets(self.statuses) if each.name != target.name and each.samples]
        alike = [each for each in others if billing_unit(each) == unit and not is_free(each)]
        free = [each for each in others if is_free(each)]
        tried = (self._bought_with("target", each.name, each) for each in (*alike[:_MOST_TRIED], *free[:1]))
        yield from islice(filter(None, tried), 1)

    def _bought_with(self, name: str, value: Any, target: Target) -> CheaperRun | None:
        """Return the run with one setting changed if the caps buy a value of it."""
        planner = replace(self, settings=self.settings.model_copy(update={name: value}), _prepared={})
        settings = planner.settings_on(target)
        batches = batches_points(target, settings.batching)
        tariff = Tariff(target, ProgramSizes({}), settings.caps, settings.debias, batches)
        try:
            prepared = planner._prepare(target_with_options(target, settings.options), settings)
            check_circuit_fits(target, prepared.facts.num_qubits)
            check_caps(tariff.caps, target)
            bought = what_caps_buy(prepared, tariff, error_rates(target, settings.options), trials=1)
        except HybridloopError:
            return None
        if bought is None or bought.standard_error is None:
            return None
        return CheaperRun(name, f"{value:g}" if isinstance(value, float) else str(value), bought)

    def searches(self, plan: Plan, target: Target) -> dict[str, Effort]:
        """Return the efforts of both searches by name; one trial estimates that which is not the plan's.

        It is empty where only one is possible.
        """
        settings = self.settings_on(target)
        origin = self._prepare(target_with_options(target, settings.options), settings).origin_of_angles
        own = {ANGLES_SIMULATED: SearchName.SIMULATED, angles_searched_on(settings.target): SearchName.MEASURED}
        if (name := own.get(origin)) is None:
            return {}
        other = SearchName.MEASURED if name is SearchName.SIMULATED else SearchName.SIMULATED
        try:
            efforts = {name: _effort(plan), other: self._effort_with({"search": other}, target, trials=1)}
        except InputError:
            return {}
        return {search.value: efforts[search] for search in (SearchName.MEASURED, SearchName.SIMULATED)}

    def _without_mitigation(self, target: Target, *, debias: bool) -> Effort | None:
        """Return the effort of the same run without error mitigation; None if the settings ask for none."""
        if not getattr(self.settings, "mitigation", None):
            return None
        return self._effort_with({"mitigation": None, "debias": debias}, target, trials=self.trials)

    def _effort_with(self, changes: Mapping[str, Any], target: Target, *, trials: int) -> Effort:
        """Return the effort of the same run with other settings. Raises InputError, ProgramError."""
        settings = self.settings.model_copy(update=dict(changes))
        planner = replace(self, settings=settings, trials=trials, _simulations={}, _prepared={})
        return _effort(planner.plan(target, debias=settings.debias))

    def comparison_row(self, target: Target) -> ComparisonRow:
        """Return the plan for a target as a row, or the reason why there is none."""
        status = self.statuses.by_name.get(target.name)
        state = None if status is None else status.get("currentAvailability")
        try:
            plan = self.plan(target, debias=self.settings.debias or not target.debiases)
        except HybridloopError as error:
            problem = error.problem if isinstance(error, InputError) else str(error)
            unit = billing_unit(target)
            return ComparisonRow(target.name, state, None, None, None, unit, None, None, None, None, None, problem)
        settings = self.settings_on(target).model_copy(update={"debias": True, "batching": Batching.AUTO})
        return ComparisonRow(
            target=target.name,
            state=state,
            rounds=plan.rounds.expected,
            jobs=plan.jobs.expected,
            shots=plan.shots.expected,
            unit=plan.cost.unit,
            expected=plan.cost.expected,
            upper=plan.cost.upper,
            unmitigated=None if plan.unmitigated is None else plan.unmitigated.expected,
            duration=plan.duration,
            keep_alive=plan.keep_alive.mode,
            note="; ".join(self._refusals(settings, target, plan.qubits)),
            least=plan.cost.least,
            most=plan.cost.most,
            bought=plan.bought,
        )

    def settings_on(self, target: Target) -> RunSettings:
        """Return the settings for a target; the options of a provider are for the run's own target only."""
        is_own = self.settings.target.lower() == target.name
        foreign = {} if is_own else {"provider_options": None}
        return self.settings.model_copy(update={"target": target.name, **foreign})

    def simulate(self, target: Target, settings: RunSettings) -> Simulation:
        """Return the run's simulation, done once for targets with equal sampling and groups. Raises InputError."""
        target, settings = _without_limits(target, settings)
        sampling = (target.samples, target.max_shots, error_rates(target, settings.options))
        prepared = self._prepare(target, settings)
        simulated = (*sampling, *prepared.groupings)
        if simulated not in self._simulations:
            run = dry_run(
                self.algorithm,
                self.problem,
                settings,
                target,
                prepared=prepared,
                trials=self.trials,
                max_work=MAX_WORK * self.trials / TRIALS,
                kept=self._kept,
            )
            facts = run.prepared.plan_facts(samples=target.samples)
            complete = [extrapolate(trial, facts) for trial in run.trials]
            self._sizes.circuits.update(run.circuits)
            assumed = next((why for _, why in complete if why), None)
            trials = tuple(trial for trial, _ in complete)
            self._simulations[simulated] = Simulation(run.prepared.facts, facts, trials, assumed)
        return self._simulations[simulated]

    def _prepare(self, target: Target, settings: RunSettings) -> PreparedAlgorithm:
        """Return the algorithm for a target's prices and noise, by which terms are grouped. Raises InputError."""
        target, settings = _without_limits(target, settings)
        chosen_by = (target.samples, *choice_facts(target, settings))
        if chosen_by not in self._prepared:
            self._prepared[chosen_by] = prepare_trial(self.algorithm, self.problem, settings, target)
        return self._prepared[chosen_by]

    def _refusals(self, settings: RunSettings, target: Target, qubits: int) -> list[str]:
        """Return reasons to refuse the run: its caps, settings that the provider lacks, or the workspace's targets."""
        reasons = []
        for check in (partial(check_measures, target), partial(check_limits, target, settings)):
            try:
                check()
            except InputError as error:
                reasons.append(f"{error.happened}. {error.remedy}")
        status = self.statuses.by_name.get(target.name)
        if self.statuses.by_name and status is None:
            reasons.append(f"this workspace does not offer {target.name}")
        limit = None if status is None else stated_qubits(target, status.get("numQubits"))
        if limit is not None and limit < qubits:
            reasons.append(f"the circuit has {qubits} qubits, {target.name} has {limit}")
        return reasons


def _without_limits(target: Target, settings: RunSettings) -> tuple[Target, RunSettings]:
    """Return a target that measures, and settings without caps; `debias` stays where the target has it."""
    kept = {"debias": settings.debias or not target.debiases}
    return replace(target, checks_only=False), settings.model_copy(update=_NO_CAPS | kept)


def _effort(plan: Plan) -> Effort:
    return Effort(plan.jobs.expected, plan.shots.expected, plan.cost, plan.assumed)


def _figure(expected: int, trials: Sequence[int], worst: int) -> Figure:
    least, most = likely_range(trials)
    return Figure(expected, math.floor(least), math.ceil(most), max(worst, *trials))


def _money(simulation: Simulation, tariff: Tariff, keep_alive: float | None = 0.0, hold: float | None = None) -> Money:
    unit = billing_unit(tariff.target)
    upper = sum_if_known([tariff.total_of_rounds(simulation.worst).upper, keep_alive, hold or 0.0])
    at_most = None if upper is None else round(upper, _DECIMALS)
    rounds = (simulation.expected, *(trial.rounds for trial in simulation.trials))
    totals = [sum_if_known([tariff.total_of_rounds(each).expected, keep_alive]) for each in rounds]
    known = [round(total, _DECIMALS) for total in totals if total is not None]
    if len(known) < len(totals):
        return Money(unit, None, None, None, at_most)
    expected, *trials = known
    return Money(unit, expected, *likely_range(trials), at_most)


def _phases(rounds: Sequence[DryRound], tariff: Tariff) -> tuple[Phase, ...]:
    phases = []
    for phase in dict.fromkeys(round_.phase for round_ in rounds):
        of_phase = [round_ for round_ in rounds if round_.phase == phase]
        largest = max(of_phase, key=lambda round_: round_.shots)
        total = tariff.total(largest.pubs)
        points = max(pub.points for pub in largest.pubs)
        circuits = len({pub.circuit for pub in largest.pubs})
        phases.append(Phase(phase, len(of_phase), circuits, points, total.jobs, total.shots))
    return tuple(phases)


def _circuits(rounds: Sequence[DryRound], tariff: Tariff) -> tuple[Circuit, ...]:
    pubs = [(round_.phase, pub) for round_ in rounds for pub in round_.pubs]
    circuits = []
    for number, key in enumerate(dict.fromkeys(pub.circuit for _, pub in pubs), 1):
        of_circuit = [(phase, pub) for phase, pub in pubs if pub.circuit == key]
        size = tariff.sizes.size(key, tariff.target.profile)
        total = sum((tariff.total([pub]) for _, pub in of_circuit), JobTotals())
        most_shots = max(shots for _, pub in of_circuit for shots in tariff.split(pub.shots))
        circuits.append(
            Circuit(
                name=f"c{number}",
                phases=tuple(dict.fromkeys(phase for phase, _ in of_circuit)),
                qubits=tariff.sizes.circuits[key].circuit.num_qubits,
                one_qubit=None if size is None else size.counts.one_qubit,
                two_qubit=None if size is None else size.counts.two_qubit,
                measurements=None if size is None else size.counts.measurements,
                depth=None if size is None else size.depth,
                jobs=total.jobs,
                shots=total.shots,
                price=tariff.price(key, most_shots).expected,
            )
        )
    return tuple(circuits)
