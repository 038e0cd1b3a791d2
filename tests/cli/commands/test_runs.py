"""`hybridloop runs …` with real processes: a killed, stopped or cancelled run resumes to the same answer."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from azure.quantum.job.session import Session
from prefect.client.orchestration import get_client
from prefect.states import Cancelling

from hybridloop.journal import Journal, RunRecord, journal_url
from hybridloop.local_stack import PrefectServer
from hybridloop.local_stack.processes import wait_until
from tests.cli.shell_helpers import CommandResult, Shell, WorkspaceShell, run_in_process
from tests.conftest import Emulator, running_emulator
from tests.prefect_server import prefect_client
from tests.waiting import PATIENCE_S, eventually

SETTINGS = {"ansatz": "uccsd", "seed": 7, "batching": "off"}
RUN = ("run", "vqe", "h2", "--ansatz", "uccsd", "--seed", "7", "--batching", "off")
KILLED = -signal.SIGKILL
ANSWER = ("value", "standard_error", "interval95", "parameters", "rounds", "shots", "history")

# every poll of a round's jobs is slow, so that no run ends before it receives its signal or request
SLOWLY = {"rules": [{"fault": "slow-answer", "operation": "list", "seconds": 6}]}

# requests six rounds, and prints the result
SCRIPT = """
import hybridloop as hl
from qiskit import QuantumCircuit
circuit = QuantumCircuit(2)
circuit.h(0)
circuit.cx(0, 1)
circuit.measure_all()
with hl.open_session("rigetti.sim.qvm", run_key="by-hand", seed=5) as session:
    sampler = session.sampler(shots=100)
    print([sampler.run([circuit]).result()[0].data.meas.get_counts() for _ in range(6)], session.replayed)
"""


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that ended early, and the result of resuming it."""

    code: int
    out: str
    err: str
    shown: RunRecord
    sessions: list[str]
    resumed: dict[str, Any]
    sessions_in_the_end: list[str]


def journal_of(shell: Shell) -> Journal:
    default = journal_url(Path(shell.environ["HYBRIDLOOP_HOME"]) / "journal.db")
    return Journal(shell.environ.get("HYBRIDLOOP_JOURNAL", default))


def answer(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in ANSWER}


def begun(shell: Shell, service: Emulator, key: str) -> WorkspaceShell:
    """Return the shell of a workspace in which a run of this key was begun, for the plain host."""
    at = shell.at(service, f"runs-{key}")
    at.begin_plainly(key, "vqe", "h2", **SETTINGS)
    return at


@pytest.fixture(scope="module")
def reference(plain_shell: Shell, emulator: Emulator) -> tuple[WorkspaceShell, dict[str, Any]]:
    """Return the same run, uninterrupted."""
    at = begun(plain_shell, emulator, "uninterrupted")
    return at, at.shell.json_inside(*RUN, "--run-key", "uninterrupted")


@pytest.fixture(scope="module")
def killed(
    plain_shell: Shell, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, WorkspaceShell]:
    """Kill two runs during the submission of a round; each has its own journal."""
    at = {}
    with ExitStack() as running:
        runs = []
        for key in ("killed", "swept"):
            journal = journal_url(tmp_path_factory.mktemp(key) / "journal.db")
            at[key] = begun(plain_shell.with_variables(HYBRIDLOOP_JOURNAL=journal), emulator, key)
            dying = at[key].shell.with_variables(HYBRIDLOOP_CRASH_AT="put.after:8")
            runs.append(running.enter_context(dying.start(*RUN, "--run-key", key, "--quiet")))
            running.callback(runs[-1].kill)
        for run in runs:
            run.communicate(timeout=PATIENCE_S)
        assert [run.returncode for run in runs] == [KILLED, KILLED]
    return at


@pytest.mark.claim("repeats no measurement", "to the last digit", "A resumed run's result")
def test_a_killed_run_resumes_to_the_uninterrupted_answer(
    killed: dict[str, WorkspaceShell], emulator: Emulator, reference: tuple[WorkspaceShell, dict[str, Any]]
) -> None:
    at = killed["killed"]
    with journal_of(at.shell) as journal:
        shown = journal.run("killed")
    assert (shown.status, at.session_statuses()) == ("running", ["Executing"])
    resumed = at.shell.json_inside("runs", "resume", "killed", "--quiet")
    assert answer(resumed) == answer(reference[1])
    assert resumed["resumed"] is True
    assert at.session_statuses() == ["Succeeded"]  # the open session was continued
    books = emulator.admin(f"ledger?run={shown.uid}")
    assert (len(books["entries"]), books["duplicates"]["count"]) == (reference[1]["jobs"]["total"], 0)


