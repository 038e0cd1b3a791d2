"""The Prefect server dies or hangs during a run: the result is neither lost nor kept back, and nothing else hangs."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from hybridloop import local_stack as stack
from hybridloop.journal import RunRecord, open_journal
from hybridloop.runtime.signals import AFTER_THE_END
from tests.cli.shell_helpers import Shell, WorkspaceShell
from tests.conftest import Emulator, running_emulator
from tests.deployments.worker_helpers import of_hybridloop, worker
from tests.long_form import long_form, short_or_long
from tests.prefect_server import as_own_server, copy_server, own_environ, prefect_client, server_folder
from tests.restricted_server import restricted_server
from tests.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.slow  # a stack of its own

WRITES = 15  # requests of a deployment that change the server: block, pool, flows, deployments, seven automations

SCRIPT = """
import sys
import hybridloop as hl
def say(update):
    print("round", file=sys.stderr, flush=True)

result = hl.vqe("h2", ansatz="uccsd", seed=7, run_key="of-a-script", on_progress=say)
print(result.status, flush=True)
"""
SESSION_FLOW = """
import sys
from qiskit import QuantumCircuit
import hybridloop as hl

circuit = QuantumCircuit(1)
circuit.h(0)
circuit.measure_all()

@hl.session_flow(target="rigetti.sim.qvm", seed=7)
def three_rounds(session):
    for _ in range(3):
        session.sampler(shots=10).run([circuit]).result()
        print("round", file=sys.stderr, flush=True)
    return "measured"

print(three_rounds(run_key="of-a-session-flow"), flush=True)
"""


@pytest.fixture(scope="module")
def slow_service() -> Iterator[Emulator]:
    """Delay every poll of a round's jobs by a second, so that a run of three rounds lasts after the first."""
    with running_emulator() as running:
        running.admin("faults", {"rules": [{"fault": "slow-answer", "operation": "list", "seconds": 1}]})
        yield running


@pytest.fixture(scope="module")
def own_shell(tmp_path_factory: pytest.TempPathFactory, migrated_server: Path) -> Iterator[Shell]:
    """Return a shell with its own stack, whose server can be killed and stopped."""
    environ = own_environ(tmp_path_factory.mktemp("away"))
    copy_server(migrated_server, server_folder(environ))
    try:
        yield Shell(environ)
    finally:
        stack.down(environ)


@pytest.fixture
def mine(own_shell: Shell, slow_service: Emulator) -> WorkspaceShell:
    """Return the shell in a workspace of the test's own, with a server that runs."""
    assert own_shell.run("up").returncode == 0
    return own_shell.at(slow_service, f"away-{secrets.token_hex(4)}")


@contextmanager
def signalled_after(
    rounds: int, run: subprocess.Popen[str], shell: Shell, number: signal.Signals
) -> Iterator[subprocess.Popen[str]]:
    """Send the Prefect server a signal after so many rounds of a run; it goes on at the end, if it was stopped."""
    (server,) = [part for part in shell.json("status")["parts"] if part["part"] == "prefect"]
    try:
        assert run.stderr is not None
        for _ in range(rounds):
            # not the line that names the jobs of a round in flight, which a loaded machine may print
            told = iter(run.stderr.readline, "")
            assert any(line.startswith("round") and " in flight, " not in line for line in told)
        os.kill(server["pid"], number)
        yield run
    except BaseException:  # an interrupted test must not leave the process behind
        run.kill()
        raise
    finally:
        if number is signal.SIGSTOP:
            os.kill(server["pid"], signal.SIGCONT)


def stored(mine: WorkspaceShell, key: str) -> RunRecord:
    """Return a run of the stack's journal, at once: a signal must come before Prefect is given up."""
    with open_journal(mine.shell.environ) as journal:
        return journal.run(key)


def test_a_run_whose_prefect_server_is_killed_ends_with_its_result_and_its_session_closed(mine: WorkspaceShell) -> None:
    with (
        mine.shell.start(
            "run", "vqe", "h2", "--ansatz", "uccsd", "--seed", "7", "--run-key", "killed", "--json"
        ) as started,
        signalled_after(1, started, mine.shell, signal.SIGKILL) as run,
    ):
        out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, err
    result = json.loads(out)
    assert result["status"] == "converged"
    ways = ["Prefect could not store the end of the run, which is finished", "Prefect's server has not answered"]
    assert sum(map(err.count, ways)) == 1  # by how soon Prefect's client gives up
    assert "Traceback" not in err
    assert mine.session_statuses() == ["Succeeded"]
    record = stored(mine, "killed")
    assert record.result is not None
    assert (record.status, record.result["value"]) == ("converged", result["value"])


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_server_that_hangs_keeps_no_result_back(mine: WorkspaceShell, rounds: int) -> None:
    with (
        mine.shell.start("run", "vqe", "h2", "--ansatz", "uccsd", "--seed", "7", "--json") as started,
        signalled_after(rounds, started, mine.shell, signal.SIGSTOP) as run,
    ):
        out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, err
    assert json.loads(out)["status"] == "converged"
    is_told = err.count("Prefect's server has not answered") == 1
    assert is_told or rounds == 2  # where the end may have reached the server just before
    assert "Traceback" not in err
    assert mine.session_statuses() == ["Succeeded"]


