"""Fixture of the checkout's deployments, on the Prefect server that all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.client.schemas.responses import DeploymentResponse

from hybridloop.local_stack import PrefectServer
from tests.deployments.checkout_helpers import DEPLOYS, WRITTEN, full_name, prefect, shown
from tests.prefect_server import prefect_client


@pytest.fixture(scope="session")
def deployed(prefect_server: PrefectServer) -> Iterator[dict[str, DeploymentResponse]]:
    """Deploy the file as the guide says; return the deployments by name. Their schedules are disabled at the end."""
    for command in shown(*DEPLOYS):
        done = prefect(prefect_server.environment, command)
        assert done.returncode == 0, done.stdout + done.stderr
    with prefect_client(prefect_server) as client:
        found = {full_name(each): client.read_deployment_by_name(full_name(each)) for each in WRITTEN}
        try:
            yield found
        finally:
            for deployment in found.values():
                client.pause_deployment(deployment.id)
