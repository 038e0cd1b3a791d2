"""Content of a report as texts and tables, for any format; texts are not escaped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from hybridloop.algorithms.outcome import RoundProgress
from hybridloop.data.statuses import STATUSES, WITH_RESULT
from hybridloop.descriptions import ALGORITHMS
from hybridloop.journal.provenance import PRICES, REVISION
from hybridloop.reports.bundle.manifest import problem_hash
from hybridloop.reports.plots.curves import find_axis
from hybridloop.reports.plots.timeline import Lane, session_lanes
from hybridloop.results.answer import Answer, Pairs, format_value, summarize
from hybridloop.results.live_text import LEAST_ERROR
from hybridloop.results.result import RunResult
from hybridloop.results.result_text import (
    OBSERVABLES,
    charged_text,
    heading_of,
    observable_table,
    shown_rows,
    with_errors,
)
from hybridloop.runs.recorded import GROUPINGS, recorded_settings, without_rotations
from hybridloop.runs.stored_run import StoredRun
from hybridloop.runtime.durations import format_duration
from hybridloop.targets import recorded_target
from hybridloop.targets.provider_options import target_text
from hybridloop.tasks.submission.jobs import FIRST_ATTEMPT
from hybridloop.tasks.submission.results import lost_shots

MAX_ROWS = 200  # of a table; a longer one shows its first and last rows
MAX_ASSIGNMENTS = 10


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Table of a report: a caption, the columns' names, and the rows; `left_out` is the number of rows not shown."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class ReportContent:
    """All content of a report but its pictures."""

    title: str
    key: str
    algorithm: str
    target: str
    status: str
    is_done: bool
    is_of_algorithm: bool
    dates: str
    answer: Answer
    results: ReportTable | None
    observables: ReportTable | None
    assignments: ReportTable | None
    effort: Pairs
    sessions: ReportTable
    rounds: ReportTable | None
    events: ReportTable | None
    changed: ReportTable | None
    settings: ReportTable | None
    provenance: Pairs


@dataclass(slots=True)
class _RoundTotals:
    """Sums over a run's rounds."""

    rounds: int = 0
    complete: int = 0
    jobs: int = 0
    retried: int = 0
    lost: int = 0
    shots: int = 0
    lost_shots: int = 0
    circuits: set[str] = field(default_factory=set)
    rounds_in: Counter[int] = field(default_factory=Counter)
    jobs_in: Counter[int] = field(default_factory=Counter)
    billed: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


STATED = "The values are as the bundle states them: hybridloop runs verify recomputes them."


def report_content(run: StoredRun) -> ReportContent:
    """Collect the content of a run's report."""
    record, result, totals, lanes = run.record, run.result, _round_totals(run), session_lanes(run)
    settings = _settings(run) if run.is_of_algorithm else None
    return ReportContent(
        title=record.problem or record.key,
        key=record.key,
        algorithm=ALGORITHMS[record.algorithm].title if record.algorithm in ALGORITHMS else "Script",
        target=target_text(record.target, record.settings.get("settings", {}).get("provider_options") or {}),
        status=record.status,
        is_done=record.status in WITH_RESULT and STATUSES[record.status].exit_code == 0,
        is_of_algorithm=run.is_of_algorithm,
        dates=f"{format_time(record.created_at)} to {format_time(record.updated_at)} (UTC)",
        answer=_answer(run),
        results=None if result is None else _results(result),
        observables=None if result is None else _observables(result),
        assignments=_assignments(run, result),
        effort=_effort(run, result, totals),
        sessions=_sessions(run, totals, lanes),
        rounds=_rounds(result.history, result.unit) if result is not None and result.history else None,
        events=_events(run),
        changed=_changed(settings) if settings is not None else None,
        settings=settings,
        provenance=_provenance(run, totals),
    )


def format_time(epoch_s: float | None) -> str:
    """Format a time in UTC, to the second."""
    return "–" if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _answer(run: StoredRun) -> Answer:
    record, result = run.record, run.result
    if result is not None and record.status == result.status:
        answer = summarize(result)
        return replace(answer, warnings=(*answer.warnings, STATED)) if run.is_foreign else answer
    status = f"{record.status.capitalize()}: {record.reason}" if record.reason else f"{record.status.capitalize()}."
    if result is not None:  # the run was resumed after this result
        return replace(summarize(result), meaning=status)
    return Answer("No result yet" if run.is_of_algorithm else "A script's own loop", (), (), status, (), ())


