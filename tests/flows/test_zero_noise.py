"""Zero-noise extrapolation on a noisy emulator: what it claims, and what it does not where its folds are undone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.flows.algorithms import vqe
from hybridloop.local_stack import PrefectServer
from hybridloop.results.result import RunResult
from hybridloop.settings import ProblemText
from tests.conftest import Emulator
from tests.flow_calls import call_flow
from tests.long_form import long_form, short_or_long

pytestmark = pytest.mark.slow
TARGET = "quantinuum.sim.h2-1e"
MILLI = 1e-3


def run(emulator: Emulator, folder: Path, mitigation: str | None) -> RunResult:
    settings = VqeSettings.model_validate(
        {"ansatz": "uccsd", "target": TARGET, "seed": 7, "precision": 2 * MILLI, "mitigation": mitigation}
    )
    workspace = emulator.workspace(f"zne-{folder.name.replace('_', '-')[-20:]}")
    result: RunResult = call_flow(vqe, workspace, ProblemText(name="h2"), settings)
    return result


@long_form
@pytest.mark.parametrize("compiler", short_or_long(["as-asked"], ["none", "as-asked"]))
def test_the_extrapolated_energy_is_right_and_claimed(
    prefect_server: PrefectServer, start_emulator: Callable[..., Emulator], tmp_path: Path, compiler: str
) -> None:
    result = run(start_emulator("--gate-compiler", compiler), tmp_path, "readout,zne-linear")
    assert result.status == "converged", result.reason
    assert result.interval95 is not None
    assert result.exact is not None
    low, high = result.interval95
    assert low <= result.exact <= high
    budget = {source.source: source for source in result.error_budget}
    assert "2 : 6" in budget["extrapolation"].meaning


def test_undone_folds_are_no_extrapolation(
    prefect_server: PrefectServer, start_emulator: Callable[..., Emulator], tmp_path: Path
) -> None:
    result = run(start_emulator("--gate-compiler", "always"), tmp_path, "readout,zne-linear")
    assert result.status == "finished"
    assert result.reason.startswith("no noise seen; ")


@long_form
@pytest.mark.parametrize("mitigation", short_or_long([None], [None, "readout"]))
def test_noise_that_is_left_is_named(
    prefect_server: PrefectServer, emulator: Emulator, tmp_path: Path, mitigation: str | None
) -> None:
    result = run(emulator, tmp_path, mitigation)
    assert result.status == "finished"
    assert result.reason.startswith("noise; ")
    assert any("the error bar is of shots alone" in warning for warning in result.warnings)
