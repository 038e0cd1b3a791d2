"""Plan of a run: its dry run, counted and priced for its target, and for others to compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from hybridloop.errors import HybridloopError, InputError
from hybridloop.estimate.bought import are_enforced, caps_buy_about, cheaper_settings, too_small_caps, what_caps_buy
from hybridloop.estimate.counted import count_circuits, count_figure, count_money, count_phases
from hybridloop.estimate.dry_run import MAX_WORK, TRIALS, dry_run, prepare_trial
from hybridloop.estimate.duration import duration_on_azure, local_duration
from hybridloop.estimate.figures import Bought, CheaperRun, ComparisonRow, Effort, PlannedMitigation
from hybridloop.estimate.ideal_sampler import Kept
from hybridloop.estimate.plan import Plan
from hybridloop.estimate.pricing import ProgramSizes, Tariff, estimate_keep_alive, rounds_within_caps
from hybridloop.estimate.simulation import Simulation
from hybridloop.estimate.statuses import TargetStatuses, comparable_targets
from hybridloop.estimate.warnings import dearer_search_warnings, plan_warnings, refusals_of
from hybridloop.preparation.choices.measurement_costs import choice_facts, noisy_gates
from hybridloop.preparation.prepared import CIRCUIT, GROUPS, SEARCH, PreparedAlgorithm, origin_of_angles, title_of
from hybridloop.runtime.stages import announce
from hybridloop.settings import MitigationName, ProblemText, RunSettings, SearchName
from hybridloop.targets import Batching, Target, batches_points, check_circuit_fits, find_target
from hybridloop.targets.error_rates import error_rates
from hybridloop.targets.prices import billing_unit, is_free, prices_dated
from hybridloop.targets.provider_options import (
    check_provider_options,
    options_text,
    target_with_options,
)

_NO_CAPS = {
    "max_jobs": None,
    "max_shots": None,
    "max_cost": None,
    "max_cost_per_job": None,
    "batching": Batching.AUTO,
}
_SEARCHES = (SearchName.MEASURED, SearchName.SIMULATED)
_MOST_TRIED = 3  # targets of the same unit


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
    mitigations = tuple(planner.mitigations(plan, target))
    plan = replace(plan, searches=planner.searches(plan, target), mitigations=mitigations, comparison=comparison)
    return replace(plan, warnings=(*plan.warnings, *dearer_search_warnings(plan)))


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
        cost = count_money(simulation, tariff, keep_alive.cost, keep_alive.hold)
        # price both states of the provider's error mitigation
        by_debias = {
            state: cost if state == debias else count_money(simulation, replace(tariff, debias=state))
            for state in ((True, False) if target.debiases else ())
        }
        bought = self._bought(target, settings, tariff, simulation)
        choices = self._prepare(target, settings).choices
        plan = Plan(
            algorithm=self.algorithm,
            problem=self.problem.name,
            target=target.name,
            options=options_text(settings.options),
            state=None if status is None else status.get("currentAvailability"),
            qubits=simulation.facts.num_qubits,
            rehearsals=len(simulation.trials),
            assumed=simulation.assumed,
            rounds=count_figure(len(expected), [len(each.rounds) for each in simulation.trials], len(simulation.worst)),
            jobs=count_figure(usual.jobs, [trial.jobs for trial in trials], worst.jobs),
            shots=count_figure(usual.shots, [trial.shots for trial in trials], worst.shots),
            phases=count_phases(expected, tariff),
            circuits=count_circuits(expected, tariff),
            cost=cost,
            mitigated=by_debias.get(True),
            unmitigated=by_debias.get(False),
            keep_alive=keep_alive,
            duration=duration,
            allowed=rounds_within_caps(expected, tariff, duration),
            bought=bought,
            cheaper=tuple(self._cheaper(target, bought)) if is_own and bought is not None else (),
            warnings=(),
            prices_dated=prices_dated(),
            of=title_of(self.problem, simulation.facts),
            orbitals=simulation.facts.orbitals,
            ansatz=choices.get(CIRCUIT, ""),
            groups=choices.get(GROUPS, ""),
            classical=simulation.plan_facts.classical,
            jobs_unbatched=replace(tariff, batches=False).total_of_rounds(expected).jobs if batches else None,
        )
        refusals = refusals_of(settings, target, simulation.facts.num_qubits, self.statuses)
        small = too_small_caps(self._prepare(target, settings), target, settings) if is_own else None
        shots = [shots for round_ in expected for shots, _ in tariff.jobs(round_.pubs)]
        if bought is not None and bought.jobs:
            shots.append(bought.shots // bought.jobs)
        few = target.unmitigated(shots, debias=debias)
        plan = replace(plan, refusals=tuple(refusals))
        noise = self._prepare(target, settings).doubt_of_noise(target, settings)
        return replace(plan, warnings=(*filter(None, (small, few)), *plan_warnings(plan, target, settings, noise)))

    def _bought(self, target: Target, settings: RunSettings, tariff: Tariff, simulation: Simulation) -> Bought | None:
        """Return what the caps buy; None without caps on jobs, shots and cost, or where they can't be enforced.

        None also where rounds were assumed and the standard error of the final measurement is not known.
        """
        if not are_enforced(tariff.caps, target):
            return None
        if simulation.assumed is not None:
            return caps_buy_about(simulation.expected, simulation.plan_facts.deviation, tariff)
        return what_caps_buy(
            self._prepare(target, settings), tariff, error_rates(target, settings.options), kept=self._kept
        )

    def _cheaper(self, target: Target, bought: Bought) -> Iterator[CheaperRun]:
        """Yield runs of which the caps buy more: without the provider's mitigation where they end the run.

        Where they buy no value, also those with another value of a setting, or on another target.
        """
        if not bought.is_whole and target.debiases and self.settings.debias:
            yield from filter(None, [self._bought_with("debias", value=False, target=target)])
        if bought.standard_error is not None:
            return
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
            if not are_enforced(tariff.caps, target):
                return None
            prepared = planner._prepare(target_with_options(target, settings.options), settings)
            check_circuit_fits(target, prepared.facts.num_qubits)
            bought = what_caps_buy(prepared, tariff, error_rates(target, settings.options), trials=1)
        except HybridloopError:
            return None
        if bought is None or bought.standard_error is None:
            return None
        shown = "off" if value is False else f"{value:g}" if isinstance(value, float) else str(value)
        return CheaperRun(name, shown, bought)

    def searches(self, plan: Plan, target: Target) -> dict[str, Effort]:
        """Return the efforts of both searches by name; one trial estimates that which is not the plan's.

        It is empty where only one is possible.
        """
        settings = self.settings_on(target)
        origin = self._prepare(target_with_options(target, settings.options), settings).choices.get(SEARCH, "")
        names = {
            origin_of_angles(settings.target, is_simulated=name is SearchName.SIMULATED): name for name in _SEARCHES
        }
        if (name := names.get(origin)) is None:
            return {}
        other = SearchName.MEASURED if name is SearchName.SIMULATED else SearchName.SIMULATED
        try:
            efforts = {name: _effort(plan), other: self._effort_with({"search": other}, target, trials=1)}
        except InputError:
            return {}
        return {search.value: efforts[search] for search in _SEARCHES}

    def mitigations(self, plan: Plan, target: Target) -> Iterator[PlannedMitigation]:
        """Yield the error mitigations of a noisy target; one trial estimates those that are not the plan's."""
        settings = self.settings_on(target)
        measured = target_with_options(target, settings.options)
        prepared = self._prepare(measured, settings)
        own = ",".join(getattr(settings, "mitigation", None) or ())
        for name, shift in prepared.forecast(measured, settings).items():
            methods = tuple(map(MitigationName, name.split(","))) if name else None
            if name == own:
                effort = _effort(plan)
            elif plan.assumed is not None:
                continue
            else:
                effort = self._effort_with({"mitigation": methods}, target, trials=1)
            yield PlannedMitigation(name, shift, prepared.facts.unit, effort)

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
            note="; ".join(refusals_of(settings, target, plan.qubits, self.statuses)),
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
        sampling = (target.samples, target.max_shots, error_rates(target, settings.options), noisy_gates(target))
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
            self._sizes.circuits.update(run.circuits)
            self._simulations[simulated] = Simulation.of(run, samples=target.samples)
        return self._simulations[simulated]

    def _prepare(self, target: Target, settings: RunSettings) -> PreparedAlgorithm:
        """Return the algorithm for a target's prices and noise, by which terms are grouped. Raises InputError."""
        target, settings = _without_limits(target, settings)
        chosen_by = (target.samples, *choice_facts(target, settings))
        if chosen_by not in self._prepared:
            self._prepared[chosen_by] = prepare_trial(self.algorithm, self.problem, settings, target)
        return self._prepared[chosen_by]


def _without_limits(target: Target, settings: RunSettings) -> tuple[Target, RunSettings]:
    """Return a target that measures, and settings without caps; `debias` stays where the target has it."""
    kept = {"debias": settings.debias or not target.debiases}
    return replace(target, checks_only=False), settings.model_copy(update=_NO_CAPS | kept)


def _effort(plan: Plan) -> Effort:
    return Effort(plan.jobs.expected, plan.shots.expected, plan.cost, plan.assumed)
