"""Find the run of a request in the journal, or describe a new one; the run key is an idempotency key."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hybridloop.data.statuses import WITH_RESULT
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import NOTHING_SUBMITTED, InputError
from hybridloop.inputs.validation import validate
from hybridloop.journal import Event, Journal, NewRun, RunRecord, check_key
from hybridloop.journal.claimed_run import new_run
from hybridloop.journal.provenance import has_same_choices
from hybridloop.settings import LIMITS, ProblemText, RunSettings, first_difference

LIMITS_GIVEN = "limits"  # event: all limits, where a resume changed some of them
GROUPINGS = "measurement groups"  # among a run's versions: how terms were grouped, where the settings left it open
RESUMED = "goes on"  # event: the flow run that resumes the run, and the number of rounds measured before

_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9._-]+")
_UID_DIGITS = 8


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request for a run; `workspace` identifies the workspace without a secret (`identity_of`).

    `seed` is for a new run whose settings have none (None: drawn here). `sources` are the sources of the settings, for
    the record of a new run.
    """

    algorithm: str
    problem: ProblemText
    settings: RunSettings
    workspace: Mapping[str, str]
    run_key: str | None = None
    flow_run_id: str | None = None
    seed: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunLookup:
    """The run of a request: its record, or the description of a new run, and its settings with their seed.

    `result` is the stored result of a finished run, else None.
    """

    run: NewRun
    settings: RunSettings
    seed: int
    result: Mapping[str, Any] | None = None

    @property
    def record(self) -> RunRecord | None:
        """The record of a run that was started before, None for a new one."""
        return self.run if isinstance(self.run, RunRecord) else None

    def with_groupings(self, groupings: Sequence[str]) -> RunLookup:
        """Return it with the choice of measurement groups in the description of a new run."""
        if isinstance(self.run, RunRecord) or not groupings:
            return self
        return replace(self, run=replace(self.run, versions={**self.run.versions, GROUPINGS: ", ".join(groupings)}))


def find_run(journal: Journal, request: RunRequest) -> RunLookup:
    """Find the run of the key, else the one that the same flow run started before it died, else describe a new one.

    Raises InputError where the run of that key has other settings, belongs to another workspace, or was started by a
    version with other choices.
    """
    # the recorded run, and the seed
    record: RunRecord | None = None
    if request.run_key is not None:
        record = run_of_key(journal, request.run_key)
    elif request.flow_run_id is not None:
        record = journal.run_by_flow_run(request.flow_run_id)
    seed = request.settings.seed
    if seed is None and record is not None:
        seed = record.seed
    elif seed is None:
        seed = secrets.randbits(63) if request.seed is None else request.seed
    settings = request.settings.model_copy(update={"seed": seed})
    # the request as the journal records it; a recorded run must have been started with the same
    description = {
        "problem": request.problem.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "workspace": dict(request.workspace),
    }
    if record is not None:
        settings = _check_same(journal, record, request, settings, description)
        result = record.result if record.status in WITH_RESULT else None
        if result is None:
            check_choices(record)
        return RunLookup(record, settings, record.seed, result)
    # a new run
    uid = str(uuid.uuid4())
    name = _NOT_IN_A_KEY.sub("-", request.problem.name)[:60]
    new = new_run(
        uid,
        key=request.run_key or generated_key(f"{request.algorithm}-{name}", uid),
        algorithm=request.algorithm,
        problem=request.problem.name,
        target=settings.target,
        seed=seed,
        settings={**description, "sources": dict(request.sources)},
        flow_run_id=request.flow_run_id,
    )
    return RunLookup(new, settings, seed)


def generated_key(name: str, uid: str) -> str:
    """Return the key of a run that was started without one."""
    return f"{name}-{uid[:_UID_DIGITS]}"


def run_of_key(journal: Journal, key: str) -> RunRecord | None:
    """Return the run of a key, if there is one; a uid is no key. Raises InputError for an invalid key."""
    return journal.run_by_key(check_key(key))


