"""A resume on another CPU gives the same result; `tests/tasks/submission/test_replay.py` has changed inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hybridloop.emulator.pytest_plugin import Emulator
from tests.chaos.process_helpers import KILLED, Reference, Trial
from tests.chaos.search_helpers import SEARCHES
from tests.long_form import long_form, short_or_long


@long_form
@pytest.mark.slow
@pytest.mark.parametrize("cpu", short_or_long(["Prescott"], ["Prescott", "Haswell"]))
@pytest.mark.parametrize("search", short_or_long(["trigonometric"], list(SEARCHES)))
def test_a_resume_on_another_cpu_gives_the_same_answer_or_diverges(
    service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference], cpu: str, search: str
) -> None:
    reference = undisturbed(search)
    trial = Trial.of(service, tmp_path, search)
    assert trial.resume(crash_at=short_or_long("commit.after:6", "commit.after:11")) == KILLED
    trial.resume_in_new_process({"OPENBLAS_CORETYPE": cpu})
    found, expected = trial.outcome().answer, reference.answer
    if search == "cobyla" and trial.outcome().error == "ReplayDiverged":
        assert trial.ledger()["duplicates"]["count"] == 0
        return
    assert found is not None, trial.outcome()
    # Points that are computed after the resume differ in their last digits, as that CPU's arithmetic does; what was
    # measured at them does not.
    assert (found.value, found.evaluations) == (expected.value, expected.evaluations)
    parameters = [[float.fromhex(parameter) for parameter in answer.parameters] for answer in (found, expected)]
    np.testing.assert_allclose(parameters[0], parameters[1], rtol=0, atol=1e-9)
    trial.check_ledger(reference)
