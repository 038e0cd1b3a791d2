"""Runs on the plain host: this process alone, with the same journal, caps, signals and digits as in Prefect."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import hybridloop as hl
from hybridloop.azure.listing import list_sessions
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.housekeeping import housekeeping
from hybridloop.journal import open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.reports.verify import verify_run
from hybridloop.runs.resumable import reason_to_skip
from hybridloop.runs.stored_run import load_run
from hybridloop.settings import ProblemText
from tests.cli.shell_helpers import Shell, environment
from tests.conftest import Emulator
from tests.flow_calls import call_flow
from tests.paths import DATA

H2 = ProblemText(name="h2")
SETTINGS = {"seed": 7, "precision": 0.01, "search": "measured"}
EXACTLY = ("value", "standard_error", "parameters", "rounds", "shots", "jobs", "history", "table", "choices")
PROGRAM = """
import sys
import hybridloop as hl

print(hl.vqe("h2", seed=7, precision=0.01, search="measured", run_key=sys.argv[1], host="plain").status)
assert "prefect" not in sys.modules
"""


@pytest.fixture(autouse=True)
def _own_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", f"sqlite:///{tmp_path}/journal.db")


@pytest.mark.parametrize(
    ("algorithm", "problem", "options"),
    [
        ("vqe", "h2", SETTINGS),
        pytest.param("qaoa", "petersen", {"seed": 7}, marks=pytest.mark.slow),
        pytest.param("sqd", "h4", {"seed": 7, "max_subspace": 20}, marks=pytest.mark.slow),
    ],
)
def test_the_same_digits_as_in_prefect(
    algorithm: str,
    problem: str,
    options: dict[str, object],
    emulator: Emulator,
    stack_environ: dict[str, str],
    prefect_server: PrefectServer,
) -> None:
    workspace = emulator.workspace(f"plain-{algorithm}")
    call = getattr(hl, algorithm)
    plain = call(problem, run_key="plain", workspace=workspace, host="plain", **options)
    with environment({**stack_environ, "HYBRIDLOOP_JOURNAL": os.environ["HYBRIDLOOP_JOURNAL"]}):
        shown = call(problem, run_key="shown", workspace=workspace, **options)
    assert {name: getattr(plain, name) for name in EXACTLY} == {name: getattr(shown, name) for name in EXACTLY}
    assert [session.status for session in plain.sessions] == ["Succeeded"]
    with open_journal() as journal:
        stored = load_run(journal, "plain")
        assert stored.record.flow_run_id is None
        assert verify_run(stored).agrees


def test_a_cap_ends_it_and_its_caller_extends_it(emulator: Emulator) -> None:
    workspace = emulator.workspace("plain-capped")
    molecule = DATA / "fcidump" / "H3+_0.9.fcidump"
    first = hl.vqe(molecule, run_key="k", workspace=workspace, host="plain", max_shots=6000, ansatz="uccsd", seed=7)
    assert (first.status, bool(first.larger_cap)) == ("finished", True)
    last = hl.resume("k", max_shots=None, workspace=workspace)  # in the same host as before
    assert (last.status, last.revision) == ("converged", 2)
    with open_journal() as journal:
        assert journal.run("k").flow_run_id is None


def test_a_parked_run_is_left_to_its_caller(emulator: Emulator) -> None:
    workspace = emulator.workspace("plain-left")
    parked = hl.vqe("h2", run_key="plain", workspace=workspace, host="plain", detach_after=1e-6, seed=7)
    assert parked.status == "parked"
    with open_journal() as journal:
        record = journal.run("plain")
        assert "its caller resumes it" in str(reason_to_skip(record, journal.events(record.uid), rounds=lambda: 0))
    assert hl.resume("plain", detach_after=None, workspace=workspace).status == "converged"


@pytest.mark.slow
def test_housekeeping_resumes_parked_and_requested_runs_but_of_this_host_only_requested_ones(
    emulator: Emulator, prefect_server: PrefectServer
) -> None:
    workspace = emulator.workspace("plain-parked")
    plain = hl.vqe("h2", run_key="plain", workspace=workspace, host="plain", detach_after=1e-6, seed=7)
    assert plain.status == "parked"
    assert call_flow(vqe, workspace, H2, VqeSettings(seed=7, detach_after=1e-6), "parked").status == "parked"
    for key in ("requested", "stopped"):
        assert call_flow(vqe, workspace, H2, VqeSettings(seed=7, max_shots=1), key).status == "stopped"
    with open_journal() as journal:
        journal.request_resume(journal.run("requested").uid)
        became = call_flow(housekeeping, workspace)
        assert became == {"parked": "parked", "requested": "stopped"}  # with the limits that they have
        assert journal.run("requested").resume_requested is False
        journal.request_resume(journal.run("plain").uid)
        assert call_flow(housekeeping, workspace)["plain"] == "parked"
    assert {row["status"] for row in list_sessions(workspace, 20)} == {"Succeeded"}


@pytest.mark.parametrize(("host", "on"), [("theirs", None), ("plain", "a-pool")])
def test_another_host_is_refused(host: str, on: str | None) -> None:
    with pytest.raises(InputError, match="is no host of this run"):
        hl.vqe("h2", host=host, on=on)


def test_it_has_no_limits_of_prefect(emulator: Emulator) -> None:
    with pytest.raises(InputError, match="a plain host has no limits"):
        hl.vqe("h2", seed=7, host="plain", session_slots="a limit", workspace=emulator.workspace("plain-slots"))


@pytest.mark.claim("`kill -9`, power failure")
@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_digits_without_prefect(emulator: Emulator, tmp_path: Path) -> None:
    at = Shell(dict(os.environ), is_new=True).at(emulator, "plain-killed")
    killed = at.shell.with_variables(HYBRIDLOOP_CRASH_AT="result.after").run_python("-c", PROGRAM, "killed")
    assert killed.returncode == -signal.SIGKILL
    resumed = at.shell.run_python("-c", PROGRAM, "killed")
    unbroken = at.shell.run_python("-c", PROGRAM, "unbroken")
    assert (resumed.stdout, resumed.returncode) == (unbroken.stdout, 0), resumed.stderr
    one, other = hl.result("killed"), hl.result("unbroken")
    assert (one.value, one.parameters, one.jobs) == (other.value, other.parameters, other.jobs)