def check_choices(record: RunRecord) -> None:
    """Raise InputError for a run of a version with other choices: its resume would ask for other points."""
    if not has_same_choices(record.versions):
        version = record.versions.get("hybridloop", "another version")
        problem = f"run {record.key!r} was started by hybridloop {version}, whose choices differ from this version's"
        raise InputError(
            "run",
            problem,
            f"Install that version to resume it, or start a new run from its last point: its angles are in "
            f"`hybridloop runs show {record.key}`, and --initial-point takes them.",
            NOTHING_SUBMITTED,
        )


def recorded_groupings(record: NewRun) -> tuple[str, ...]:
    """Return the groupings that were chosen for a run, one for each point of a scan; none if they were not recorded.

    The choice depends on tables of prices and error rates, which may have changed since.
    """
    return tuple(record.versions[GROUPINGS].split(", ")) if GROUPINGS in record.versions else ()


def problem_of(record: RunRecord) -> ProblemText:
    """Return the problem of a recorded run."""
    return ProblemText.model_validate(record.settings["problem"])


def recorded_settings(record: RunRecord) -> dict[str, Any]:
    """Return the settings that a run was started with, as plain values."""
    return dict(record.settings.get("settings", {}))


def settings_of(journal: Journal, record: RunRecord) -> RunSettings:
    """Return the settings of a recorded run, with the limits of the last resume; see `settings_after`."""
    return settings_after(record, journal.events(record.uid))


def settings_after(record: RunRecord, events: Sequence[Event]) -> RunSettings:
    """Return the settings of a recorded run by its events.

    Raises InputError where this installation can't read them, because of a missing plug-in or a setting of another
    version.
    """
    recorded = {**recorded_settings(record), **limits_given(events)}
    try:
        return validate(ALGORITHMS[record.algorithm].settings, recorded)
    except InputError as invalid:
        problem = f"run {record.key!r} was started with settings that can't be read: {invalid.happened}"
        raise InputError("run", problem, "Install what it was started with, then resume it.") from invalid


def limits_of(settings: RunSettings) -> dict[str, Any]:
    """Return the limits among the settings of a run, as plain values."""
    return settings.model_dump(mode="json", include=set(LIMITS))


def limits_given(events: Sequence[Event]) -> Mapping[str, Any]:
    """Return all limits as of the last resume that changed some; none if no resume did."""
    given = [event.facts for event in events if event.kind == LIMITS_GIVEN]
    return given[-1] if given else {}


def flow_runs_of(journal: Journal, record: RunRecord) -> list[str | None]:
    """Return the ids of the flow runs that started and resumed a run, in order; None for a run outside Prefect."""
    resumed = [event.facts["flow_run"] for event in journal.events(record.uid) if event.kind == RESUMED]
    return [record.flow_run_id, *resumed]


def _check_same(
    journal: Journal, record: RunRecord, request: RunRequest, settings: RunSettings, requested: Mapping[str, Any]
) -> RunSettings:
    """Return the recorded settings with the limits of the request. Raises InputError where anything else differs."""
    if record.algorithm != request.algorithm:
        raise started_otherwise(record, "algorithm")
    # a flow run that is started again keeps its settings, also if its deployment has others by now
    is_same_flow_run = request.flow_run_id is not None and request.flow_run_id in flow_runs_of(journal, record)
    for part in ("problem", "workspace") if is_same_flow_run else ("problem", "settings", "workspace"):
        before, now = dict(record.settings[part]), dict(requested[part])
        if part == "settings":
            for limit in LIMITS:
                before.pop(limit, None)
                now.pop(limit, None)
        if (name := first_difference(before, now)) is not None:
            raise started_otherwise(record, name if part == "settings" else part)
    given = {name: getattr(settings, name) for name in LIMITS}
    return settings_of(journal, record).model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )


def started_otherwise(record: RunRecord, field: str) -> InputError:
    """Return the error for a run key that is used again with another value of this field."""
    return InputError(
        field,
        f"run {record.key!r} was started with another value",
        f"Give that value (hybridloop runs show {record.key}), or another run key.",
        NOTHING_SUBMITTED,
    )
