"""Fixtures of the checkout's deployments, and of a place for the runs of one."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse

from hybridloop.flows.algorithms import vqe
from hybridloop.local_stack import PrefectServer
from tests.deployments.checkout_helpers import LOCAL_TRY, WRITTEN, full_name, prefect_inside
from tests.deployments.worker_helpers import POOL, Place, place_for
from tests.paths import ROOT
from tests.prefect_server import prefect_client
from tests.server_share import ServerShare, remove_pools


@pytest.fixture(scope="module")
def names_of_the_guide(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    """Hold the guide's pool and deployments, which are removed at the module's end.

    Tests that can do without the guide's names deploy with `share`.
    """
    with prefect_client(prefect_server) as client:
        try:
            yield client
        finally:
            remove_pools(client, POOL)


@pytest.fixture(scope="module")
def deployed(names_of_the_guide: SyncPrefectClient) -> dict[str, DeploymentResponse]:
    """Deploy the file as the guide says; return the deployments by name."""
    with contextlib.chdir(ROOT):
        for command in LOCAL_TRY[0][1:-1]:
            done = prefect_inside(*shlex.split(command)[1:])
            assert done.exit_code == 0, (command, done.output)
    return {full_name(each): names_of_the_guide.read_deployment_by_name(full_name(each)) for each in WRITTEN}


@pytest.fixture(scope="module")
def place(
    prefect_server: PrefectServer, share: ServerShare, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Hold a pool with the share's name and a deployment in it, and the service and the journal of its workers."""
    with prefect_client(prefect_server) as client:
        deployment = share.deploy(client, vqe)
    with place_for(prefect_server, deployment, tmp_path_factory.mktemp("workers")) as held:
        yield held
