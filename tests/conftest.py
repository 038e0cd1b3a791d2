"""Shared by all tests: a real local service, as a process of its own, held as the plug-in for others holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from hybridloop.pytest_plugin import SUBSCRIPTION, Emulator, running_emulator
from tests.long_form import IS_LONG

# so that what the modules of helpers assert is explained, too
pytest.register_assert_rewrite(
    *(f"tests.{room}" for room in ("algorithms", "chaos", "cli", "deployments", "emulator", "flows", "sessions"))
)

__all__ = ["SUBSCRIPTION", "Emulator", "running_emulator"]


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """One service for the whole run: in memory, real clock, seed 0. Ask it for workspaces of your own."""
    with running_emulator() as running:
        yield running


@pytest.fixture
def start_emulator() -> Iterator[Callable[..., Emulator]]:
    """Starts special services: `start_emulator("--clock", "virtual")`, `start_emulator(state=folder)`."""
    with ExitStack() as running:
        yield lambda *options, state=None: running.enter_context(running_emulator(*options, state=state))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has a long form only, unless that was asked for."""
    left_out = [] if IS_LONG else [item for item in items if item.get_closest_marker("long_only")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
