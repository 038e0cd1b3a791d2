"""A flow run that a worker took and could not start, as requests failed, waits for a worker again at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deployments.worker_helpers import Place, of_hybridloop, worker
from tests.restricted_server import restricted_server
from tests.server_share import ServerShare
from tests.waiting import eventually

pytestmark = pytest.mark.slow


def take(path: str, body: bytes) -> bool:
    """True for the request that takes a flow run."""
    return path.endswith("/set_state") and b'"PENDING"' in body and b'"Submitting"' not in body


def label(path: str, body: bytes) -> bool:
    """True for the request after which a worker starts the process."""
    return path.endswith("/labels")


@pytest.mark.parametrize(("lost", "how"), [(take, "answer"), (label, "request"), (label, "busy")])
def test_a_flow_run_whose_start_was_lost_is_started_again(
    lost: Callable[[str, bytes], bool], how: str, place: Place, share: ServerShare, tmp_path: Path
) -> None:
    left = [how]

    def loses(path: str, body: bytes) -> str:
        return left.pop() if left and lost(path, body) else ""

    environ = place.at.shell.environ
    with restricted_server(environ["PREFECT_API_URL"]) as proxy:
        proxy.is_open, proxy.loses = True, loses
        # no retries: each loss ends an attempt of the worker
        through = {**environ, "PREFECT_API_URL": proxy.api_url, "PREFECT_CLIENT_MAX_RETRIES": "0"}
        with worker(through, tmp_path, of_hybridloop(share.name)):
            parameters = {"problem": {"name": "h2"}, "settings": {"seed": 7}}
            run = place.client.create_flow_run_from_deployment(place.deployment, parameters=parameters)
            eventually(lambda: place.state(run).is_final())
            assert not left
            names = [state.name for state in place.client.read_flow_run_states(run.id)]
            assert names.count("AwaitingRetry") == 1
            assert place.state(run).is_completed()
            assert place.record(run).result is not None
