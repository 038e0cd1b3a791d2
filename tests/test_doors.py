"""Every door by which jobs reach a service is held by limits of every scope that its runs have.

`DOORS` can't lack one: each public name, command, tool and method of a session is one of the doors, or none.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectException
from prefect.flow_engine import run_flow
from typer.main import get_command

import hybridloop as hl
from hybridloop import tasks
from hybridloop.assistant.allowance import TAG
from hybridloop.assistant.server import Tools
from hybridloop.cli.app import build_app
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError, LimitReached, ServiceUnreachable
from hybridloop.journal import open_journal
from hybridloop.journal.limits import Period, RunLimit
from hybridloop.local_stack import PrefectServer
from hybridloop.tasks.session import OpenSession
from tests.circuit_helpers import bell
from tests.cli.shell_helpers import Shell, run_in_process
from tests.conftest import Emulator, running_emulator
from tests.doors import DOORS, TARGET, Door, Place
from tests.paths import ROOT
from tests.prefect_server import prefect_client

ALL = 1e6  # USD
LIMITS_HOLD = pytest.mark.claim("never exceeds a limit over them")


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    """Return an emulator of the module's own, whose ledger has no other test's jobs."""
    with running_emulator() as running:
        yield running


@pytest.fixture
def place(stack_environ: dict[str, str], service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return a workspace, with a journal, of the test's own."""
    shell = Shell(stack_environ)
    at = shell.with_variables(HYBRIDLOOP_JOURNAL=f"sqlite:///{tmp_path}/journal.db").at(
        service, f"Doors-{uuid4().hex[:8]}"
    )
    for name in ("HYBRIDLOOP_JOURNAL", "AZURE_QUANTUM_CONNECTION_STRING"):
        monkeypatch.setenv(name, at.shell.environ[name])
    return Place(at)


def put_limits(amount: float, **scopes: str) -> None:
    """Put a limit of this amount for each scope, in place of all others."""
    with open_journal() as journal:
        for state in journal.limits():
            journal.remove_limit(state.limit.name)
        for kind, value in scopes.items():
            journal.put_limit(RunLimit(kind, "USD", amount, Period.EVER, {kind: value}, counts_local=True))


def in_a_deployed_flow(server: PrefectServer, call: Callable[[], None]) -> None:
    """Call from a user's own flow, in a flow run of a deployment that is a point of a sweep, as a worker does."""

    @flow(name="own", persist_result=False)
    def own() -> None:
        call()

    with prefect_client(server) as client:
        deployment = client.create_deployment(flow_id=client.create_flow(own), name="nightly")
        flow_run = client.create_flow_run_from_deployment(deployment, tags=["sweep:curve"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT__FLOW_RUN_ID", str(flow_run.id))
        run_flow(own, flow_run=flow_run)


PUBLIC = {
    **dict.fromkeys(ALGORITHMS, "Python"),
    "open_session": "script",
    "session_flow": "session flow",
    "resume": "extension",
    "reproduce": "reproduce",
    "sweep": "sweep",
    "run_housekeeping": "deployment",  # it starts runs again that have begun
}
READS = {  # public names that submit nothing
    *("ProblemText", "RoundUpdate", "RunResult", "RunSettings", "FailurePolicy", "SweepSpec", "__version__"),
    *(f"{name.capitalize()}Settings" for name in ALGORITHMS),
    *("ansatz", "backend", "doctor", "limits", "molecule", "plan", "problem", "qsharp", "remove_limit", "result"),
    *("sdk_workspace", "session", "sessions", "set_limit", "track"),
}
COMMANDS = {
    **{f"run {name}": "command" for name in ALGORITHMS},
    **{f"deploy {name}": "deployment" for name in ALGORITHMS},
    "worker": "deployment",
    "runs resume": "extension",
    "runs reproduce": "reproduce",
    "sweep": "sweep",
    "mcp": "assistant",
}
READING = {  # commands that submit nothing; `doctor --live` submits to free targets alone
    *(f"plan {name}" for name in ALGORITHMS),
    *("config", "cost", "doctor", "down", "emulator ledger", "emulator start", "env", "init", "journal backup"),
    *("journal restore", "limit list", "limit remove", "limit set", "limit show", "metrics", "molecule", "optimizers"),
    *(
        "portal",
        "problems",
        "runs cancel",
        "runs export",
        "runs follow",
        "runs list",
        "runs logs",
        "runs prune",
        "runs report",
    ),
    *(
        "runs samples",
        "runs show",
        "runs stop",
        "runs verify",
        "schema",
        "sessions close",
        "sessions close-orphans",
        "sessions jobs",
    ),
    *("sessions list", "sessions show", "status", "targets", "up"),
}
OF_A_SESSION = {
    "run": "script",
    "run_round": "own tasks",
    "sampler": "sampler",
    "estimator": "estimator",
    "backend": "backend",
    "ping": "ping",
}
OF_A_SESSION_READ = {
    *("check_deadline", "close", "cost", "details", "id", "jobs", "leave", "meter", "num_jobs", "open", "pings"),
    *("replayed", "retried", "sessions", "shots", "snapshot", "status", "structures_compiled"),
}
TASKS = {"open_session": "own tasks", "run_round": "own tasks", "keep_alive": "ping"}
TOOLS = {"run": "assistant"}
TOOLS_READ = {"balance", "cost", "follow", "plan", "problems", "result"}
SESSIONS = {"flows/lifecycle/acquire_session.py": "Python", "api/session.py": "script"}  # files that open a run's


def commands(command: Any, *names: str) -> Iterator[str]:
    """Yield the whole names of all commands below one."""
    if found := getattr(command, "commands", None):
        for name, each in found.items():
            yield from commands(each, *names, name)
    else:
        yield " ".join(names)


def public(of: type) -> set[str]:
    """Return the public names of a class."""
    return {name for name in vars(of) if not name.startswith("_")}


def opening() -> set[str]:
    """Return the product's files that import what opens the session of a run."""
    folder = ROOT / "hybridloop"
    found = [path for path in folder.rglob("*.py") if re.search(r"import .*\bopen_run_session\b", path.read_text())]
    return {path.relative_to(folder).as_posix() for path in found}


@pytest.mark.parametrize(
    ("names", "doors", "others"),
    [
        (lambda: set(hl.__all__), PUBLIC, READS),
        (lambda: set(commands(get_command(build_app()))), COMMANDS, READING),
        (lambda: public(OpenSession), OF_A_SESSION, OF_A_SESSION_READ),
        (lambda: public(Tools), TOOLS, TOOLS_READ),
        (lambda: set(tasks.__all__), TASKS, {"close_session"}),
        (opening, SESSIONS, set()),
    ],
    ids=["public names", "commands", "methods of a session", "tools of an assistant", "tasks", "files"],
)
def test_no_door_is_left_out(names: Callable[[], set[str]], doors: dict[str, str], others: set[str]) -> None:
    assert names() == doors.keys() | others  # a new name is a door of the table, or submits nothing
    assert not doors.keys() & others
    assert set(doors.values()) <= DOORS.keys()


@pytest.mark.slow
@pytest.mark.usefixtures("forked_points")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[LIMITS_HOLD] if name == "script" else []) for name in DOORS],
)
def test_what_a_door_pays_counts_under_all_its_scopes_and_nothing_is_paid_above_one(
    name: str, place: Place, service: Emulator, prefect_server: PrefectServer
) -> None:
    door: Door = DOORS[name]
    first, second = (f"{letter}-{uuid4().hex[:8]}" for letter in "ab")

    def paid() -> float:
        return float(service.admin("ledger")["money"].get("USD", 0.0))

    def pay(key: str) -> None:
        in_a_deployed_flow(prefect_server, lambda: door.pay(place, key))

    def scopes(key: str) -> dict[str, str]:
        values = {"tag": "lim", "target": TARGET, "workspace": place.at.workspace.name, "deployment": "own/nightly"}
        values["sweep"] = key if name == "sweep" else "curve"
        values["tag"] = TAG if name == "assistant" else "lim"
        return {kind: value for kind, value in values.items() if kind in door.scopes}

    before = paid()
    in_a_deployed_flow(prefect_server, lambda: door.before(place, first))
    put_limits(ALL, **scopes(first))
    pay(first)
    spent = paid() - before
    assert spent > 0.0
    with open_journal() as journal:
        counted = {state.limit.name: state.spent for state in journal.limits()}
    assert {kind: counted[kind] for kind in scopes(first)} == dict.fromkeys(scopes(first), pytest.approx(spent))
    in_a_deployed_flow(prefect_server, lambda: door.before(place, second))
    spent = paid() - before
    for kind, value in scopes(second).items():
        put_limits(0.0 if (name, kind) == ("sweep", "sweep") else spent + 0.01, **{kind: value})
        with suppress(LimitReached):
            pay(second)
        assert paid() - before == spent, kind


