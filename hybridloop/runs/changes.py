"""Judge of what may change now of a run: by its state, its recorded settings, those asked for, and who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybridloop.data.states import State, Who
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import NOTHING_SUBMITTED, InputError
from hybridloop.inputs.validation import validate
from hybridloop.journal import PRUNED, Event, RunRecord
from hybridloop.journal.revisions import revision_of
from hybridloop.runs.order import RunOrder
from hybridloop.runs.recorded import check_choices, current_settings, given_later, settings_after
from hybridloop.settings import CAPS, LIMITS, RunSettings, first_difference, goals_of
from hybridloop.settings.energies import OBSERVABLE_PRECISION

_SMALLER = frozenset({"precision", "tolerance", "observable_precision"})


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that begins: the number of its revision, and the settings that it changes, as plain values."""

    revision: int
    changes: Mapping[str, Any]

    def facts(self, record: RunRecord, sessions: int) -> dict[str, Any]:
        """Return the facts of its event: its settings, the revision before it, and the sessions until then."""
        before = {"status": record.status, "reason": record.reason, "result": record.result}
        return {"settings": dict(self.changes), "sessions": sessions, "before": before}


def reaching(algorithm: str) -> tuple[str, ...]:
    """Return the names of the settings by which a run of an algorithm is extended after its end."""
    return *CAPS, *(goals_of(ALGORITHMS[algorithm].settings) if algorithm in ALGORITHMS else ())


def check_can_resume(record: RunRecord) -> None:
    """Raise InputError for a run whose input was refused."""
    if record.state is State.REFUSED:
        what = f"run {record.key!r} was refused, and has nothing to resume: {record.reason}"
        raise InputError("run", what, "Correct its input, and start it again.")


def changed_settings(record: RunRecord, events: Sequence[Event], changes: Mapping[str, Any]) -> RunSettings:
    """Return all settings of a run with changes. Raises InputError for a script's run, and for other settings."""
    check_can_resume(record)
    if record.algorithm == "session":
        raise InputError(
            "run",
            f"run {record.key!r} belongs to a script, and only the script knows its circuits",
            f"Start the script again with run_key={record.key!r}: measured rounds come from the journal.",
            NOTHING_SUBMITTED,
        )
    further = reaching(record.algorithm)
    if other := [name for name in changes if name not in (*LIMITS, *further)]:
        problem = f"a run of {record.algorithm} can't be resumed with another {other[0]}"
        remedy = f"Start a new run: its settings differ in {other[0]}. A resume changes limits, {', '.join(further)}."
        raise InputError(other[0], problem, remedy, NOTHING_SUBMITTED)
    # on top of the run's own settings: the user's defaults may have changed by now
    recorded = settings_after(record, events).model_dump(mode="json")
    return validate(ALGORITHMS[record.algorithm].settings, {**recorded, **changes})


def judge(record: RunRecord, events: Sequence[Event], order: RunOrder, who: Who) -> Extension | None:
    """Return the extension that an order makes of a recorded run; None if it only brings it into a process.

    A caller states what the run was started with, or what its extensions have set; limits alone may differ. Prefect
    starts a flow run again with the settings of its deployment, which may be others by now: the recorded ones hold. A
    person states all settings that the run is to have: limits may differ, and goals of one that has ended may reach
    further. Raises InputError for anything else, and for another problem or workspace.
    """
    if who is Who.PERSON:
        return extension_of(record, events, order.stated["settings"])
    later = given_later(events)
    for name in order.must_match:
        if getattr(record, name) != (order.settings.target if name == "target" else getattr(order, name)):
            raise started_otherwise(record, name)
    for part, now in order.stated.items():
        before = record.settings.get(part, {})
        if part == "settings":
            if who is Who.PREFECT:
                continue
            left_out = {*LIMITS, "seed", *(name for name, value in later.items() if now.get(name) == value)}
            now, before = ({k: v for k, v in each.items() if k not in left_out} for each in (now, before))
        if (differs := first_difference(before, now)) is not None:
            raise started_otherwise(record, differs if part in ("settings", "parameters") else part)
    if order.settings.seed not in (None, record.seed) and who is not Who.PREFECT:
        raise started_otherwise(record, "seed")
    return None


