"""Values that the journal has of a run: its problem, its settings, and the flow runs that resumed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import NOTHING_SUBMITTED, InputError
from hybridloop.inputs.validation import validate
from hybridloop.journal import Event, Journal, RunRecord
from hybridloop.journal.provenance import has_same_choices
from hybridloop.journal.revisions import extensions_in
from hybridloop.settings import LIMITS, AutoResume, ProblemText, Recorded, RunSettings

LIMITS_GIVEN = "limits"  # event: all limits, where a resume changed some of them
GROUPINGS = "measurement groups"  # among a run's versions: how terms were grouped, where the settings left it open
BEFORE = "flow_run_before"  # among the facts of a resumed run: the flow run that worked on it last
SIMULATED = "simulated"  # event: what simulations of the circuit have found, by their keys in the cache
RESUMED = "resumed"  # event: the flow run that resumes the run, and the number of rounds measured before


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


def recorded_groupings(record: RunRecord) -> tuple[str, ...]:
    """Return the groupings that were chosen for a run, one for each point of a scan; none if they were not recorded."""
    return tuple(record.versions[GROUPINGS].split(", ")) if GROUPINGS in record.versions else ()


def recorded_of(record: RunRecord, events: Sequence[Event], *, is_extended: bool = False) -> Recorded:
    """Return a run's record as a preparation takes it; `is_extended` for one that is about to be extended."""
    ends = extensions_in(events) + [len(events)] * is_extended
    return Recorded(recorded_groupings(record), tuple(settings_after(record, events[:end]) for end in ends))


def without_rotations(text: str) -> str:
    """Return the measurement groups of a run's versions without the fitted rotations of orbitals."""
    return ", ".join(each.partition(" ")[0] for each in text.split(", "))


def problem_of(record: RunRecord) -> ProblemText:
    """Return the problem of a recorded run."""
    return ProblemText.model_validate(record.settings["problem"])


def recorded_settings(record: RunRecord) -> dict[str, Any]:
    """Return the settings that a run was started with, as plain values."""
    return dict(record.settings.get("settings", {}))


def changed_settings(algorithm: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recorded settings, plain values, that are not an algorithm's defaults; all of another version's."""
    defaults = ALGORITHMS[algorithm].settings().model_dump(mode="json") if algorithm in ALGORITHMS else {}
    return _unlike(settings, defaults)


def _unlike(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict[str, Any]()
    for name, value in settings.items():
        default = defaults.get(name)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            value = _unlike(value, default)
            default = {}
        if name not in defaults or value != default:
            changed[name] = value
    return changed


def settings_of(journal: Journal, record: RunRecord) -> RunSettings:
    """Return the settings of a recorded run as of its last resume or extension; see `settings_after`."""
    return settings_after(record, journal.events(record.uid))


def settings_after(record: RunRecord, events: Sequence[Event]) -> RunSettings:
    """Return the settings of a recorded run by its events.

    Raises InputError where this installation can't read them, because of a missing plug-in or a setting of another
    version.
    """
    recorded = current_settings(record, events)
    model = ALGORITHMS[record.algorithm].settings if record.algorithm in ALGORITHMS else RunSettings
    try:
        return validate(model, recorded)
    except InputError as invalid:
        problem = f"run {record.key!r} was started with settings that can't be read: {invalid.happened}"
        raise InputError("run", problem, "Install what it was started with, then resume it.") from invalid


def limits_of(settings: RunSettings) -> dict[str, Any]:
    """Return the limits among the settings of a run, as plain values."""
    return settings.model_dump(mode="json", include=set(LIMITS))


def given_later(events: Sequence[Event]) -> dict[str, Any]:
    """Return what resumes and extensions have set, as plain values by name: all limits, and goals that changed."""
    given: dict[str, Any] = {}
    extensions = {*extensions_in(events)}
    for place, event in enumerate(events):
        if event.kind == LIMITS_GIVEN:
            given |= event.facts
        elif place in extensions:
            given |= event.facts["settings"]
    return given


def current_settings(record: RunRecord, events: Sequence[Event]) -> dict[str, Any]:
    """Return the settings of a recorded run as of its last resume or extension, as plain values."""
    return {**recorded_settings(record), **given_later(events)}


def flow_runs_of(journal: Journal, record: RunRecord) -> list[str | None]:
    """Return the ids of the flow runs that started and resumed a run, in order; None for a run outside Prefect."""
    resumed = [event.facts["flow_run"] for event in journal.events(record.uid) if event.kind == RESUMED]
    return [record.flow_run_id, *resumed]


def auto_resume_of(record: RunRecord, events: Sequence[Event]) -> AutoResume:
    """Return the early ends after which a run is resumed automatically, by the settings last given."""
    name = "resume_automatically"
    given = current_settings(record, events).get(name)
    return AutoResume.PARKED if given is None else AutoResume(given)
