"""What a report says of a run, in words and rows, whatever it is written in; all text is still to be escaped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hybridloop.algorithms.outcome import RoundProgress
from hybridloop.journal.provenance import PRICES, REVISION
from hybridloop.reports.answer import Answer, Pairs, answer_of, money, shown
from hybridloop.reports.bundle.manifest import problem_hash
from hybridloop.reports.plots import binary_problem_of
from hybridloop.reports.plots.timeline import Lane, lanes_of
from hybridloop.runs.live_text import SHOWN
from hybridloop.runs.lookup import recorded_settings
from hybridloop.runs.result import COLUMNS, TABLES, RunResult
from hybridloop.runs.statuses import FINISHED
from hybridloop.runs.stored_run import KeptRun
from hybridloop.runtime.durations import format_duration
from hybridloop.settings import SETTINGS
from hybridloop.tasks.submission.jobs import FIRST_ATTEMPT

MOST_ROWS = 200  # of a table; of a longer one the first and the last are shown
MOST_ASSIGNMENTS = 10
NAMES = {
    "vqe": "VQE",
    "adapt": "ADAPT-VQE",
    "vqd": "Variational quantum deflation",
    "scan": "Scan",
    "qaoa": "QAOA",
    "rqaoa": "Recursive QAOA",
    "session": "Script",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """A table: a caption, the columns' names, and the rows; `left_out` were too many to show."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a report says beside its pictures."""

    title: str
    key: str
    algorithm: str
    target: str
    status: str
    is_done: bool
    is_ours: bool
    dates: str
    answer: Answer
    table: Rows | None
    assignments: Rows | None
    effort: Pairs
    sessions: Rows
    rounds: Rows | None
    events: Rows | None
    changed: Rows | None
    settings: Rows | None
    provenance: Pairs


@dataclass(slots=True)
class _Tally:
    """One pass over a run's rounds."""

    rounds: int = 0
    complete: int = 0
    jobs: int = 0
    retried: int = 0
    lost: int = 0
    shots: int = 0
    circuits: set[str] = field(default_factory=set)
    rounds_in: Counter[int] = field(default_factory=Counter)
    jobs_in: Counter[int] = field(default_factory=Counter)
    billed: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


def facts_of(run: KeptRun) -> Facts:
    """Everything, from one pass over the rounds."""
    record, result, tally, lanes = run.record, run.result, _tallied(run), lanes_of(run)
    settings = _settings(run) if run.is_ours else None
    return Facts(
        title=record.problem or record.key,
        key=record.key,
        algorithm=NAMES.get(record.algorithm, record.algorithm),
        target=record.target,
        status=record.status,
        is_done=record.status in FINISHED,
        is_ours=run.is_ours,
        dates=f"{moment(record.created_at)} to {moment(record.updated_at)} (UTC)",
        answer=_answer(run),
        table=None if result is None else _table(result),
        assignments=_assignments(run, result),
        effort=_effort(run, result, tally),
        sessions=_sessions(run, tally, lanes),
        rounds=_rounds(result.history, result.unit) if result is not None and result.history else None,
        events=_events(run),
        changed=_changed(settings) if settings is not None else None,
        settings=settings,
        provenance=_provenance(run, tally),
    )


def moment(epoch_s: float | None) -> str:
    """A moment to the second, in UTC."""
    return "–" if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _answer(run: KeptRun) -> Answer:
    record, result = run.record, run.result
    if result is not None and record.status == result.status:
        return answer_of(result)
    said = f"{record.status.capitalize()}: {record.reason}" if record.reason else f"{record.status.capitalize()}."
    if result is not None:  # it was gone on with since then
        return replace(answer_of(result), meaning=said)
    return Answer("No result yet" if run.is_ours else "A script's own loop", (), said, (), ())


def _table(result: RunResult) -> Rows | None:
    if not result.table or result.algorithm not in COLUMNS:
        return None
    columns = tuple(COLUMNS[result.algorithm])
    caption = TABLES[result.algorithm]
    rows = [tuple(_cell(row.get(name)) for name in columns) for row in result.table]
    return _bounded(caption, tuple(name.replace("_", " ") for name in columns), rows)


def _assignments(run: KeptRun, result: RunResult | None) -> Rows | None:
    """The best that the final measurement saw, with their share of the shots."""
    if result is None or result.algorithm != "qaoa" or result.value is None:
        return None
    from hybridloop.reports.plots.binary import seen_finally

    seen = seen_finally(run, binary_problem_of(run))
    total = sum(each.shots for each in seen)
    rows = tuple(
        (each.bitstring, f"{each.value:g}", f"{each.shots:,}", f"{each.shots / total:.1%}", shown(each.meets))
        for each in seen[:MOST_ASSIGNMENTS]
    )
    columns = ("Assignment (rightmost: variable 0)", "Objective", "Shots", "Share", "Meets the constraint")
    return Rows("Best assignments of the final measurement", columns, rows)


