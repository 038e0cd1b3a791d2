"""Runs killed at random moments, once or five times, or after every round, give the undisturbed answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from hybridloop.emulator.pytest_plugin import Emulator, running_emulator
from tests.chaos.process_helpers import BATCHED, FORMS, KILLED, Reference, Trial
from tests.chaos.search_helpers import SEARCHES
from tests.long_form import IS_LONG, long_form, long_only, short_or_long

KILLS = 50  # of each search; kills after a run's end do not count
AT_A_TIME = 2
EACH = [search + form for search in SEARCHES for form in FORMS]
BATCH = short_or_long(2, 6)
REPEATED_KILLS = 5  # kills of every sixth run


def killed_at_random(
    service: Emulator, folder: Path, search: str, reference: Reference, within_s: float, draw: int, kills: int
) -> tuple[int, str]:
    """Kill a run at random moments and resume it; return the number of kills, and what is wrong or ""."""
    draws = random.Random(f"{search}/{draw}")
    killed = 0
    try:
        trial = Trial.of(service, folder, search)
        for _ in range(kills):
            process = trial.start()
            process.join(draws.uniform(0.0, within_s))
            process.kill()
            process.join()
            killed += process.exitcode == KILLED
        if (code := trial.resume()) != 0:
            return killed, f"{search} {draw}: the last process ended with {code}"
        trial.check(reference)
    except Exception as error:  # of any kind: all trials are reported
        return killed, f"{search} {draw}: {error!r}"
    return killed, ""


@long_form
@pytest.mark.slow
@pytest.mark.parametrize("search", short_or_long(["sampler-driven", f"estimator-driven{BATCHED}"], EACH))
def test_a_run_killed_at_random_moments_resumes_to_the_same_answer_and_jobs(
    service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference], search: str
) -> None:
    reference = undisturbed(search)
    killed, draw, within_s = 0, 0, 0.8 * reference.seconds
    with ThreadPoolExecutor(AT_A_TIME) as trials:
        while killed < short_or_long(1, KILLS):
            assert draw < short_or_long(10, 5 * KILLS), f"of {draw} runs {killed} were killed before they ended"
            kills = [REPEATED_KILLS if IS_LONG and number % 6 == 0 else 1 for number in range(draw, draw + BATCH)]
            one = partial(killed_at_random, service, tmp_path, search, reference, within_s)
            found = list(trials.map(one, range(draw, draw + BATCH), kills))
            wrong = [fault for _, fault in found if fault]
            assert not wrong, "\n".join(wrong)
            here = sum(times for times, _ in found)
            if 2 * here < sum(kills):
                within_s /= 2  # the machine is faster now than during the undisturbed run
            killed, draw = killed + here, draw + BATCH


@long_form
@pytest.mark.slow
@pytest.mark.parametrize("search", short_or_long([f"cobyla{BATCHED}"], EACH))
def test_a_run_killed_after_every_round_gives_the_same_answer_and_jobs(
    service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference], search: str
) -> None:
    reference = undisturbed(search)
    trial = Trial.of(service, tmp_path, search, rounds_at_most=short_or_long(6, 1))
    processes = 1
    while (code := trial.resume()) == KILLED:
        processes += 1
    assert code == 0
    assert processes >= short_or_long(5, 20)
    trial.check(reference)
    assert trial.outcome().sessions == 1


STORM = [
    {"fault": "job-fails", "code": "ProviderTimeout", "operation": "submit", "every": 17},
    {"fault": "session-times-out", "operation": "submit", "every": 41},
    {"fault": "session-fails", "operation": "submit", "every": 53},
    {"fault": "reset-after-commit", "probability": 0.03},
    {"fault": "answer-dropped", "probability": 0.02},
    {"fault": "throttled", "probability": 0.03},
]


@long_form
@pytest.mark.slow
@long_only  # waits in real time: half a minute a run
def test_a_run_killed_under_many_faults_gives_the_same_answer_without_duplicate_jobs(
    tmp_path: Path, undisturbed: Callable[[str], Reference], form: str
) -> None:
    search = f"spsa{form}"
    reference = undisturbed(search)
    with running_emulator() as stormy:
        stormy.admin("faults", {"rules": STORM})
        for draw in range(25):
            draws = random.Random(draw)
            trial = Trial.of(stormy, tmp_path, search)
            for _ in range(3):
                process = trial.start()
                process.join(draws.uniform(0.0, 2 * reference.seconds))
                process.kill()
                process.join()
            assert trial.resume() == 0
            assert trial.outcome().answer == reference.answer, (draw, trial.outcome())
            ledger = trial.ledger()
            assert ledger["duplicates"]["count"] == 0
            assert {place for place, _ in trial.jobs()} == {place for place, _ in reference.jobs}
            assert trial.open_sessions() == []
