"""A run killed at any boundary between run, journal and service resumes to the undisturbed answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.runtime.crash_points import POINTS
from tests.chaos.process_helpers import BATCHED, JOBS_OF_A_ROUND, KILLED, WIDE, Reference, Trial
from tests.long_form import long_form, long_only, short_or_long

SEARCH = short_or_long("trigonometric", "cobyla")
CLOSED_BEFORE_ROUNDS = short_or_long((3, 6), (20, 40))  # the session is closed before these rounds
ONCE = {"open": (1,), "close": (1,), "renew": (1, 2)}
SAMPLE: tuple[str, ...] = ("intent.after:5", "put.before:20", "put.after:29", "result.after:40", "commit.after:8")
SAMPLE += ("open.after:1", "renew.before:1", "close.before:1")
SAMPLES = {"": SAMPLE, BATCHED: SAMPLE[1:4], WIDE: SAMPLE[2:4]}
AT_A_TIME = 2


def passes(point: str) -> Sequence[int]:
    """Return which passes of a crash point are tested: all of few, else early, middle and late ones."""
    return ONCE.get(point.partition(".")[0], (1, 2, 3, 20, 21, 22, 41, 50, 59, 60))


def killed_once(service: Emulator, folder: Path, search: str, reference: Reference, at: str) -> str:
    """Kill a run at the point and resume it once; return what is wrong, or ""."""
    try:
        trial = Trial.of(service, folder, search, closed_underfoot=CLOSED_BEFORE_ROUNDS)
        if (code := trial.resume(crash_at=at)) != KILLED:
            return f"{at}: the process ended with {code} before this point"
        if (code := trial.resume()) != 0:
            return f"{at}: the resumed process ended with {code}"
        trial.check(reference)
    except Exception as error:  # of any kind: all trials are reported
        return f"{at}: {error!r}"
    return ""


@long_form
@pytest.mark.slow
@pytest.mark.parametrize(
    "form", [pytest.param("", marks=pytest.mark.claim("No job is submitted twice")), BATCHED, WIDE]
)
def test_a_run_killed_at_any_boundary_resumes_to_the_same_answer_and_jobs(
    service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference], form: str
) -> None:
    search = SEARCH + form
    reference = undisturbed(search)
    places = short_or_long(SAMPLES[form], [f"{point}:{k}" for point in POINTS for k in passes(point)])
    with ThreadPoolExecutor(AT_A_TIME) as trials:
        wrong = list(trials.map(lambda at: killed_once(service, tmp_path, search, reference, at), places))
    assert not any(wrong), "\n".join(filter(None, wrong))


def nth(step: str, process: int) -> int:
    """Return which pass of the boundary kills the process, counted from 1."""
    if step == "step":
        return process
    return JOBS_OF_A_ROUND["trigonometric"] + 1 if step in {"upload", "put", "result"} else 2


@long_form
@pytest.mark.slow
@long_only  # some 20 processes for each boundary
@pytest.mark.parametrize("point", [point for point in POINTS if point.partition(".")[0] not in ONCE])
def test_a_run_killed_at_one_boundary_repeatedly_gives_the_same_answer(
    service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference], point: str
) -> None:
    trial = Trial.of(service, tmp_path, "trigonometric")
    # Each process completes the round that the previous one left, and dies in the next. The boundaries of jobs are
    # passed by all jobs of a round, and those of the optimizer in a replay too.
    step, processes = point.partition(".")[0], 1
    while trial.resume(crash_at=f"{point}:{nth(step, processes)}") == KILLED:
        processes += 1
        assert processes < 200, "the run makes no progress"
    assert processes > 8
    trial.check(undisturbed("trigonometric"))
