"""`hybridloop run vqe` and its Python function, as a user runs them: real processes on a real local stack."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from hybridloop.local_stack.processes import MARK
from tests.cli.shell_helpers import CommandResult, Shell, WorkspaceShell
from tests.paths import DATA
from tests.waiting import eventually

H2_FILE = DATA / "H2_0.735.fcidump"
EXACT_H2 = -1.1373060357534004

# The documented keys of `run … --json`.
PROMISED = (
    "run_key algorithm problem target status reason value standard_error exact reference error parameters rounds jobs "
    "shots cost sessions wall_seconds resumed"
).split()

OF_THE_RUNS = {"STARTED_BY": "the three runs"}  # variable of all processes that the runs start

SCRIPT = """
import hybridloop as hl
result = hl.vqe("h2", seed=7)
print(result.to_json())
"""


@pytest.fixture(scope="module")
def runs(shell: Shell) -> dict[str, subprocess.CompletedProcess[str]]:
    """Start three runs of one seed at once; return their results."""
    shell = shell.with_variables(**OF_THE_RUNS)
    with ThreadPoolExecutor() as at_once:
        started = {
            "built-in": at_once.submit(shell.as_new().run, "run", "vqe", "h2", "--seed", "7", "--json"),
            "file": at_once.submit(shell.run, "run", "vqe", str(H2_FILE), "--seed", "7", "--quiet"),
            "script": at_once.submit(shell.run_python, "-c", SCRIPT),
        }
        return {name: run.result() for name, run in started.items()}


@pytest.fixture(scope="module")
def document(runs: dict[str, subprocess.CompletedProcess[str]]) -> dict[str, Any]:
    """Return the only document on standard output; any other output would not parse."""
    run = runs["built-in"]
    assert run.returncode == 0, run.stderr
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def test_json_has_all_documented_keys_and_an_energy_within_its_error_of_the_exact_one(document: dict[str, Any]) -> None:
    assert set(PROMISED) <= document.keys()
    assert document["jobs"].keys() >= {"total", "evaluations", "pings", "retried"}
    assert document["cost"].keys() >= {"amount", "unit"}
    assert (document["problem"], document["target"], document["seed"]) == ("h2", "rigetti.sim.qvm", 7)
    assert document["status"] == "converged"
    error = document["value"] - EXACT_H2
    assert document["error"] == pytest.approx(error, abs=1e-9)
    assert document["standard_error"] <= 0.7e-3
    assert abs(error) <= min(1.6e-3, 3 * document["standard_error"])


def test_progress_is_one_line_a_round_on_standard_error(
    runs: dict[str, subprocess.CompletedProcess[str]], document: dict[str, Any]
) -> None:
    # on a loaded machine, a preparation that takes long has lines of its stages, and a round one of its jobs in flight
    origin = "angles from a classical simulation; jobs test them"
    _, found, rounds = runs["built-in"].stderr.partition(f"{origin}\n")
    assert found
    assert f"search: {origin}" in document["choices"]
    lines = [line for line in rounds.splitlines() if " in flight, " not in line]
    assert [line.split()[:2] for line in lines] == [["round", str(i + 1)] for i in range(document["rounds"])]
    assert all("session executing" in line for line in lines)


def test_a_molecule_in_a_file_runs_and_quiet_prints_only_the_result(
    runs: dict[str, subprocess.CompletedProcess[str]], shell: Shell
) -> None:
    run = runs["file"]
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    first, *lines = run.stdout.splitlines()
    assert first.startswith("H2_0.735: -1.13")
    assert first.endswith(" hartree, converged")
    assert len(lines) < 8
    assert max(map(len, lines)) <= 80
    told = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert abs(float(first.split()[1]) - EXACT_H2) <= 1.6e-3
    assert "mHa from the exact energy; " in told["error"]
    assert "USD (local: not billed) on rigetti.sim.qvm; " in told["cost"]
    session = told["run"].rpartition(" ")[2]
    assert session in [row["id"] for row in shell.json_inside("sessions", "list")]


def test_python_and_the_command_line_give_the_same_value_for_the_same_seed(
    runs: dict[str, subprocess.CompletedProcess[str]], document: dict[str, Any]
) -> None:
    run = runs["script"]
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    result = json.loads(run.stdout)
    for key in ("value", "standard_error", "parameters", "shots", "history"):
        assert result[key] == document[key]
    assert result["sessions"][0]["id"] != document["sessions"][0]["id"]


def test_only_the_stack_is_left_running(runs: dict[str, subprocess.CompletedProcess[str]], shell: Shell) -> None:
    def strays() -> list[str]:
        all_ = [_environ(process) for process in psutil.process_iter()]
        assert any(MARK in environ for environ in all_), "the stack itself should be seen"
        return [str(environ) for environ in all_ if _is_of(environ, shell) and MARK not in environ]

    eventually(lambda: not strays(), lambda: strays())


def _environ(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):  # ended meanwhile, or another user's
        return {}


def _is_of(environ: dict[str, str], shell: Shell) -> bool:
    """Return True for a process of the runs: other tests of this stack may have processes of their own."""
    is_here = environ.get("HYBRIDLOOP_HOME") == shell.environ["HYBRIDLOOP_HOME"]
    return is_here and OF_THE_RUNS.items() <= environ.items()


def test_a_target_that_does_not_sample_has_the_same_error_bar_in_progress_and_result(
    plain_workspace: WorkspaceShell, inside: Callable[..., CommandResult]
) -> None:
    plain_workspace.begin_plainly("rounding", "vqe", "h2", seed=7, target="ionq.simulator")
    options = "--seed 7 --target ionq.simulator --run-key rounding"
    outcome = inside(plain_workspace.shell.environ, "run", "vqe", "h2", *options.split())
    assert outcome.code == 0, outcome.err
    lines = outcome.err.splitlines()
    rounds = [line for line in lines if line.startswith("round ") and " in flight, " not in line]
    assert rounds
    assert all(" ± rounding  jobs " in line for line in rounds)
    assert " hartree (rounding), converged" in outcome.out
    assert "± 0.000000" not in outcome.err + outcome.out


@pytest.mark.claim("ADAPT-VQE", "This run ends `finished` (exit code 4)")
@pytest.mark.parametrize(
    ("run", "settings", "status", "code"),
    [
        ("adapt h2", {"shots": 20, "precision": 0.05}, "finished", 4),
        ("vqe heh+", {"search": "measured", "shots": 50, "precision": 0.05, "max-rounds": 1}, "measured", 0),
    ],
)
def test_a_result_without_convergence_is_measured_if_it_was_requested_so_and_else_exits_with_4(
    run: str,
    settings: dict[str, Any],
    status: str,
    code: int,
    inside: Callable[..., CommandResult],
    plain_workspace: WorkspaceShell,
) -> None:
    key, given = f"ends-{status}", {"seed": 7, **settings}
    plain_workspace.begin_plainly(key, *run.split(), **{name.replace("-", "_"): value for name, value in given.items()})
    options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    command = ["run", *run.split(), *options, "--run-key", key, "--quiet", "--json"]
    for _ in range(2):  # the second time from the journal
        outcome = inside(plain_workspace.shell.environ, *command)
        assert (outcome.code, json.loads(outcome.out)["status"]) == (code, status), outcome.err
