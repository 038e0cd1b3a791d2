"""A worker's process runs the sweep's next points, each as its own flow run, until one does not complete."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import ConcurrencyLeaseHolder, FlowRun
from prefect.states import Cancelling, Scheduled

from hybridloop.flows.algorithms import vqe
from hybridloop.flows.in_prefect.process_reuse import PROCESS_LABEL
from hybridloop.journal import open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.runs.run import run_of_key
from tests.cli.shell_helpers import connection_string
from tests.conftest import Emulator
from tests.long_form import long_only
from tests.prefect_server import prefect_client
from tests.server_share import ServerShare
from tests.waiting import PATIENCE_S, eventually

KEYS = ("first", "capped", "stopped", "left")
LATER = timedelta(hours=1)  # no worker would start it before
SETTINGS = {"shots": 200, "precision": 0.05, "seed": 7}

pytestmark = [pytest.mark.slow, pytest.mark.long_form]


class Queue:
    """Flow runs of a deployment without a worker."""

    def __init__(self, client: SyncPrefectClient, share: ServerShare, sweep: str, settings: Mapping[str, Any]) -> None:
        """`settings` are the deployment's."""
        self._client, self._sweep = client, sweep
        self._deployment = share.deploy(client, vqe, parameters={"settings": settings})
        self.ids: dict[str, uuid.UUID] = {}

    def add(self, key: str, settings: Mapping[str, Any], delay: timedelta = timedelta()) -> None:
        """Schedule a flow run of a point."""
        parameters = {"problem": {"name": "h2"}, "settings": {**SETTINGS, **settings}, "run_key": self.run_key(key)}
        state: Any = Scheduled(scheduled_time=datetime.now(UTC) + delay)
        self.ids[key] = self._client.create_flow_run_from_deployment(
            self._deployment, parameters=parameters, state=state, tags=[f"sweep:{self._sweep}"]
        ).id

    def run_key(self, key: str) -> str:
        """Return the key of a point's run."""
        return f"{self._sweep}-{key}"

    def read(self, key: str) -> FlowRun:
        """Return a point's flow run."""
        return self._client.read_flow_run(self.ids[key])

    def start_process(self, key: str, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start the process of a flow run, as a worker does."""
        variables = {**os.environ, **environ, "PREFECT__FLOW_RUN_ID": str(self.ids[key])}
        return subprocess.Popen([sys.executable, "-m", "prefect.engine"], env=variables)


@pytest.mark.parametrize("end", ["Cancelled", pytest.param("Crashed", marks=long_only)])
def test_each_point_keeps_its_flow_run_its_session_its_limits_and_its_end(
    end: str, prefect_server: PrefectServer, share: ServerShare, emulator: Emulator
) -> None:
    """The third point is cancelled in Prefect, or its process gets the signal of a worker that is stopped."""
    name = f"reuse-{uuid.uuid4()}"
    text = connection_string(emulator.endpoint, emulator.api_key, name)
    environ = {**prefect_server.environment, "AZURE_QUANTUM_CONNECTION_STRING": text}
    with prefect_client(prefect_server) as client, open_journal() as journal:
        client.upsert_global_concurrency_limit_by_name(name, 1)
        holder = ConcurrencyLeaseHolder(type="flow_run", id=uuid.uuid4())
        client.increment_concurrency_slots_with_lease([name], 1, "concurrency", PATIENCE_S, holder)
        queue = Queue(client, share, name, {"max_shots": 1})
        queue.add("first", {"max_shots": 10_000_000})
        queue.add("capped", {}, LATER)
        queue.add("stopped", {"max_shots": 10_000_000, "session_slots": name}, 2 * LATER)  # it waits for the slot
        queue.add("left", {"max_shots": 10_000_000}, 3 * LATER)
        with queue.start_process("first", environ) as process:
            try:
                key = queue.run_key("stopped")
                eventually(lambda: run_of_key(journal, key) is not None, poll_s=0.1)
                if end == "Cancelled":
                    client.set_flow_run_state(queue.ids["stopped"], Cancelling())
                else:
                    process.send_signal(signal.SIGTERM)
                process.wait(PATIENCE_S)
            finally:
                process.kill()
        flow_runs = {key: queue.read(key) for key in KEYS}
        records = {key: run_of_key(journal, queue.run_key(key)) for key in KEYS}
        sessions = {key: [row.id for row in journal.sessions(each.uid)] for key, each in records.items() if each}
    states = {key: flow_run.state_name for key, flow_run in flow_runs.items()}
    assert states == {"first": "Completed", "capped": "Stopped", "stopped": end, "left": "Scheduled"}
    labels = [flow_runs[key].labels.get(PROCESS_LABEL) for key in KEYS]
    assert labels == [*[f"{labels[0]}"] * 3, None]
    assert json.loads(str(labels[0]))["pid"] == process.pid
    assert [len(sessions[key]) for key in KEYS[:3]] == [1, 1, 0]
    assert sessions["first"] != sessions["capped"]
    assert records["left"] is None
