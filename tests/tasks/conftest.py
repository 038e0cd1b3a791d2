"""Fixtures for runs in virtual time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hybridloop.emulator.client_clock import ServiceClock
from tests.conftest import Emulator


@pytest.fixture(scope="module")
def service(azure_quantum_emulator: Emulator) -> Emulator:
    """Hold a service in virtual time."""
    return azure_quantum_emulator


@pytest.fixture
def clock(service: Emulator) -> Iterator[ServiceClock]:
    """Take part in the service's time."""
    with ServiceClock(service.endpoint, service.admin_key) as joined:
        yield joined
