"""One service for all trials; each run has a workspace and a journal of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hybridloop.emulator.pytest_plugin import Emulator, running_emulator
from tests.chaos.process_helpers import FORMS, Reference, reference_of
from tests.long_form import short_or_long


@pytest.fixture(scope="session")
def service() -> Iterator[Emulator]:
    with running_emulator() as running:
        yield running


@pytest.fixture(params=short_or_long([""], FORMS), ids=lambda form: form.removeprefix(", ") or "a job a point")
def form(request: pytest.FixtureRequest) -> str:
    """Return the ending of a search's name that says how its points are submitted; the short form has one."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def undisturbed(service: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reference]:
    """Return a function that gives each search's reference run, made on its first call."""
    references: dict[str, Reference] = {}
    folder: Path = tmp_path_factory.mktemp("undisturbed")

    def reference(search: str) -> Reference:
        if search not in references:
            references[search] = reference_of(service, folder, search)
        return references[search]

    return reference
