"""A sweep's leading process is killed: the processes of its points end with it, and close their sessions."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from hybridloop.journal import open_journal
from hybridloop.targets import DEFAULT_TARGET
from tests.cli.shell_helpers import Shell
from tests.conftest import running_emulator
from tests.waiting import PATIENCE_S, eventually

SWEEP = "name: killed\nalgorithm: vqe\nproblems: [h2]\ndeployment: none\nsettings: {shots: 100}\n"

pytestmark = pytest.mark.slow


def test_a_point_ends_with_the_killed_sweep_and_its_session_is_closed(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    with running_emulator() as service:
        service.admin("targets", {DEFAULT_TARGET: {"queue_s": 3600}})
        at = shell.at(service, "killed-sweep")
        with at.shell.start("sweep", str(tmp_path / "sweep.yaml")) as leader:
            try:
                eventually(lambda: at.session_statuses() == ["Executing"])
                workers = [
                    child for child in psutil.Process(leader.pid).children() if "worker_process" in str(child.cmdline())
                ]
            finally:
                leader.kill()
            gone, _ = psutil.wait_procs(workers, timeout=PATIENCE_S)
        assert len(gone) == len(workers) == 1
        with open_journal(at.shell.environ) as journal:
            (run,) = journal.runs()
            assert run.status == "interrupted"
            (session,) = journal.sessions(run.uid)
            assert session.ended_at is not None  # its queued jobs are left to the service