def test_costs_by_tag_are_those_of_the_ledger_for_ten_sessions_of_scripts(place: Place, service: Emulator) -> None:
    tag_of: dict[str, str] = {}
    for n in range(10):
        tag = ("night", "thesis", "-")[n % 3]
        key = None if n % 2 else f"script-{n}"
        tags = None if tag == "-" else [tag]
        with hl.open_session(TARGET, run_key=key, seed=n, tags=tags, debias=False) as session:
            session.run([bell()], shots=10 + n)
        tag_of[session.id] = tag
    expected: defaultdict[str, float] = defaultdict(float)
    for each in service.admin("ledger")["sessions"]:
        if each["id"] in tag_of:
            expected[tag_of[each["id"]]] += each["money"]["USD"]
    done = run_in_process(place.at.shell.environ, "cost", "--by", "tag", "--json")
    rows = {row["name"]: (row["runs"], row["local"]["USD"]) for row in json.loads(done.out)["rows"]}
    assert rows == {
        tag: (list(tag_of.values()).count(tag), pytest.approx(money, abs=1e-6)) for tag, money in expected.items()
    }


def test_a_run_whose_deployment_the_server_does_not_tell_is_refused_where_a_limit_counts_by_it(
    place: Place, prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> Any:
        raise PrefectException("no answer")

    monkeypatch.setattr(SyncPrefectClient, "read_deployment", refuse)
    in_a_deployed_flow(prefect_server, lambda: DOORS["script"].pay(place, "unlabelled"))
    assert "limits and reports by deployment do not find this run: no answer" in caplog.text
    put_limits(ALL, deployment="own/nightly")
    with pytest.raises(
        ServiceUnreachable, match="limit deployment counts by deployment, and Prefect's server does not"
    ):
        in_a_deployed_flow(prefect_server, lambda: DOORS["script"].pay(place, "refused"))
    with open_journal() as journal:
        assert journal.run_by_key("refused") is None


def test_jobs_without_a_maximum_price_need_one_where_a_limit_counts_them(place: Place) -> None:
    put_limits(ALL, tag="lim")
    with (
        pytest.raises(InputError, match="limit tag could be exceeded"),
        hl.open_session("rigetti.qpu.cepheus-1-108q", run_key="unbounded", tags=["lim"]),
    ):
        pass
    with open_journal() as journal:
        assert journal.run_by_key("unbounded") is None
