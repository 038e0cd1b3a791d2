"""JSON Schemas of the documents that commands print with --json, made from the types of what is printed.

Dataclasses whose modules load Qiskit or SQLAlchemy are imported when a schema is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import DataclassSchema

from hybridloop.cli.completion import did_you_mean
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError
from hybridloop.estimate.plan import Plan
from hybridloop.local_stack.lifecycle import ComponentStatus
from hybridloop.setup_checks import CheckResult

Moment = Annotated[str, Field(description="UTC, ISO 8601")]
Amounts = Annotated[dict[str, float], Field(description="by unit: USD, HQC, eHQC")]
Picture = Annotated[str | None, Field(description="path of the picture; null if none could be written")]


def _record(name: str, fields: Mapping[str, Any] = {}, /, **more: Any) -> Any:
    """Return the type of a JSON object that has these fields and no others."""
    types: dict[str, Any] = {field: (kind, ...) for field, kind in {**fields, **more}.items()}
    return create_model(name, __config__=ConfigDict(extra="forbid"), **types)


def _list(row: Any) -> Any:
    return list[row]


def _printed(dataclass: type, fields: Mapping[str, Any] = {}, /, *, without: str = "", **more: Any) -> Any:
    """Return the type of a dataclass's JSON object, without some fields, and with others added or of another type."""
    inherited = get_type_hints(dataclass, include_extras=True)
    for name in without.split():
        del inherited[name]
    record = _record(dataclass.__name__, {**inherited, **fields}, **more)
    record.__doc__ = dataclass.__doc__
    return record


def _of(kind: Any, names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), kind)


_MAYBE = str | None

_RUN = {
    **_of(str, "run_key status algorithm target"),
    **_of(int, "rounds jobs"),
    "local": Annotated[bool, Field(description="on the local service, which bills nothing")],
    "problem": _MAYBE,
    "value": float | None,
    **_of(Moment, "created updated"),
    "reason": str,
}
_DAMAGED_RUN = {**dict.fromkeys(_RUN), "run_key": str, "status": Literal["damaged"]}
_SESSION = {"id": str, **_of(_MAYBE, "name target status session_on_job_failure created ended")}
_SAMPLE = {"count": int, **_of(float, "objective penalty"), "feasible": bool}
_JOB = {"id": str, **_of(_MAYBE, "name status created ended unit error"), "shots": int | None, "cost": float | None}
_TARGET = {
    **_of(str, "target provider profile"),
    "state": _MAYBE,
    "queue_seconds": float | None,
    "qubits": Annotated[int | None, Field(description="null if no figure is published")],
    "max_shots": int,
    "samples": bool,
    "unknown": Annotated[list[str], Field(description="facts that are not known: price, qubits, profile, max_shots")],
}
_PROBLEM = {**_of(str, "name title family teaches source"), "qubits": int}
_HARTREE = Annotated[float, Field(description="hartree")]
_TOTALS = {"jobs": int, "shots": int, "money": Amounts}
_LIMIT = {
    **_of(str, "name unit period scope"),
    **_of(float, "amount spent reserved left"),
    "local": bool,
    "next_period": Annotated[_MAYBE, Field(description="date in UTC; null for a limit for ever")],
}
_LEDGER_JOB = {
    **_of(str, "job target status"),
    **_of(_MAYBE, "session place attempt unit"),
    "shots": int | None,
    "price": float | None,
    "accepted": Moment,
    "ended": Moment | None,
    "deleted": bool,
}


def _run_result() -> Any:
    from hybridloop.algorithms.outcome import Outcome
    from hybridloop.results.result import OF_OUTCOME, RunResult

    jobs = _record("Jobs", _of(int, "total evaluations pings retried"))
    jobs.__doc__ = "Number of jobs: all, those of the rounds without retries, keep-alive pings, and further attempts."
    cost = _record("Cost", amount=float | None, unit=_MAYBE)
    cost.__doc__ = "Billed amount; null where the service stated none, or amounts in several units: see `costs`."
    amounts = _of(Amounts, "costs estimated reserved")
    types = get_type_hints(Outcome, include_extras=True)
    answer = {**{name: types[name] for name in OF_OUTCOME}, **_of(float | None, "value standard_error")}
    result = _printed(
        RunResult,
        {**answer, **amounts},
        without="outcome variables",
        error=float | None,
        correlation_recovered=float | None,
        jobs=jobs,
        cost=cost,
    )
    result.__doc__ = "Result of a run; `costs`, `estimated` and `reserved` are amounts by unit."
    return result


