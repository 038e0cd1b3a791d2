"""Each import contract of pyproject.toml holds, and fails on a planted import."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from typing import Any

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract

from tests.paths import ROOT

KINDS = {"forbidden": ForbiddenContract, "layers": LayersContract}
CONFIGURATION = read_configuration(str(ROOT / "pyproject.toml"))
CONTRACTS: dict[str, dict[str, Any]] = {options["name"]: options for options in CONFIGURATION["contracts_options"]}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("hybridloop", include_external_packages=True, exclude_type_checking_imports=False)


def _holds(imports: grimp.ImportGraph, name: str, planted: tuple[str, str] | None = None) -> bool:
    imports, options = deepcopy(imports), CONTRACTS[name]  # a check removes the ignored imports from its graph
    if planted is not None:
        importer, imported = planted
        if imported not in imports.modules:
            imports.add_module(imported, is_squashed=True)
        imports.add_import(importer=importer, imported=imported)
    contract = KINDS[options["type"]](name, CONFIGURATION["session_options"], options)
    return bool(contract.check(imports, verbose=False).kept)


def _forbidden_imports(options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield one import for each forbidden pair of modules or of neighbouring layers."""
    if options["type"] == "forbidden":
        yield from ((source, target) for source in options["source_modules"] for target in options["forbidden_modules"])
        return
    for container in options["containers"]:
        for above, below in pairwise(options["layers"]):
            for lower in below.split(" | "):
                yield from ((f"{container}.{lower}", f"{container}.{upper}") for upper in above.split(" | "))
        for layer in options["layers"]:
            yield from ((f"{container}.{one}", f"{container}.{other}") for one, other in pairwise(layer.split(" | ")))


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_holds(imports: grimp.ImportGraph, name: str) -> None:
    assert _holds(imports, name)


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_fails_on_each_planted_import_that_it_forbids(imports: grimp.ImportGraph, name: str) -> None:
    pairs = list(_forbidden_imports(CONTRACTS[name]))
    assert pairs
    assert [pair for pair in pairs if _holds(imports, name, pair)] == []
