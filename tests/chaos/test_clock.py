"""The machine's clock is set by hours in the middle of a run: the run goes on, and can be resumed before it began."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.runtime.crash_points import VARIABLE
from tests.chaos.process_helpers import KILLED, Reference, Trial, crash_point
from tests.long_form import short_or_long

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
needs_faketime = pytest.mark.skipif(LIBRARY is None, reason="no libfaketime here; on Debian: apt install faketime")
FORTH, BACK = "+3h", "-3h"


@needs_faketime
@pytest.mark.slow
@pytest.mark.parametrize("first", short_or_long([FORTH], [FORTH, BACK, "+26h"]))
@pytest.mark.parametrize("then", short_or_long([BACK], [FORTH, BACK, "+0"]))
def test_a_clock_that_is_set_by_hours_changes_nothing(
    service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference], first: str, then: str
) -> None:
    trial = Trial.of(service, tmp_path, "cobyla")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environ = {
        **{"LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"},
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # as where an administrator sets the clock
    }
    at = crash_point("result.after:30", "cobyla")
    with pytest.raises(subprocess.CalledProcessError) as killed:
        trial.resume_in_new_process({**environ, VARIABLE: at}, clock=clock, clock_set={4: first, 9: then})
    assert killed.value.returncode == KILLED
    assert clock.read_text() == then  # it was set in the rounds before
    clock.write_text(first)
    trial.resume_in_new_process(environ, clock=clock, clock_set={20: then})
    assert clock.read_text() == then
    assert trial.outcome().answer == undisturbed("cobyla").answer
    assert trial.ledger()["duplicates"]["count"] == 0
    pings = {job for job in trial.jobs() if job[0].startswith("ping/")}
    assert trial.jobs() - pings == undisturbed("cobyla").jobs
    assert len(pings) <= 1  # of the session at the resume, since it may have been idle for hours
    assert trial.open_sessions() == []