def _run_details() -> Any:
    from hybridloop.budget.cost_summary import CostSummary

    return _record(
        "RunDetails",
        {**_RUN, "uid": str, **_of(_MAYBE, "flow_run_id held_by")},
        seed=int,
        stop_requested=bool,
        meter=_printed(CostSummary, _of(Amounts, "estimated reserved billed")),
        settings=dict[str, Any],
        **_of(dict[str, str], "sources workspace versions"),
        sessions=_list(_record("RunSession", _of(str, "id target status reason"), open=bool)),
        results=_list(
            _record(
                "RunRevision",
                {**_of(int, "revision jobs shots"), **_of(float | None, "value standard_error")},
                status=str,
                cost=Amounts,
            )
        ),
        events=_list(create_model("Event", __config__=ConfigDict(extra="allow"), at=(Moment, ...), kind=(str, ...))),
    )


def _missing() -> Any:
    from hybridloop.runs.planned import MissingEffort

    return MissingEffort


def _ledger() -> Any:
    earlier = _record("EarlierJob", job=str, attempt=_MAYBE, status=str)
    duplicate = _record("DuplicateJob", place=str, job=str, attempt=_MAYBE, accepted=Moment, earlier=earlier)
    return _record(
        "Ledger",
        _TOTALS,
        ended=Annotated[dict[str, int], Field(description="number of jobs by status")],
        sessions=_list(_record("LedgerSession", {**_TOTALS, **_of(_MAYBE, "id target status")})),
        duplicates=_record("Duplicates", count=int, entries=_list(duplicate)),
        entries=_list(_record("LedgerJob", _LEDGER_JOB)),
    )


def _stack() -> Any:
    part = _printed(ComponentStatus, without="name", part=str)
    return _record("Stack", home=str, parts=_list(part), unsettled=_unsettled())


def _doctor() -> Any:
    checks = _record("Doctor", ok=bool, findings=list[CheckResult])
    finding = _record(
        "LiveFinding", _of(str, "check assumed where found verdict effect"), expected=list[str], before=_MAYBE
    )
    live = _record(
        "LiveChecks",
        _of(str, "format service python"),
        time=Moment,
        packages=dict[str, str],
        **_of(int, "jobs differences not_shown changes"),
        previous=_MAYBE,
        findings=_list(finding),
    )
    return checks | live


def _sweep_result() -> Any:
    from hybridloop.flows.sweep_execution.results import SweepResult

    table = {"complete": bool, "counts": dict[str, int], "points": list[dict[str, Any]]}
    return _printed(SweepResult, table, without="rows", picture=Picture)


def _costs() -> Any:
    amounts = _of(Amounts, "billed unbilled reserved local")
    row = _record("CostRow", name=str, **_of(int, "runs jobs shots"), **amounts)
    return _record("Costs", since=str, until=_MAYBE, by=str, rows=_list(row), total=row, unsettled=_unsettled())


def _unsettled() -> Any:
    from hybridloop.reports.costs import OpenReservation

    return _list(_printed(OpenReservation, reserved=Amounts))


def _of_stored_runs() -> dict[str, Any]:
    from hybridloop.reports.reproduce import Reproduction
    from hybridloop.reports.verify import Verification
    from hybridloop.tasks.orphans import OrphanedSession
    from hybridloop.tasks.pruning import PruningResult

    return {
        "verify": _printed(Verification, agrees=bool, seal=_MAYBE, earlier=_list(_printed(Verification, agrees=bool))),
        "reproduce": _printed(Reproduction, identical=bool, agrees=bool),
        "prune": _printed(PruningResult, without="runs", forgotten=int, ended_before=Moment, dry_run=bool),
        "close-orphans": list[OrphanedSession],
    }


