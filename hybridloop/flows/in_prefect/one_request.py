"""Client for what a run tells Prefect in passing: each request is sent once, and waits five seconds for its answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import SettingsContext, get_settings_context

from hybridloop.runtime.waits import ONE_REQUEST_S


@contextmanager
def client_without_retries(timeout_s: float = ONE_REQUEST_S) -> Iterator[SyncPrefectClient]:
    """Yield a client that sends each request once; by default Prefect's retry for minutes.

    Prefect has no option for one client, and its `temporary_settings` reads all settings again from the environment and
    files, which takes 30 ms.
    """
    context = get_settings_context()
    client_settings = context.settings.client.model_copy(update={"max_retries": 0})
    settings = context.settings.model_copy(update={"client": client_settings})
    with (
        SettingsContext(profile=context.profile, settings=settings),
        get_client(sync_client=True, httpx_settings={"timeout": timeout_s}) as client,
    ):
        yield client
