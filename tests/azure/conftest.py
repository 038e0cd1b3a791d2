"""Fixtures of a hostile service: a proxy of the emulator that changes what it sends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from hybridloop.azure.client import ServiceClient
from tests.azure.hostile_helpers import FastClock, HostileService, hostile_service
from tests.conftest import Emulator


@pytest.fixture(scope="module")
def proxy(emulator: Emulator) -> Iterator[HostileService]:
    with hostile_service(emulator) as service:
        yield service


@pytest.fixture
def hostile(proxy: HostileService) -> HostileService:
    proxy.reset()
    return proxy


@pytest.fixture(scope="module")
def client(proxy: HostileService) -> Iterator[ServiceClient]:
    client = ServiceClient(proxy.workspace, FastClock(), threading.Event())
    yield client
    client.close()
