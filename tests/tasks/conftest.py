"""Fixtures for runs in virtual time, and for those that are resumed after the death of their process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.journal import Journal
from hybridloop.journal.held_run import new_run
from tests.conftest import Died, Emulator


@pytest.fixture(scope="module")
def service(azure_quantum_emulator: Emulator) -> Emulator:
    """Hold a service in virtual time."""
    return azure_quantum_emulator


@pytest.fixture
def clock(service: Emulator) -> Iterator[ServiceClock]:
    """Take part in the service's time."""
    with ServiceClock(service.endpoint, service.admin_key) as joined:
        yield joined


def add_run(journal: Journal, key: str = "night", *, target: str = "rigetti.sim.qvm", seed: int = 3) -> str:
    """Add a run of a script to the journal, and return its uid."""
    run = new_run(str(uuid.uuid4()), key=key, algorithm="session", problem="", target=target, seed=seed)
    return journal.add_run(run).uid


@pytest.fixture
def uid(journal: Journal) -> str:
    """Add a run of a script to the test's journal, and return its uid."""
    return add_run(journal)


def die(*_: object, **__: object) -> Any:
    """End the process, in place of any function."""
    raise Died