def _results(result: RunResult) -> ReportTable | None:
    rows = with_axis(result, shown_rows(result))
    if not rows:
        return None
    shown = [with_errors(row) for row in rows]
    cells = [tuple(map(_cell, row.values())) for row in shown]
    return _bounded(
        ALGORITHMS[result.algorithm].table_title, tuple(heading_of(name, result.unit) for name in shown[0]), cells
    )


def _observables(result: RunResult) -> ReportTable | None:
    if not (found := observable_table(result)):
        return None
    rows = [tuple(map(str, row.values())) for row in found]
    return _bounded(OBSERVABLES, tuple(map(str.capitalize, found[0])), rows)


def with_axis(result: RunResult, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a scan's rows with the numbers of its curve's axis first, also where the problems' names tell them."""
    if not rows or "point" not in rows[0] or "coordinate" in result.table[0]:
        return rows
    axis = find_axis([{"problem": row["point"]} for row in rows], ("problem",), result.unit)
    return rows if axis is None else [{axis.label: at} | row for at, row in zip(axis.positions, rows, strict=True)]


def _assignments(run: StoredRun, result: RunResult | None) -> ReportTable | None:
    """Return the best assignments of the final measurement, with their share of the shots."""
    if result is None or result.value is None or "histogram" not in ALGORITHMS[result.algorithm].plots:
        return None
    from hybridloop.reports.plots.binary import final_assignments, problem_of

    measured = final_assignments(run, problem_of(run))
    total = sum(row.shots for row in measured)
    is_constrained = not all(row.is_feasible for row in measured)
    rows = [
        (row.bitstring, f"{row.value:g}", f"{row.shots:,}", f"{row.shots / total:.1%}")
        + (format_value(row.is_feasible),) * is_constrained
        for row in measured[:MAX_ASSIGNMENTS]
    ]
    columns = ("Assignment", "Objective", "Shots", "Share", *("Meets the constraint",) * is_constrained)
    return ReportTable("Best assignments of the final measurement", columns, tuple(rows))


def _effort(run: StoredRun, result: RunResult | None, totals: _RoundTotals) -> Pairs:
    pings = [ping for ping in run.pings if ping.state in ("submitted", "done", "failed")]
    billed = defaultdict(float, totals.billed)
    for ping in pings:
        for unit, amount in (ping.billed or {}).items():
            billed[unit] += amount
    settings = recorded_settings(run.record)
    caps = {name: settings.get(name) for name in ("max_cost", "max_jobs", "max_shots", "max_cost_per_job", "deadline")}
    if run.is_of_algorithm:
        caps = {name: run.settings.model_dump(mode="json").get(name) for name in caps}
    in_force = [f"{name} {format_value(value)}" for name, value in caps.items() if value is not None]
    begun = f" of {totals.rounds:,} begun" if totals.rounds > totals.complete else ""
    rows = [
        ("Rounds", f"{totals.complete:,}{begun}"),
        ("Jobs", f"{totals.jobs:,}"),
        ("Retries", f"{totals.retried:,}"),
        ("Jobs without result", f"{totals.lost:,}"),
        ("Keep-alive pings", f"{len(pings):,}"),
        ("Shots", f"{totals.shots:,}"),
        *([("Shots that lost a qubit or failed", f"{totals.lost_shots:,}")] if totals.lost_shots else []),
        ("Cost", charged_text(billed, {}, has_jobs=bool(totals.jobs or pings), is_local=run.record.is_local)),
        ("Caps in force", ", ".join(in_force) or "none"),
    ]
    if result is not None:
        process = "the last process" if result.resumed else "the process"
        rows.append(("Time", f"{format_duration(result.wall_seconds)} in {process}"))
    return tuple(rows)


def _sessions(run: StoredRun, totals: _RoundTotals, lanes: Sequence[Lane]) -> ReportTable:
    by_id = {lane.id: lane for lane in lanes}
    pings = Counter(ping.session for ping in run.pings if ping.state in ("submitted", "done", "failed"))
    rows = []
    for row in run.sessions:
        lane = by_id.get(row.id)
        rows.append(
            (
                str(row.ordinal + 1),
                row.id,
                row.shown_status,
                row.reason or "–",
                format_time(row.opened_at),
                "–" if row.ended_at is None else format_duration(row.ended_at - row.opened_at),
                "–" if lane is None else format_duration(lane.idle_s),
                str(totals.rounds_in[row.ordinal]),
                str(totals.jobs_in[row.ordinal]),
                str(pings[row.ordinal]),
            )
        )
    columns = ("No.", "Session", "Status", "Renewal reason", "Opened (UTC)", "Open", "Idle", "Rounds", "Jobs", "Pings")
    return _bounded("Sessions", columns, rows)


def _rounds(history: Sequence[RoundProgress], unit: str) -> ReportTable:
    rows = [
        (
            str(row.round),
            row.phase,
            f"{row.value:.6f}",
            f"{row.standard_error:.6f}" if row.standard_error >= LEAST_ERROR else "rounding",
            f"{row.points:,}",
            f"{row.circuits:,}",
            f"{row.shots:,}",
            f"{row.total_shots:,}",
        )
        for row in history
    ]
    value = f"Value ({unit})" if unit else "Value"
    return _bounded(
        "Rounds", ("Round", "Phase", value, "Standard error", "Points", "Circuits", "Shots", "Shots so far"), rows
    )


def _events(run: StoredRun) -> ReportTable | None:
    rows = [(format_time(event.at), event.kind, format_value(event.facts)) for event in run.events]
    return _bounded("Events", ("Time (UTC)", "Event", "Details"), rows) if rows else None


def _settings(run: StoredRun) -> ReportTable:
    defaults = ALGORITHMS[run.record.algorithm].settings().model_dump(mode="json")
    rows = []
    for name, value in run.settings.model_dump(mode="json").items():
        if isinstance(value, dict) and isinstance(defaults.get(name), dict):
            nested = defaults[name]
            rows += [(f"{name}.{key}", format_value(of), format_value(nested.get(key))) for key, of in value.items()]
        else:
            rows.append((name, format_value(value), format_value(defaults.get(name))))
    return ReportTable("All settings", ("Setting", "Value", "Default"), tuple(rows))


def _changed(settings: ReportTable) -> ReportTable:
    rows = tuple((name, value, default) for name, value, default in settings.rows if value != default)
    return ReportTable("Settings that are not the default", settings.columns, rows)


def _provenance(run: StoredRun, totals: _RoundTotals) -> Pairs:
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
        ("Logical circuits", f"{len(totals.circuits):,}"),
        ("Flow run", record.flow_run_id or ""),
        *(
            (names.get(name, name), without_rotations(text) if name == GROUPINGS else text)
            for name, text in record.versions.items()
        ),
    ]
    return tuple((name, text) for name, text in rows if text)


