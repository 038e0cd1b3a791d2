"""A plan: the rehearsed run, counted and priced for its target, and for others beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hybridloop.azure.targets import Target, check_circuit_fits, find_target, known_targets
from hybridloop.budget.prices import billing_unit
from hybridloop.data import load_table
from hybridloop.errors import HybridloopError, InputError
from hybridloop.estimate.dry_run import FINAL, OTHER, SEARCH, Rehearsal, Round, Trial, rehearse
from hybridloop.estimate.extrapolation import Limits, completed, limits_of
from hybridloop.estimate.plan import Circuit, Figure, Money, Phase, Plan, Row
from hybridloop.estimate.pricing import Compiler, Tariff, Took, allowed, duration_of, keep_alive_of
from hybridloop.estimate.warnings import warnings_of
from hybridloop.preparation.checks import check_terms, measuring_target
from hybridloop.settings import ProblemText, RunSettings

_NO_TERMS = {"max_jobs": None, "max_shots": None, "max_cost": None, "max_cost_per_job": None, "debias": True}
_DECIMALS = 6  # of an amount: what is beyond is the arithmetic's


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of the service: what it says of each target, by name; whether it is the local one."""

    statuses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_local: bool = False


def plan_run(
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    *,
    around: Around | None = None,
    compare: Sequence[str] = (),
) -> Plan:
    """What the run would take on its target, and on those to compare; nothing is submitted, no session opened.

    Raises InputError for what a run would refuse, but for caps that can't hold: of those a warning tells.
    """
    planner = _Planner(algorithm, problem, settings, around or Around())
    plan = planner.plan(find_target(settings.target), debias=settings.debias)
    rows = tuple(planner.row(find_target(name)) for name in compare)
    return replace(plan, comparison=rows)


