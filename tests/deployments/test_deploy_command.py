"""`hybridloop deploy`: a nightly run of an own molecule, with messages, on a stack that it starts."""

from __future__ import annotations

import contextlib
import queue
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.schedules import CronSchedule

from hybridloop import local_stack
from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import Shell
from tests.deployments.messages import heard as listening
from tests.deployments.worker_helpers import of_hybridloop, worker
from tests.paths import DATA
from tests.prefect_server import own_environ, prefect_client
from tests.waiting import PATIENCE_S, eventually

COMMAND = ("deploy", "vqe", "molecule.fcidump", "--pool", "nights", "--precision", "0.05", "--seed", "7")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Hold a home without a stack; what is started there is stopped at the end."""
    environ = own_environ(tmp_path / "home") | {"PREFECT_WORKER_QUERY_SECONDS": "1"}
    shutil.copy(DATA / "H2_0.735.fcidump", tmp_path / "molecule.fcidump")
    try:
        yield Shell(environ)
    finally:
        local_stack.down(environ)


def server_of(shell: Shell) -> PrefectServer:
    server = local_stack.find_prefect(shell.environ)
    assert server is not None
    return server


@pytest.mark.slow
def test_an_own_molecule_runs_on_a_schedule_and_tells_its_result(shell: Shell, tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path), listening() as (url, messages), listening() as (monitor, beats):
        untold = shell.run("deploy", "--test-notify")
        assert untold.returncode == 2
        assert "test_notify: this Prefect server has no automation of hybridloop." in untold.stderr
        first = shell.run(*COMMAND, "--cron", "0 2 * * *", "--notify", url, "--heartbeat", monitor)
        assert first.returncode == 0, first.stderr
        for secret in (url, monitor):  # each may have one
            assert secret not in first.stdout + first.stderr
        assert "created the work pool nights" in first.stdout
        assert "created the deployment vqe/molecule" in first.stdout
        assert "no cap bounds" not in first.stdout  # its jobs are free
        again = shell.run(*COMMAND, "--cron", "30 3 * * *", "--timezone", "Europe/Berlin", "--max-jobs", "50")
        assert again.returncode == 0, again.stderr
        assert again.stdout.splitlines() == [
            "updated the deployment vqe/molecule in the pool nights: it runs at '30 3 * * *' in Europe/Berlin",
            "a worker runs it: hybridloop worker --pool nights",
        ]
        with prefect_client(server_of(shell)) as client, worker(shell.environ, tmp_path, of_hybridloop("nights")):
            assert url not in str(client.read_block_documents(include_secrets=False))
            deployment = client.read_deployment_by_name("vqe/molecule")
            (schedule,) = deployment.schedules
            assert isinstance(schedule.schedule, CronSchedule)
            assert (schedule.schedule.cron, schedule.schedule.timezone) == ("30 3 * * *", "Europe/Berlin")
            assert deployment.parameters["problem"]["text"].lstrip().startswith("&FCI")
            wanted = {"precision": 0.05, "seed": 7, "max_jobs": 50, "resume_automatically": "interrupted"}
            assert deployment.parameters["settings"] == wanted
            assert [each.name for each in client.read_deployments()] == ["molecule"]  # the worker keeps house itself
            run = client.create_flow_run_from_deployment(deployment.id)

            def has_ended() -> bool:
                state = client.read_flow_run(run.id).state
                return state is not None and state.is_final()

            eventually(has_ended)
            message: dict[str, Any] = messages.get(timeout=PATIENCE_S)
        assert message["subject"].startswith("molecule: -1.1")
        assert "\n  cost " in message["body"]
        beat = beats.get(timeout=PATIENCE_S)
        assert beat["subject"].endswith(" ran")
        assert " is finished: " in beat["body"] or " is converged: " in beat["body"]
        assert beat["body"].endswith(". Cost: 0.00 USD (local: not billed).")
        paid = shell.run("deploy", "qaoa", "ring-8", "--target", "ionq.qpu.forte-1", "--pool", "nights")
        assert "no cap bounds what a run costs on ionq.qpu.forte-1: --max-cost would" in paid.stdout
        assert shell.json("deploy", "--test-notify") == {"done": [], "test_sent": True}
        assert messages.get(timeout=PATIENCE_S)["subject"] == "a test needs attention"
        with pytest.raises(queue.Empty):
            messages.get(timeout=1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("vqe", "molecule.fcidump", "--cron", "61 * * * *"), "cron: '61 * * * *' in 'UTC' is no schedule of cron."),
        (("vqe", "molecule.fcidump", "--shots", "0"), "--shots must be at least 1, got 0."),
        (("vqe", "nothing.xyz"), "problem: nothing.xyz: there is no such file."),
        (("vqe", "molecule.fcidump", "--notify", "mine"), "notify: Prefect has no notification block 'mine'."),
        (("vqe", "molecule.fcidump", "--notify", "ftp://x/y"), "notify: a URL of 'ftp' is none of a webhook."),
        (("vqe", "molecule.fcidump", "--heartbeat", "mine"), "heartbeat: Prefect has no notification block 'mine'."),
    ],
)
def test_what_cannot_be_deployed_is_refused_and_nothing_is_created(
    arguments: tuple[str, ...], says: str, stack_environ: dict[str, str], prefect_server: PrefectServer, tmp_path: Path
) -> None:
    shutil.copy(DATA / "H2_0.735.fcidump", tmp_path / "molecule.fcidump")
    with contextlib.chdir(tmp_path):
        refused = Shell(stack_environ).run("deploy", *arguments, "--pool", f"never-{tmp_path.name}")
    assert refused.returncode == 2
    assert says in refused.stderr
    with prefect_client(prefect_server) as client:
        assert not [each for each in client.read_work_pools() if each.name.startswith("never-")]
