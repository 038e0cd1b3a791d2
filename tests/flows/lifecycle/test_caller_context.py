"""Callback of a user: called after each measured round; its error ends the run, which can be resumed."""

from __future__ import annotations

import pytest

import hybridloop as hl
from hybridloop.api.runs import run
from hybridloop.errors import CallbackFailed
from hybridloop.journal import open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.runs.live import LiveFeed, RoundUpdate
from hybridloop.settings import ProblemText, VqeSettings
from hybridloop.settings.sources import ResolvedSettings
from tests.conftest import Emulator
from tests.prefect_server import as_own_server

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def server(prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in as_own_server(prefect_server).items():
        monkeypatch.setenv(name, value)


def test_a_callback_gets_round_point_value_and_error_of_every_round(emulator: Emulator) -> None:
    heard: list[tuple[int, tuple[float, ...], float, float]] = []
    updates: list[RoundUpdate] = []
    result = hl.vqe(
        "h2",
        seed=7,
        workspace=emulator.workspace(),
        callback=lambda *told: heard.append(told),
        on_progress=updates.append,
    )
    assert heard == [(round_.round, round_.point, round_.value, round_.standard_error) for round_ in result.history]
    assert [update.progress for update in updates] == list(result.history)


def test_an_error_of_a_callback_ends_the_run_which_resumes_to_the_same_answer(
    emulator: Emulator,
) -> None:
    workspace = emulator.workspace()
    heard: list[int] = []

    def fails(round_: int, _point: tuple[float, ...], _value: float, _error: float) -> None:
        heard.append(round_)
        if round_ == 2:
            raise ZeroDivisionError("one by nought")

    with pytest.raises(CallbackFailed, match=r"ZeroDivisionError: one by nought after round 2.* are kept"):
        hl.vqe("h2", seed=7, run_key="callback-fails", workspace=workspace, callback=fails)
    with open_journal() as journal:
        assert journal.run("callback-fails").status == "failed"
    assert [session.details.status for session in workspace.list_sessions()] == ["Succeeded"]
    result = hl.vqe("h2", seed=7, run_key="callback-fails", workspace=workspace, callback=fails)
    assert heard == [1, 2, 3]  # the second round is not reported again: the corrected callback would get a round twice
    assert result.value == hl.vqe("h2", seed=7, workspace=emulator.workspace()).value


def test_a_feed_gets_all_rounds_and_the_end(emulator: Emulator) -> None:
    feed = LiveFeed()
    result = run(
        "vqe",
        ProblemText(name="h2"),
        ResolvedSettings(VqeSettings(seed=7), {}),
        workspace=emulator.workspace(),
        feed=feed,
    )
    state = feed.state()
    assert (state.run_key, state.status, state.reason) == (result.run_key, result.status, result.reason)
    assert state.values == tuple(round_.value for round_ in result.history)
    assert state.best is not None
    assert state.best.value == min(state.values)
    assert state.snapshot is not None
    assert (state.snapshot.done, state.snapshot.in_flight) == (result.jobs, 0)
    assert state.snapshot.meter.shots == result.shots
    assert state.snapshot.session_status == "Succeeded"
