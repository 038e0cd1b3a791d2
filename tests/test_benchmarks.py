"""Benchmarks of growth, of a sweep's own work and of chosen circuits: short forms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.circuits import compare, compare_with_peers
from benchmarks.growth import draw, exponent, measured, runs_of_journal
from benchmarks.sweep import in_processes
from hybridloop.runtime.workspace_variables import CONNECTION_VARIABLE
from tests.cli.shell_helpers import connection_string
from tests.conftest import Emulator


def test_the_exponent_is_the_slope_between_the_two_largest_sizes() -> None:
    assert exponent({100: {"s": 3.0}, 1: {"s": 2.0}, 10: {"s": 0.03}}, "s") == pytest.approx(2.0)


@pytest.mark.slow
def test_sizes_are_measured_and_drawn(
    emulator: Emulator, stack_environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = connection_string(emulator.endpoint, emulator.api_key, "growth")
    for name, value in {**stack_environ, CONNECTION_VARIABLE: text}.items():
        monkeypatch.setenv(name, value)
    jobs = {size: measured("jobs", size, service=emulator) for size in (1, 3)}
    assert all(min(figures["s"], figures["client_mb"], figures["service_mb"]) > 0.0 for figures in jobs.values())
    assert emulator.admin("ledger?top=1")["duplicates"]["count"] == 0
    runs = runs_of_journal((20, 30), str(tmp_path))
    assert {name for figures in runs.values() for name in figures} >= {"list", "resume", "prune"}
    for name, series, curves in (("jobs", jobs, ["s"]), ("runs", runs, ["list", "resume", "prune"])):
        draw(tmp_path, name, name, {"": series}, curves)
        assert "<svg" in (tmp_path / f"growth-{name}.svg").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_sweep_of_no_ops_ends_all_its_points(
    stack_environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in stack_environ.items():
        monkeypatch.setenv(name, value)
    in_processes(20)  # it raises for a point without its result
    assert "20 no-ops in" in capsys.readouterr().out


@pytest.mark.slow
def test_the_chosen_circuit_of_hydrogen_is_beside_uccsd_and_cheaper(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(bound.is_kept for bound in compare(["H2"], trials=1))
    assert "| H2 | puccd | 2/2 | 2/2 | 2/2 |" in capsys.readouterr().out


@pytest.mark.slow
def test_a_grown_circuit_has_a_fifth_of_the_gates_of_a_peer_that_comes_as_near(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bounds = list(compare_with_peers(["H4", "BeH2"]))
    assert len(bounds) == 2
    assert all(bound.is_kept for bound in bounds)
    assert "tequila, H4, UCCSD: 578 gates, 20 angles, 0.61 mHa above the exact energy" in capsys.readouterr().out