def _round_totals(run: StoredRun) -> _RoundTotals:
    totals, result, target = _RoundTotals(), run.result, recorded_target(run.record.target)
    if run.is_pruned and result is not None:  # its rounds were pruned
        totals.rounds = totals.complete = result.rounds
        totals.jobs, totals.retried, totals.shots = result.jobs, result.retried, result.shots
        totals.lost_shots = result.lost_shots
        totals.billed.update(result.cost)
    for round_ in run.rounds():
        totals.rounds += 1
        totals.complete += round_.complete
        totals.circuits |= {pub.fingerprint for pub in round_.pubs}
        totals.rounds_in.update({job.session for job in round_.jobs})
        for job in round_.jobs:
            is_first = job.attempt == FIRST_ATTEMPT
            totals.jobs += is_first
            totals.shots += job.shots * is_first
            totals.retried += not is_first
            totals.lost += job.state == "lost"
            totals.lost_shots += 0 if job.counts is None else lost_shots(job.parts, job.counts, target)
            totals.jobs_in[job.session] += 1
            for unit, amount in (job.billed or {}).items():
                totals.billed[unit] += amount
    return totals


def _cell(value: object) -> str:
    return f"{value:.6f}" if isinstance(value, float) else format_value(value)


def _bounded(caption: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> ReportTable:
    if len(rows) <= MAX_ROWS:
        return ReportTable(caption, columns, tuple(rows))
    half = MAX_ROWS // 2
    return ReportTable(caption, columns, (*rows[:half], *rows[-half:]), len(rows) - 2 * half)