def started_otherwise(record: RunRecord, field: str) -> InputError:
    """Return the error of a run that was started with another value of a field."""
    return InputError(
        field,
        f"run {record.key!r} was started with another value",
        f"Give that value (hybridloop runs show {record.key}), or another run key.",
        NOTHING_SUBMITTED,
    )


def extension_of(record: RunRecord, events: Sequence[Event], asked: Mapping[str, Any]) -> Extension | None:
    """Return the extension by which a run reaches the settings asked for; None if it has them already.

    Raises InputError for a setting that does not reach further, for limits alone, for goals of a run that has not
    ended, and for a run of a version with other choices.
    """
    now = current_settings(record, events)
    changes = {name: value for name, value in asked.items() if name != "seed" and value != now.get(name)}
    names = reaching(record.algorithm)
    goals = [name for name in names if name in changes and name not in CAPS]
    if record.state is not State.ENDED:
        if goals:
            problem = f"run {record.key!r} has not ended: it is {record.status}"
            remedy = f"Resume it first: hybridloop runs resume {record.key}. Then extend it."
            raise InputError(goals[0], problem, remedy, NOTHING_SUBMITTED)
        return None
    if not changes:
        return None
    if other := [name for name in changes if name not in (*LIMITS, *names)]:
        remedy = f"Start a new run: its settings differ in {other[0]}."
        raise InputError(other[0], f"run {record.key!r} has another value", remedy, NOTHING_SUBMITTED)
    for name in changes:
        if name in names:
            _check_further(record, name, now.get(name), changes[name])
    if not any(name in names for name in changes):
        problem = f"run {record.key!r} has ended, and this alone does not extend it"
        options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise InputError(next(iter(changes)), problem, f"Give one of {options} with it.", NOTHING_SUBMITTED)
    if any(event.kind == PRUNED for event in events):
        problem = f"the measurements of run {record.key!r} were deleted"
        raise InputError("run", problem, "Start a new run.", NOTHING_SUBMITTED)
    check_choices(record)
    return Extension(revision_of(events) + 1, changes)


def _check_further(record: RunRecord, name: str, before: Any, now: Any) -> None:
    """Raise InputError for a setting that does not reach further than the run went."""
    if _is_further(name, _open_goal(record, name) if before is None else before, now):
        return
    problem = f"run {record.key!r} has ended with {_shown(before)}, and {_shown(now)} does not reach further"
    if name == "observables":
        raise InputError(name, problem, "Give those that it has, and others with them.", NOTHING_SUBMITTED)
    word = "smaller" if name in _SMALLER else "larger"
    none = ", or none" if name in CAPS else ""
    raise InputError(name, problem, f"Give a {word} one{none}, or start a new run.", NOTHING_SUBMITTED)


def _open_goal(record: RunRecord, name: str) -> Any:
    """Return a goal that the settings leave open; None where the algorithm alone knows it, and for a limit."""
    match name:
        case "observable_precision":
            return OBSERVABLE_PRECISION
        case "shots":
            return getattr(ALGORITHMS[record.algorithm].settings, "default_shots", None)
    return None


def _is_further(name: str, before: Any, now: Any) -> bool:
    if name in CAPS and (now is None or before is None):
        return now is None
    if name == "observables":
        return now is not None and now != before and {**now, **(before or {})} == now
    if before is None:  # of a goal: the algorithm's own
        return now is not None
    if isinstance(now, Mapping):
        return all(now.get(unit, float("inf")) >= amount for unit, amount in before.items())
    return now is not None and bool(now < before if name in _SMALLER else now > before)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and not any(isinstance(each, float) for each in value.values()):
        return ", ".join(value) or "no cap"
    if isinstance(value, Mapping):
        return ", ".join(f"{amount:g}{unit}" for unit, amount in value.items())
    return "none" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)
