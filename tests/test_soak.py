"""A short soak, as `make soak` runs a long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.soak import Sample, SoakFigures, growth
from tests.long_form import long_form, short_or_long
from tests.paths import ROOT
from tests.prefect_server import own_environ


def test_growth_is_from_the_second_quarter_to_the_last() -> None:
    samples = [Sample(float(n), 10 + n // 50, 3) for n in range(100)]
    grown = growth(samples)
    assert (grown.megabytes, grown.handles, grown.threads) == (50.0, 1.0, 0.0)


def test_what_is_left_open_or_paid_twice_misses_its_bound() -> None:
    fine = SoakFigures(10, 0, {"p": [Sample(100.0, 10, 3)] * 100}, 0, 0, 20, 5, 0, 0, 0, 0)
    assert all(bound.is_kept for bound in fine.bounds())
    leaky = SoakFigures(10, 0, {"p": [Sample(100.0, 10 + n, 3) for n in range(100)]}, 1, 1, 20, 5, 1, 1, 0, 1)
    missed = {bound.name for bound in leaky.bounds() if not bound.is_kept}
    assert missed == {
        "sessions left open",
        "jobs paid twice",
        "flow runs left running",
        "runs left unfinished",
        "processes left",
        "p: handles grown",
    }


@long_form
@pytest.mark.slow
def test_runs_at_high_frequency_leave_nothing_behind(tmp_path: Path) -> None:
    environ = own_environ(tmp_path / "home")
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", short_or_long("0.1", "6")]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MISSED" not in done.stdout