def _effort(run: KeptRun, result: RunResult | None, tally: _Tally) -> Pairs:
    pings = [ping for ping in run.pings if ping.state in ("submitted", "done", "failed")]
    billed = defaultdict(float, tally.billed)
    for ping in pings:
        for unit, amount in (ping.billed or {}).items():
            billed[unit] += amount
    stated = recorded_settings(run.record)
    caps = {name: stated.get(name) for name in ("max_cost", "max_jobs", "max_shots", "max_cost_per_job", "deadline")}
    if run.is_ours:
        caps = {name: run.settings.model_dump(mode="json").get(name) for name in caps}
    in_force = [f"{name} {shown(value)}" for name, value in caps.items() if value is not None]
    rows = [
        ("Rounds", f"{tally.complete:,}" + (f" of {tally.rounds:,} begun" if tally.rounds > tally.complete else "")),
        ("Jobs", f"{tally.jobs:,}"),
        ("Further attempts", f"{tally.retried:,}"),
        ("Jobs lost for good", f"{tally.lost:,}"),
        ("Keep-alive pings", f"{len(pings):,}"),
        ("Shots", f"{tally.shots:,}"),
        ("Billed", money(billed) or "not stated by the service"),
        ("Caps in force", ", ".join(in_force) or "none"),
    ]
    if result is not None:
        took = "the last process" if result.resumed else "the process"
        rows.append(("Time", f"{format_duration(result.wall_seconds)} in {took}"))
    return tuple(rows)


def _sessions(run: KeptRun, tally: _Tally, lanes: Sequence[Lane]) -> Rows:
    by_id = {lane.id: lane for lane in lanes}
    pings = Counter(ping.session for ping in run.pings if ping.state in ("submitted", "done", "failed"))
    rows = []
    for row in run.sessions:
        lane = by_id.get(row.id)
        rows.append(
            (
                str(row.ordinal + 1),
                row.id,
                row.status,
                row.reason or "–",
                moment(row.opened_at),
                "–" if row.ended_at is None else format_duration(row.ended_at - row.opened_at),
                "–" if lane is None else format_duration(lane.idle_s),
                str(tally.rounds_in[row.ordinal]),
                str(tally.jobs_in[row.ordinal]),
                str(pings[row.ordinal]),
            )
        )
    columns = ("No.", "Session", "Ended", "Follows because", "Opened (UTC)", "Open", "Idle", "Rounds", "Jobs", "Pings")
    return _bounded("Sessions", columns, rows)


def _rounds(history: Sequence[RoundProgress], unit: str) -> Rows:
    rows = [
        (
            str(each.round),
            each.phase,
            f"{each.value:.6f}",
            f"{each.standard_error:.6f}" if each.standard_error >= SHOWN else "rounding",
            f"{each.points:,}",
            f"{each.circuits:,}",
            f"{each.shots:,}",
            f"{each.total_shots:,}",
        )
        for each in history
    ]
    value = f"Value ({unit})" if unit else "Value"
    return _bounded(
        "Rounds", ("Round", "Phase", value, "Standard error", "Points", "Circuits", "Shots", "Shots so far"), rows
    )


def _events(run: KeptRun) -> Rows | None:
    rows = [(moment(each.at), each.kind, shown(each.facts)) for each in run.events]
    return _bounded("Events", ("Moment (UTC)", "What", "Facts"), rows) if rows else None


def _settings(run: KeptRun) -> Rows:
    defaults = SETTINGS[run.record.algorithm]().model_dump(mode="json")
    rows = []
    for name, value in run.settings.model_dump(mode="json").items():
        if isinstance(value, dict) and isinstance(defaults.get(name), dict):
            rows += [(f"{name}.{each}", shown(of), shown(defaults[name].get(each))) for each, of in value.items()]
        else:
            rows.append((name, shown(value), shown(defaults.get(name))))
    return Rows("All settings", ("Setting", "Value", "Default"), tuple(rows))


def _changed(settings: Rows) -> Rows:
    rows = tuple((name, value, default) for name, value, default in settings.rows if value != default)
    return Rows("Settings that are not the default", settings.columns, rows)


def _provenance(run: KeptRun, tally: _Tally) -> Pairs:
    record = run.record
    given = record.settings.get("problem") or {}
    workspace = record.settings.get("workspace") or {}
    names = {REVISION: "Code revision", PRICES: "Prices dated"}
    rows = [
        ("Run", record.uid),
        ("Seed", str(record.seed)),
        ("Workspace", " / ".join(str(value) for value in workspace.values())),
        ("Problem", str(given.get("name", record.problem))),
        ("Problem's SHA-256", problem_hash(given["name"], given.get("text")) if given else ""),
        ("Logical circuits", f"{len(tally.circuits):,}"),
        ("Flow run", record.flow_run_id or ""),
        *((names.get(name, name), text) for name, text in record.versions.items()),
    ]
    return tuple((name, text) for name, text in rows if text)


def _tallied(run: KeptRun) -> _Tally:
    tally, result = _Tally(), run.result
    if run.is_stripped and result is not None:  # its rounds were forgotten
        tally.rounds = tally.complete = result.rounds
        tally.jobs, tally.retried, tally.shots = result.jobs, result.retried, result.shots
        tally.billed.update(result.cost)
    for round_ in run.rounds():
        tally.rounds += 1
        tally.complete += round_.complete
        tally.circuits |= {pub.fingerprint for pub in round_.pubs}
        tally.rounds_in.update({job.session for job in round_.jobs})
        for job in round_.jobs:
            is_first = job.attempt == FIRST_ATTEMPT
            tally.jobs += is_first
            tally.shots += job.shots * is_first
            tally.retried += not is_first
            tally.lost += job.state == "lost"
            tally.jobs_in[job.session] += 1
            for unit, amount in (job.billed or {}).items():
                tally.billed[unit] += amount
    return tally


def _cell(value: object) -> str:
    return f"{value:.6f}" if isinstance(value, float) else shown(value)


def _bounded(caption: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Rows:
    if len(rows) <= MOST_ROWS:
        return Rows(caption, columns, tuple(rows))
    half = MOST_ROWS // 2
    return Rows(caption, columns, (*rows[:half], *rows[-half:]), len(rows) - 2 * half)
