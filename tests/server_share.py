"""A test module's share of the Prefect server that all tests use: names and a journal that no other module has.

Fixtures `stack_environ`, `prefect_server` and `share` belong to one module. Work pools whose names begin with the
share's name are removed at its end, with their deployments, schedules and waiting flow runs.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from hybridloop.local_stack import PrefectServer
from tests.prefect_server import prefect_client

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


@dataclass(frozen=True, slots=True)
class ServerShare:
    """Environment with a journal, and a name for a work pool, deployments and tags, of one test module."""

    name: str
    environ: Mapping[str, str]

    @contextmanager
    def held_on(self, server: PrefectServer) -> Iterator[None]:
        """Let flows in this process use the journal; remove at the end what was deployed."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HYBRIDLOOP_JOURNAL", self.environ["HYBRIDLOOP_JOURNAL"])
            try:
                yield
            finally:
                with prefect_client(server) as client:
                    remove_pools(client, self.name)

    def deploy(self, client: SyncPrefectClient, flow: Any, **options: Any) -> UUID:
        """Deploy the installed flow under the share's name, in its work pool; nothing is pulled."""
        from prefect.client.schemas.actions import WorkPoolCreate
        from prefect.utilities.callables import parameter_schema
        from prefect.workers.process import ProcessWorker

        if self.name not in {pool.name for pool in client.read_work_pools()}:
            template = ProcessWorker.get_default_base_job_template()
            client.create_work_pool(WorkPoolCreate(name=self.name, type="process", base_job_template=template))
        return client.create_deployment(
            client.create_flow(flow),
            self.name,
            entrypoint=f"{flow.fn.__module__}.{flow.fn.__name__}",
            work_pool_name=self.name,
            pull_steps=[],
            parameter_openapi_schema=parameter_schema(flow).model_dump(),
            enforce_parameter_schema=True,
            **options,
        )


def new_share(environ: Mapping[str, str]) -> ServerShare:
    """Return a share of the stack of this environment, with a journal in the stack's folder."""
    name = f"tests-{secrets.token_hex(4)}"
    folder = Path(environ["HYBRIDLOOP_HOME"]) / "journals"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return ServerShare(name, {**environ, "HYBRIDLOOP_JOURNAL": f"sqlite:///{folder / name}.db"})


def remove_pools(client: SyncPrefectClient, name: str) -> None:
    """Remove the work pools whose names begin so, and their deployments with schedules and waiting flow runs."""
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

    for pool in [pool for pool in client.read_work_pools() if pool.name.startswith(name)]:
        of_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool.name]))
        for deployment in client.read_deployments(work_pool_filter=of_pool):
            client.delete_deployment(deployment.id)
        client.delete_work_pool(pool.name)


@pytest.fixture(scope="module")
def share(shared_environ: Mapping[str, str]) -> ServerShare:
    """Return the module's share of the stack that all tests use; take `prefect_server`, too, to deploy."""
    return new_share(shared_environ)


@pytest.fixture(scope="module")
def stack_environ(share: ServerShare) -> dict[str, str]:
    """Return the environment of processes that use the shared stack and the module's own journal."""
    return dict(share.environ)


@pytest.fixture(scope="module")
def prefect_server(shared_server: PrefectServer, share: ServerShare) -> Iterator[PrefectServer]:
    """Let flows that are called in this process run on the shared server, with the module's own journal."""
    with share.held_on(shared_server):
        yield shared_server