def test_doctor_finds_workers_whose_server_is_down(mine: WorkspaceShell, tmp_path: Path) -> None:
    shell = mine.shell
    with worker(shell.environ, tmp_path, of_hybridloop(f"down-{tmp_path.name}")) as held:
        eventually(lambda: "started!" in (tmp_path / "worker.log").read_text(encoding="utf-8"))
        (server,) = [part for part in shell.json("status")["parts"] if part["part"] == "prefect"]
        os.kill(server["pid"], signal.SIGKILL)
        eventually(lambda: shell.json("status")["parts"][0]["state"] == "stopped")
        found = shell.run("doctor")
        assert found.returncode == 1
        assert "not running, and these workers wait for it: process " in found.stdout
        assert any(f"process {child.pid}" in found.stdout for child in held.children())
        assert shell.run("up").returncode == 0
        assert shell.run("doctor").returncode == 0


def test_one_ctrl_c_ends_the_wait_for_a_server_that_hangs_and_leaves_the_status_as_it_is(mine: WorkspaceShell) -> None:
    with (
        mine.shell.start("run", "vqe", "h2", "--ansatz", "uccsd", "--seed", "7", "--run-key", "waits") as started,
        signalled_after(1, started, mine.shell, signal.SIGSTOP) as run,
    ):
        eventually(lambda: stored(mine, "waits").status == "converged")
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=PATIENCE_S)
    assert (run.returncode, out) == (130, "")
    assert AFTER_THE_END in err
    assert stored(mine, "waits").status == "converged"


@pytest.mark.parametrize(("program", "said"), [(SCRIPT, "converged"), (SESSION_FLOW, "measured")])
def test_a_script_has_its_result_from_a_server_that_hangs_and_ends(
    mine: WorkspaceShell, program: str, said: str
) -> None:
    with (
        mine.shell.start_python("-c", program) as started,
        signalled_after(1, started, mine.shell, signal.SIGSTOP) as run,
    ):
        out, err = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, err
    assert out.splitlines()[-1] == said
    assert "Error logging" not in err
    assert "Traceback" not in err
    assert mine.session_statuses() == ["Succeeded"]


def clear(client: SyncPrefectClient) -> None:
    """Delete all that deployments make."""
    for deployment in client.read_deployments():
        client.delete_deployment(deployment.id)
    for pool in client.read_work_pools():
        client.delete_work_pool(pool.name)
    for automation in client.read_automations():
        client.delete_automation(automation.id)
    for block in client.read_block_documents():
        client.delete_block_document(block.id)


def server_of(shell: Shell) -> stack.PrefectServer:
    """Return the stack's server, which runs."""
    server = stack.find_prefect(shell.environ)
    assert server is not None
    return server


@long_form
@pytest.mark.parametrize("step", short_or_long((4, 10), range(1, WRITES + 1)))
def test_a_server_that_is_killed_in_a_deployment_submits_nothing_and_the_same_command_completes_it(
    step: int, mine: WorkspaceShell
) -> None:
    """The server dies after a request that changed it, and before its answer."""
    command = ("deploy", "vqe", "h2", "--pool", "killed", "--cron", "0 2 * * *", "--notify", "http://127.0.0.1:1/")
    server = server_of(mine.shell)
    (part,) = [part for part in mine.shell.json("status")["parts"] if part["part"] == "prefect"]
    writes: list[str] = []

    def passes_on(method: str, path: str) -> bool:
        if method != "GET" and path.rsplit("/", 1)[-1] not in ("filter", "name"):
            writes.append(path)
            if len(writes) == step:
                os.kill(part["pid"], signal.SIGKILL)
        return len(writes) < step

    for _ in range(5):
        writes.clear()
        with prefect_client(server) as client:
            clear(client)
        with restricted_server(server.api_url) as proxy:
            proxy.passes_on = passes_on
            through = {**as_own_server(server), "PREFECT_API_URL": proxy.api_url, "PREFECT_CLIENT_MAX_RETRIES": "0"}
            deploying = mine.shell.with_variables(**through).run(*command)
        if "503 Service Unavailable" not in deploying.stderr:  # as it answers while its database is locked
            break
    assert len(writes) == step, deploying.stderr
    assert deploying.returncode == 1
    assert "Traceback" not in deploying.stderr
    assert "Nothing was submitted. The same command completes the deployment." in deploying.stderr
    assert "billed" not in deploying.stderr
    again = mine.shell.run(*command)
    assert again.returncode == 0, again.stderr
    with prefect_client(server_of(mine.shell)) as client:
        deployment = client.read_deployment_by_name("vqe/h2")
        assert (len(deployment.schedules), deployment.work_pool_name) == (1, "killed")
        (block,) = client.read_block_documents()
        assert block.name == "hybridloop-notify-vqe-h2-fb164913"
        kinds = ("attention", "ended-badly", "failed", "lags", "stalled", "success")
        own = [f"hybridloop-{kind} {deployment.id}" for kind in kinds]
        pool = client.read_work_pool("killed").id
        of_pool = [
            f"hybridloop-idle {pool}",
            *(f"hybridloop-{kind} {pool} {block.id}" for kind in ("full", "no-worker")),
        ]
        assert sorted(each.name for each in client.read_automations()) == sorted([*own, *of_pool, "hybridloop-silent"])