def comparable_targets() -> tuple[str, ...]:
    """All targets whose counts say something."""
    return tuple(name for name, target in known_targets().items() if not target.checks_only)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A rehearsal whose trials all come to an end, by assumption where need be."""

    rehearsal: Rehearsal
    trials: tuple[Trial, ...]
    limits: Limits
    assumed: str | None
    compiler: Compiler

    @property
    def expected(self) -> Trial:
        """The middle one, by shots."""
        return sorted(self.trials, key=lambda each: each.shots)[(len(self.trials) - 1) // 2]


@dataclass(frozen=True, slots=True)
class _Planner:
    """Plans for one target after the other; what they rehearse alike is rehearsed once."""

    algorithm: str
    problem: ProblemText
    settings: RunSettings
    around: Around
    _seen: dict[tuple[bool, int], _Seen] = field(default_factory=dict)

    def plan(self, target: Target, *, debias: bool) -> Plan:
        """The plan for one target. Raises InputError, ProgramError."""
        measuring_target(target.name)  # also where another target's rehearsal serves
        settings = self.settings.model_copy(update={"target": target.name, "debias": debias})
        seen = self._rehearsed(target)
        prepared = seen.rehearsal.prepared
        check_circuit_fits(target, prepared.facts.num_qubits)
        tariff = Tariff(target, seen.compiler, settings.caps, debias)
        expected, status = seen.expected.rounds, self.around.statuses.get(target.name)
        queue_s = None if status is None else status.get("averageQueueTime")
        keep_alive = keep_alive_of(settings, target, len(expected), queue_s)
        duration = duration_of(expected, tariff, status, is_local=self.around.is_local)
        took = [tariff.rounds(each.rounds) for each in seen.trials]
        usual, worst = tariff.rounds(expected), _worst(seen)
        at_most = tariff.rounds(worst)
        cost = _money(target, usual, took, at_most, keep_alive.cost, keep_alive.hold)
        by_debias = {
            each: cost if each == debias else self._money(seen, replace(tariff, debias=each, _prices={}))
            for each in ((True, False) if target.debiases else ())
        }
        plan = Plan(
            algorithm=self.algorithm,
            problem=self.problem.name,
            target=target.name,
            state=None if status is None else status.get("currentAvailability"),
            qubits=prepared.facts.num_qubits,
            rehearsals=len(seen.trials),
            assumed=seen.assumed,
            rounds=_figure(len(expected), [len(each.rounds) for each in seen.trials], len(worst)),
            jobs=_figure(usual.jobs, [each.jobs for each in took], at_most.jobs),
            shots=_figure(usual.shots, [each.shots for each in took], at_most.shots),
            phases=_phases(expected, tariff),
            circuits=_circuits(expected, tariff),
            cost=cost,
            mitigated=by_debias.get(True),
            unmitigated=by_debias.get(False),
            keep_alive=keep_alive,
            duration=duration,
            allowed=allowed(expected, tariff, duration),
            warnings=(),
            prices_dated=str(load_table("prices")["dated"]),
        )
        refusals = self._refusals(settings, target, prepared.facts.num_qubits)
        return replace(plan, warnings=warnings_of(plan, settings, refusals))

    def row(self, target: Target) -> Row:
        """The plan for a target in a line, or why there is none."""
        status = self.around.statuses.get(target.name)
        state = None if status is None else status.get("currentAvailability")
        try:
            plan = self.plan(target, debias=self.settings.debias or not target.debiases)
        except HybridloopError as error:
            problem = error.problem if isinstance(error, InputError) else str(error)
            return Row(
                target.name, state, None, None, None, billing_unit(target), None, None, None, None, None, problem
            )
        asked = self.settings.model_copy(update={"target": target.name, "debias": True})
        refusals = self._refusals(asked, target, plan.qubits)
        return Row(
            target=target.name,
            state=state,
            rounds=plan.rounds.expected,
            jobs=plan.jobs.expected,
            shots=plan.shots.expected,
            unit=plan.cost.unit,
            expected=plan.cost.expected,
            upper=plan.cost.upper,
            unmitigated=None if plan.unmitigated is None else plan.unmitigated.expected,
            hours=plan.duration.expected_s / 3600.0,
            keep_alive=plan.keep_alive.mode,
            note="; ".join(refusals),
        )

    def _rehearsed(self, target: Target) -> _Seen:
        """Targets that answer alike share a rehearsal."""
        kind = (target.samples, target.max_shots)
        if kind not in self._seen:
            settings = self.settings.model_copy(update={**_NO_TERMS, "target": target.name})
            found = rehearse(self.algorithm, self.problem, settings, target)
            limits = limits_of(found.prepared, settings, samples=target.samples)
            ended = [completed(each, limits, found.prepared, settings, samples=target.samples) for each in found.trials]
            others = [seen.compiler for seen in self._seen.values()]
            known = others[0].known if others else {}
            compiler = Compiler({**found.circuits}, known)
            assumed = next((why for _, why in ended if why), None)
            self._seen[kind] = _Seen(found, tuple(trial for trial, _ in ended), limits, assumed, compiler)
        return self._seen[kind]

    def _money(self, seen: _Seen, tariff: Tariff) -> Money:
        took = [tariff.rounds(each.rounds) for each in seen.trials]
        usual, at_most = tariff.rounds(seen.expected.rounds), tariff.rounds(_worst(seen))
        return _money(tariff.target, usual, took, at_most, 0.0, None)

    def _refusals(self, settings: RunSettings, target: Target, qubits: int) -> tuple[str, ...]:
        """Why a run would be refused: for its caps, for what it tells the provider, or by the workspace."""
        found = []
        try:
            check_terms(settings, target)
        except InputError as error:
            found.append(f"{error.field}: {error.problem}. {error.remedy}")
        status = self.around.statuses.get(target.name)
        if self.around.statuses and status is None:
            found.append(f"this workspace does not offer {target.name}")
        limit = None if status is None else status.get("numQubits")
        if isinstance(limit, int) and limit < qubits:
            found.append(f"the circuit has {qubits} qubits, {target.name} has {limit}")
        return tuple(found)


def _worst(seen: _Seen) -> tuple[Round, ...]:
    """The longest rehearsal, with as many rounds more as the settings allow: the largest seen; of the answer, the last.

    Of the answer's rounds each is smaller than the one before, because it only makes up for what is missing.
    """
    longest = max(seen.trials, key=lambda each: each.shots).rounds
    more: list[Round] = []
    for phase in (SEARCH, FINAL, OTHER):
        known = [each for trial in seen.trials for each in trial.rounds if each.phase == phase]
        limit = seen.limits.of(phase)
        if limit is None or not known:
            continue
        sample = known[-1] if phase == FINAL else max(known, key=lambda each: each.shots)
        more += [sample] * (limit - sum(each.phase == phase for each in longest))
    return (*longest, *more)


def _figure(expected: int, seen: Sequence[int], worst: int) -> Figure:
    return Figure(expected, min(seen), max(seen), max(worst, *seen))


def _money(
    target: Target, usual: Took, took: Sequence[Took], worst: Took, keep_alive: float, hold: float | None
) -> Money:
    amounts = [each.expected + keep_alive for each in took]
    upper = None if worst.upper is None else worst.upper + keep_alive + (hold or 0.0)
    expected, least, most = (
        round(each, _DECIMALS) for each in (usual.expected + keep_alive, min(amounts), max(amounts))
    )
    return Money(billing_unit(target), expected, least, most, None if upper is None else round(upper, _DECIMALS))


def _phases(rounds: Sequence[Round], tariff: Tariff) -> tuple[Phase, ...]:
    found = []
    for phase in dict.fromkeys(each.phase for each in rounds):
        own = [each for each in rounds if each.phase == phase]
        largest = max(own, key=lambda each: each.shots)
        took = tariff.took(largest.asked)
        points = max(each.points for each in largest.asked)
        circuits = len({each.circuit for each in largest.asked})
        found.append(Phase(phase, len(own), circuits, points, took.jobs, took.shots))
    return tuple(found)


def _circuits(rounds: Sequence[Round], tariff: Tariff) -> tuple[Circuit, ...]:
    asked = [(each.phase, one) for each in rounds for one in each.asked]
    found = []
    for number, key in enumerate(dict.fromkeys(one.circuit for _, one in asked), 1):
        own = [(phase, one) for phase, one in asked if one.circuit == key]
        known = tariff.compiler.compiled(key, tariff.target.profile)
        took = tariff.took(one for _, one in own)
        structure = tariff.compiler.circuits[key]
        most = max(shots for _, one in own for shots in tariff.parts(one.shots))
        found.append(
            Circuit(
                name=f"c{number}",
                phases=tuple(dict.fromkeys(phase for phase, _ in own)),
                qubits=structure.circuit.num_qubits,
                one_qubit=None if known is None else known.counts.one_qubit,
                two_qubit=None if known is None else known.counts.two_qubit,
                measurements=None if known is None else known.counts.measurements,
                depth=None if known is None else known.depth,
                jobs=took.jobs,
                shots=took.shots,
                price=tariff.price(key, most).expected,
            )
        )
    return tuple(found)
