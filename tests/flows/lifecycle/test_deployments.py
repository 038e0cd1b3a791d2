"""The deployment of a sweep's points has workers online, and preferably no schedule."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import IntervalSchedule

from hybridloop.errors import InputError
from hybridloop.flows.deploying.deployments import find_deployment
from hybridloop.local_stack import PrefectServer
from tests.prefect_server import prefect_client
from tests.server_share import ServerShare


@pytest.fixture(scope="module")
def client(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with prefect_client(prefect_server) as opened:
        yield opened


@pytest.fixture
def algorithm(client: SyncPrefectClient, prefect_server: PrefectServer, share: ServerShare) -> str:
    """A flow's name, with three deployments: without workers, with a schedule, and with workers but no schedule."""
    name = f"{share.name}-{secrets.token_hex(4)}"
    flow = client.create_flow_from_name(name)
    for pool in ("idle", "served"):
        client.create_work_pool(WorkPoolCreate(name=f"{name}-{pool}", type="process"))
    beat = f"{prefect_server.api_url}/work_pools/{name}-served/workers/heartbeat"
    user, _, password = prefect_server.environment["PREFECT_API_AUTH_STRING"].partition(":")
    httpx.post(beat, json={"name": "worker"}, auth=(user, password)).raise_for_status()
    daily = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=86_400.0), active=False)  # type: ignore[arg-type]
    client.create_deployment(flow, "a", work_pool_name=f"{name}-idle")
    client.create_deployment(flow, "b", work_pool_name=f"{name}-served", schedules=[daily])
    client.create_deployment(flow, "c", work_pool_name=f"{name}-served")
    return name


def test_points_go_to_a_deployment_with_a_worker_and_without_a_schedule(
    client: SyncPrefectClient, algorithm: str
) -> None:
    found = find_deployment(client, algorithm, None)
    assert found is not None
    assert (found.name, found.workers) == (f"{algorithm}/c", 1)
    assert find_deployment(client, f"no-{algorithm}", None) is None


def test_a_deployment_requested_by_name_needs_no_online_worker(client: SyncPrefectClient, algorithm: str) -> None:
    for name, workers in (("a", 0), ("b", 1)):
        found = find_deployment(client, algorithm, f"{algorithm}/{name}")
        assert found is not None
        assert (found.name, found.workers) == (f"{algorithm}/{name}", workers)
    for wanted in (f"{algorithm}/d", f"other/{algorithm}", algorithm):
        with pytest.raises(InputError, match="deployment"):
            find_deployment(client, algorithm, wanted)
