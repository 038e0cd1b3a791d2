"""Fixtures of the fault tests: one service on virtual time, cleared of faults after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.quantum import Workspace

from tests.conftest import Emulator
from tests.emulator.http_helpers import Caller, raw_call


@pytest.fixture(scope="session")
def service(azure_quantum_emulator: Emulator) -> Emulator:
    return azure_quantum_emulator


@pytest.fixture(autouse=True)
def clear_faults(service: Emulator) -> Iterator[None]:
    yield
    raw_call(service.endpoint, "DELETE", "/_admin/faults", None, {"x-admin-key": service.admin_key})


@pytest.fixture
def caller(service: Emulator) -> Caller:
    return Caller(service)


@pytest.fixture
def workspace(service: Emulator) -> Workspace:
    return service.workspace()
