"""Callback of a user: called after each measured round; its error or Ctrl-C ends the run, which can be resumed."""

from __future__ import annotations

import logging
import signal
import sys
from typing import Any

import pytest

import hybridloop as hl
from hybridloop.api.hosts import resume_run as resume
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import CallbackFailed
from hybridloop.journal import open_journal
from hybridloop.preparation import vqe
from hybridloop.results.live import LiveFeed, RoundUpdate
from hybridloop.runtime.messages import show_warnings
from hybridloop.settings import ProblemText
from tests.conftest import Emulator
from tests.flow_calls import run_plainly

pytestmark = pytest.mark.usefixtures("own_journal")


@pytest.fixture(scope="module")
def undisturbed(own_journal: str, emulator: Emulator) -> float:
    """Return the energy of a run with seed 7 (hartree)."""
    return hl.vqe("h2", seed=7, search="measured", workspace=emulator.workspace(), host="plain").value or 0.0


def test_a_callback_gets_round_point_value_and_error_of_every_round(emulator: Emulator) -> None:
    heard: list[tuple[int, tuple[float, ...], float, float]] = []
    updates: list[RoundUpdate] = []
    result = hl.vqe(
        "h2",
        seed=7,
        search="measured",
        workspace=emulator.workspace(),
        host="plain",
        callback=lambda *told: heard.append(told),
        on_progress=updates.append,
    )
    assert heard == [(round_.round, round_.point, round_.value, round_.standard_error) for round_ in result.history]
    assert [update.progress for update in updates] == list(result.history)


def test_an_error_of_a_callback_ends_the_run_which_resumes_to_the_same_answer(
    emulator: Emulator, undisturbed: float
) -> None:
    workspace = emulator.workspace()
    heard: list[int] = []

    def fails(round_: int, _point: tuple[float, ...], _value: float, _error: float) -> None:
        heard.append(round_)
        if round_ == 1:
            raise ZeroDivisionError("one by nought")

    with pytest.raises(CallbackFailed, match=r"ZeroDivisionError: one by nought after round 1.* are kept"):
        hl.vqe(
            "h2", seed=7, search="measured", run_key="callback-fails", workspace=workspace, host="plain", callback=fails
        )
    with open_journal() as journal:
        assert journal.run("callback-fails").status == "failed"
    assert [session.details.status for session in workspace.list_sessions()] == ["Succeeded"]
    result = hl.vqe(
        "h2", seed=7, search="measured", run_key="callback-fails", workspace=workspace, host="plain", callback=fails
    )
    assert heard == [1, 2]  # the first round is not reported again: the corrected callback would get a round twice
    assert result.value == undisturbed


def test_ctrl_c_in_python_says_how_to_resume_and_what_happens_to_the_session(
    emulator: Emulator, undisturbed: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # in a script Prefect's takes their place, turned off
    workspace = emulator.workspace()
    with pytest.raises(KeyboardInterrupt) as ended:
        hl.vqe(
            "h2",
            seed=7,
            search="measured",
            run_key="ctrl-c",
            workspace=workspace,
            host="plain",
            on_progress=lambda _: signal.raise_signal(signal.SIGINT),
        )
    assert ended.value.__notes__ == [
        "Run ctrl-c is interrupted: its session is closed, and all that was measured is kept. "
        "To resume it: hybridloop runs resume ctrl-c"
    ]
    assert capsys.readouterr().err.splitlines() == [
        "hybridloop: interrupted: no job is in flight, and the session is closed; a second signal skips the wait, "
        "a third leaves the session open",
        "hybridloop: run ctrl-c is interrupted; to resume it: hybridloop runs resume ctrl-c",
    ]
    assert [session.details.status for session in workspace.list_sessions()] == ["Succeeded"]
    assert resume("ctrl-c", workspace=workspace).value == undisturbed


def test_a_warning_is_printed_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    root, log = logging.getLogger(), logging.getLogger("hybridloop.tasks.session")
    monkeypatch.setattr(root, "handlers", [])
    for _ in range(2):
        show_warnings()
    log.warning("of a \x1b[2Jservice")
    assert capsys.readouterr().err == "hybridloop: of a \\x1b[2Jservice\n"
    root.addHandler(logging.StreamHandler(sys.stderr))  # a user's
    log.warning("of a service")
    assert capsys.readouterr().err == "of a service\n"


def test_a_feed_gets_all_rounds_and_the_end(emulator: Emulator) -> None:
    feed = LiveFeed()
    result = run_plainly("vqe", emulator.workspace(), ProblemText(name="h2"), VqeSettings(seed=7), feed=feed)
    state = feed.state()
    assert (state.run_key, state.status, state.reason) == (result.run_key, result.status, result.reason)
    assert state.values == tuple(round_.value for round_ in result.history)
    assert state.best is not None
    assert state.best.value == min(state.values)
    assert state.snapshot is not None
    assert (state.snapshot.done, state.snapshot.in_flight) == (result.jobs, 0)
    assert state.snapshot.meter.shots == result.shots
    assert state.snapshot.session_status == "Succeeded"


def test_a_run_is_prepared_once_also_without_a_seed_and_when_it_is_resumed(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[object] = []
    workspace, build = emulator.workspace(), vqe.prepare_vqe

    def counted(*request: Any) -> Any:
        prepared.append(request)
        return build(*request)

    monkeypatch.setattr(vqe, "prepare_vqe", counted)
    assert hl.vqe("h2", run_key="prepared", max_shots=1, workspace=workspace, host="plain").status == "stopped"
    assert len(prepared) == 1
    assert hl.vqe("h2", run_key="prepared", max_shots=10**8, workspace=workspace, host="plain").status == "converged"
    assert len(prepared) == 2