def test_close_orphans_closes_the_session_of_a_killed_run_and_no_other(killed: dict[str, WorkspaceShell]) -> None:
    at = killed["swept"]
    # a session whose jobs still run is closed once they end
    eventually(lambda: all(job.details.status == "Succeeded" for job in at.workspace.list_jobs()))
    other = Session(workspace=at.workspace, target="rigetti.sim.qvm", name="somebody else's").open()
    (row,) = at.shell.json_inside("sessions", "close-orphans")
    assert (row["run_key"], row["done"]) == ("swept", "closed: Succeeded")
    (theirs,) = [session for session in at.workspace.list_sessions() if session.id == other.id]
    assert theirs.details.status == "Waiting"
    with journal_of(at.shell) as journal:
        assert journal.run("swept").status == "interrupted"


def test_a_used_key_gives_the_stored_result_and_refuses_other_settings(
    reference: tuple[WorkspaceShell, dict[str, Any]],
) -> None:
    at, document = reference
    again = at.shell.json_inside(*RUN, "--run-key", "uninterrupted")
    assert again == document
    assert len(at.session_statuses()) == 1
    other = run_in_process(at.shell.environ, *RUN, "--run-key", "uninterrupted", "--shots", "100")
    assert other.code == 2
    assert other.err.startswith("hybridloop: --shots: run 'uninterrupted' was started with another value")


def test_a_run_is_recomputed_from_its_counts_and_exported_completely(
    reference: tuple[WorkspaceShell, dict[str, Any]], tmp_path: Path
) -> None:
    at, document = reference
    verified = at.shell.json_inside("runs", "verify", "uninterrupted")
    assert (verified["value"], verified["agrees"]) == (document["value"], True)
    assert verified["jobs"] == document["jobs"]["total"]
    done = run_in_process(at.shell.environ, "runs", "export", "uninterrupted", "--output", str(tmp_path / "run.json"))
    assert done.code == 0, done.err
    text = (tmp_path / "run.json").read_text("utf-8")
    exported = json.loads(text)
    assert exported["result"]["value"] == document["value"]
    jobs = [job for round_ in exported["rounds"] for job in round_["jobs"]]
    assert sum(sum(job["counts"].values()) for job in jobs) == document["shots"]
    assert at.shell.environ["AZURE_QUANTUM_CONNECTION_STRING"].partition("ApiKey=")[2].partition(";")[0] not in text


@pytest.fixture(scope="module")
def slow_service() -> Iterator[Emulator]:
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def ended_early(plain_shell: Shell, slow_service: Emulator) -> dict[str, EndedRun]:
    """End runs early in each way, and resume them; return both states by way.

    One parked by itself; the others were ended from outside after their first round.
    """
    ways = ("SIGTERM", "SIGINT", "stopped")
    slow_service.admin("faults", SLOWLY)
    at = {way: begun(plain_shell, slow_service, way) for way in (*ways, "parked")}
    with ExitStack() as running:
        parking = {"parked": ("--detach-after", "0.2")}
        commands = {way: (*RUN, "--run-key", way, *parking.get(way, ())) for way in at}
        runs = {way: running.enter_context(at[way].shell.start(*command)) for way, command in commands.items()}
        for run in runs.values():
            running.callback(run.kill)
        for way in ways:
            after_its_first_round(runs[way])
        runs["SIGTERM"].send_signal(signal.SIGTERM)
        runs["SIGINT"].send_signal(signal.SIGINT)
        assert plain_shell.json_inside("runs", "stop", "stopped")["stop_requested"] is True
        ends = {}
        for way, run in runs.items():
            out, err = run.communicate(timeout=PATIENCE_S)
            ends[way] = CommandResult(run.returncode, out, err)
    slow_service.admin("faults", {"rules": []})
    return {way: resumed(at[way], way, end) for way, end in ends.items()}


def after_its_first_round(run: subprocess.Popen[str]) -> None:
    """Wait until a command has shown its first round."""
    assert run.stderr is not None
    assert run.stderr.readline().startswith("angles searched on ")
    assert run.stderr.readline().startswith("round   1")


def resumed(at: WorkspaceShell, key: str, end: CommandResult) -> EndedRun:
    """Show a run that has ended, and resume it."""
    with journal_of(at.shell) as journal:
        shown = journal.run(key)
    # a session that is closed while its jobs run ends with the last of them
    wait_until(lambda: "Executing" not in at.session_statuses(), PATIENCE_S)
    sessions = at.session_statuses()
    gone_on = at.shell.json_inside("runs", "resume", key, "--quiet", "--detach-after", "10m")
    return EndedRun(end.code, end.out, end.err, shown, sessions, gone_on, at.session_statuses())