def _backups() -> Any:
    from hybridloop.journal import backup

    return backup


DOCUMENTS: Mapping[str, Callable[[], Any]] = {
    **{f"run {algorithm}": _run_result for algorithm in ALGORITHMS},
    **{f"plan {algorithm}": lambda: Plan for algorithm in ALGORITHMS},
    "sweep": _sweep_result,
    "runs list": lambda: _list(_record("Run", _RUN) | _record("DamagedRun", _DAMAGED_RUN)),
    "runs show": _run_details,
    "runs samples": lambda: _list(_record("Sample", assignment=dict[str, int], **_SAMPLE)),
    "runs resume": lambda: (
        _run_result() | _missing() | _record("ResumeRequested", run_key=str, resume_requested=bool, status=str)
    ),
    "runs follow": lambda: _run_result(),
    "runs stop": lambda: _record("StopRequested", run_key=str, stop_requested=bool, status=str),
    "runs cancel": lambda: _record("CancelRequested", run_key=str, cancel_requested=bool),
    "runs verify": lambda: _of_stored_runs()["verify"],
    "runs reproduce": lambda: _of_stored_runs()["reproduce"],
    "runs prune": lambda: _of_stored_runs()["prune"],
    "cost": _costs,
    "limit set": lambda: _record("Limit", _LIMIT),
    "limit list": lambda: _list(_record("Limit", _LIMIT)),
    "limit show": lambda: _record("Limit", _LIMIT),
    "limit remove": lambda: _record("RemovedLimit", removed=str),
    "sessions list": lambda: _list(_record("Session", _SESSION)),
    "sessions show": lambda: _record("SessionDetails", _SESSION, jobs=dict[str, int]),
    "sessions jobs": lambda: _list(_record("Job", _JOB)),
    "sessions close": lambda: _record("ClosedSession", _SESSION, cancelled_jobs=int),
    "sessions close-orphans": lambda: _of_stored_runs()["close-orphans"],
    "targets": lambda: _list(_record("Target", _TARGET)),
    "problems": lambda: _list(
        _record("Molecule", _PROBLEM, **_of(_HARTREE, "exact_energy hartree_fock_energy"))
        | _record("SpinModel", _PROBLEM, exact_energy=float)
        | _record("BinaryProblem", _PROBLEM, objective=str, variables=int, optimum=float)
    ),
    "optimizers": lambda: _list(_record("Optimizer", _of(str, "name goes_by package does"))),
    "deploy": lambda: _record("Notifications", done=list[str], test_sent=bool),
    "journal backup": lambda: _backups().Copied,
    "journal restore": lambda: _backups().Restored,
    "emulator ledger": _ledger,
    "up": _stack,
    "down": lambda: _record("Stopped", home=str, stopped=list[str]),
    "status": _stack,
    "config": lambda: _record(
        "Config",
        places=_list(_record("Place", _of(str, "place value source"))),
        settings=_list(_record("Setting", setting=str, algorithms=list[str], value=Any, source=str)),
        unknown_variables=list[str],
    ),
    "doctor": lambda: _doctor(),
}


class _PrintedJson(GenerateJsonSchema):
    """Generator for what is printed: a dataclass's object has all of its fields and no others."""

    def dataclass_schema(self, schema: DataclassSchema) -> JsonSchemaValue:
        """Return the schema of a dataclass."""
        return {**super().dataclass_schema(schema), "additionalProperties": False}

    def field_is_required(self, *_: Any, **__: Any) -> bool:
        """Return True: fields with a default are printed too."""
        return True


def schema_of(command: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of what a command prints with --json. Raises InputError if it prints none."""
    if command not in DOCUMENTS:
        hint = did_you_mean(command, DOCUMENTS, otherwise="`hybridloop schema` lists them.")
        raise InputError("command", f"{command!r} prints no JSON document", hint)
    schema = TypeAdapter(DOCUMENTS[command]()).json_schema(mode="serialization", schema_generator=_PrintedJson)
    title = f"hybridloop {command} --json"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}
