"""Fixture of the checkout's deployments, on the Prefect server that all tests share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from prefect.client.schemas.responses import DeploymentResponse

from hybridloop.local_stack import PrefectServer
from tests.deployments.checkout_helpers import LOCAL_TRY, PATH, WRITTEN, full_name, typed
from tests.prefect_server import prefect_client


@pytest.fixture(scope="session")
def deployed(
    prefect_server: PrefectServer, stack_environ: Mapping[str, str]
) -> Iterator[dict[str, DeploymentResponse]]:
    """Deploy the file as the guide says; return the deployments by name. Their schedules are disabled at the end."""
    done = typed({**stack_environ, "PATH": PATH}, LOCAL_TRY[0][:-1])
    assert done.returncode == 0, done.stdout + done.stderr
    with prefect_client(prefect_server) as client:
        found = {full_name(each): client.read_deployment_by_name(full_name(each)) for each in WRITTEN}
        try:
            yield found
        finally:
            for deployment in found.values():
                client.pause_deployment(deployment.id)