def check_end(run: EndedRun, end: tuple[int, str], uninterrupted: dict[str, Any], service: Emulator) -> None:
    """Check the exit code and the status of a run that ended early, its sessions, and its answer after a resume."""
    assert "Traceback" not in run.err
    assert (run.code, run.shown.status) == end
    assert run.sessions == ["Succeeded"]
    assert answer(run.resumed) == answer(uninterrupted)
    books = service.admin(f"ledger?run={run.shown.uid}")
    assert (len(books["entries"]), books["duplicates"]["count"]) == (uninterrupted["jobs"]["total"], 0)
    assert [session["status"] for session in run.resumed["sessions"]] == run.sessions_in_the_end
    assert set(run.sessions_in_the_end) == {"Succeeded"}


@pytest.mark.parametrize(
    ("way", "code", "status"),
    [
        ("SIGTERM", 143, "interrupted"),
        ("SIGINT", 130, "interrupted"),
        ("stopped", 3, "stopped"),
        ("parked", 3, "parked"),
    ],
)
def test_a_run_that_ended_early_closes_its_session_and_resumes_to_the_same_answer(
    way: str,
    code: int,
    status: str,
    ended_early: dict[str, EndedRun],
    reference: tuple[WorkspaceShell, dict[str, Any]],
    slow_service: Emulator,
) -> None:
    check_end(ended_early[way], (code, status), reference[1], slow_service)


def test_a_stopped_run_prints_its_result_so_far(ended_early: dict[str, EndedRun]) -> None:
    out = ended_early["stopped"].out
    first = out.splitlines()[0]  # the stop may come before the first round is complete
    assert first.endswith((" hartree so far, stopped", "h2: no round is complete, stopped"))
    assert "next     hybridloop runs resume stopped" in out


def test_an_interrupted_run_prints_how_to_resume(ended_early: dict[str, EndedRun]) -> None:
    for way in ("SIGINT", "SIGTERM"):
        assert f"hybridloop runs resume {way}" in ended_early[way].err
        err = ended_early[way].err  # it depends on the moment of the signal
        none = "the session has been closed, with no job in flight" in err
        assert none or "the session has been closed; its jobs in flight were left to the service" in err
        assert none or "interrupted: no job is in flight" not in err
        assert ended_early[way].out == ""


@pytest.mark.usefixtures("prefect_server")
def test_prefect_shows_a_run_that_was_stopped_or_parked(shell: Shell, emulator: Emulator) -> None:
    at = shell.at(emulator, "runs-in-prefect")
    for key, limit in (("stopped", ("--max-jobs", "1")), ("parked", ("--detach-after", "0.000001"))):
        assert run_in_process(at.shell.environ, *RUN, "--run-key", key, *limit).code == 3
        assert state_in_prefect(shell, key) == ("COMPLETED", key.capitalize())


def state_in_prefect(shell: Shell, key: str) -> tuple[str, str | None]:
    """Return the type and the name of the state of the run's flow run."""
    with journal_of(shell) as journal, get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(journal.run(key).flow_run_id)).state
    assert state is not None
    return state.type.value, state.name


@pytest.mark.slow
def test_a_run_that_is_cancelled_in_prefect_resumes(
    shell: Shell,
    slow_service: Emulator,
    prefect_server: PrefectServer,
    reference: tuple[WorkspaceShell, dict[str, Any]],
) -> None:
    slow_service.admin("faults", SLOWLY)
    at = shell.at(slow_service, "runs-cancelled")
    with at.shell.start(*RUN, "--run-key", "cancelled") as run, ExitStack() as leaving:
        leaving.callback(run.kill)
        after_its_first_round(run)
        with journal_of(shell) as journal, prefect_client(prefect_server) as client:
            client.set_flow_run_state(UUID(journal.run("cancelled").flow_run_id), Cancelling())
        out, err = run.communicate(timeout=PATIENCE_S)
    slow_service.admin("faults", {"rules": []})
    assert "hybridloop runs resume cancelled" in err
    assert state_in_prefect(shell, "cancelled") == ("CANCELLED", "Cancelled")
    end = resumed(at, "cancelled", CommandResult(run.returncode, out, err))
    check_end(end, (130, "interrupted"), reference[1], slow_service)


def test_a_killed_script_resumes_when_it_is_started_again(plain_shell: Shell, emulator: Emulator) -> None:
    at = plain_shell.at(emulator, "by-hand")
    died = at.shell.with_variables(HYBRIDLOOP_CRASH_AT="commit.after:4").run_python("-c", SCRIPT)
    assert died.returncode == KILLED
    told = run_in_process(at.shell.environ, "runs", "resume", "by-hand")
    assert told.code == 2
    assert "Start the script again with run_key='by-hand'" in told.err
    first, again = (at.shell.run_python("-c", SCRIPT) for _ in range(2))
    assert first.returncode == 0, first.stderr
    found, _, replayed = first.stdout.rpartition(" ")
    assert int(replayed) == 4
    assert again.stdout == f"{found} 6\n"
    assert at.session_statuses() == ["Succeeded"]
    with journal_of(plain_shell) as journal:
        assert journal.run("by-hand").status == "measured"
