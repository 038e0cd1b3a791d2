"""Session in a user's flow: opened, used and closed by Prefect tasks, and closed at every kind of end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import prefect.task_engine
import pytest
from prefect import flow
from prefect.client.schemas.objects import State

from hybridloop.algorithms.rounds import Counts, MeasuredPub
from hybridloop.errors import RunStopped
from hybridloop.tasks import prefect_tasks
from hybridloop.tasks.prefect_tasks import run_round, session_of_flow
from hybridloop.tasks.replay.replayed_rounds import ReplayedRounds
from hybridloop.tasks.session import OpenSession
from tests.conftest import Emulator
from tests.session_helpers import open_run_session, temporary_run
from tests.tasks.test_session_closing import ones

pytestmark = [pytest.mark.usefixtures("prefect_server")]


def flow_that(emulator: Emulator, workspace: str, act: Callable[[OpenSession], object]) -> Callable[[], object]:
    """Return a flow that runs the body in its own session."""

    @flow(name="a user's own")
    def theirs() -> object:
        target, at = "ionq.simulator", emulator.workspace(workspace)
        with (
            temporary_run(target, seed=1) as run,
            session_of_flow(open_run_session(at, target, run=run, name="theirs")) as session,
        ):
            return act(session)

    return theirs


def statuses(emulator: Emulator, workspace: str) -> list[str]:
    """Return the statuses of the workspace's sessions at the service."""
    return [session.details.status for session in emulator.workspace(workspace).list_sessions()]


def one_round(session: OpenSession) -> list[MeasuredPub]:
    """Measure |1⟩ with 100 and 200 shots."""
    return ReplayedRounds(session, run_round)([ones(100), ones(200)])


def interrupt(_: object) -> None:
    """Raise KeyboardInterrupt, as Ctrl-C does."""
    signal.raise_signal(signal.SIGINT)


def fail(_: object) -> None:
    """Raise an error, as a user's code might."""
    raise ArithmeticError("theirs")


@contextmanager
def interrupted_at_its_end(task: object) -> Iterator[None]:
    """Raise Ctrl-C after the task's work, before Prefect has ended the task."""
    hooks = task.on_completion_hooks  # type: ignore[attr-defined]
    hooks.append(lambda _task, _run, _state: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        hooks.pop()


def test_rounds_are_measured_and_the_session_is_closed(emulator: Emulator) -> None:
    measured: list[Counts] = []

    def measure(session: OpenSession) -> None:
        measured.extend(counts for (counts,) in one_round(session) if isinstance(counts, Counts))

    flow_that(emulator, "measured", measure)()
    assert [counts.bitstrings() for counts in measured] == [{"1": 100}, {"1": 200}]
    assert statuses(emulator, "measured") == ["Succeeded"]


@pytest.mark.claim("closes the session, also after an error")
@pytest.mark.parametrize(("act", "error"), [(fail, ArithmeticError), (interrupt, KeyboardInterrupt)])
def test_an_error_or_ctrl_c_in_the_flow_closes_the_session(
    emulator: Emulator, act: Callable[[OpenSession], object], error: type[BaseException]
) -> None:
    with pytest.raises(error):
        flow_that(emulator, act.__name__, act)()
    assert statuses(emulator, act.__name__) == ["Succeeded"]


@pytest.mark.parametrize("task", [prefect_tasks.open_session, prefect_tasks.close_session], ids=["opening", "closing"])
def test_ctrl_c_while_prefect_ends_the_task_of_the_opening_or_closing_leaves_none_open(
    task: object, emulator: Emulator, request: pytest.FixtureRequest
) -> None:
    workspace = f"interrupted-{request.node.callspec.id}"
    with interrupted_at_its_end(task), pytest.raises(KeyboardInterrupt):
        flow_that(emulator, workspace, one_round)()
    assert statuses(emulator, workspace) == ["Succeeded"]


def test_a_round_ended_by_a_request_to_stop_is_not_a_failed_task(emulator: Emulator) -> None:
    states: list[State[object]] = []

    def stopped_round(session: OpenSession) -> None:
        session.rounds.stop()
        states.append(run_round(session, [ones(100)], return_state=True))
        with pytest.raises(RunStopped):
            run_round.submit(session, [ones(100)]).result()
        one_round(session)

    with pytest.raises(RunStopped) as stop:
        flow_that(emulator, "stopped", stopped_round)()
    (state,) = states
    assert (state.type.value, state.name, state.message) == ("CANCELLED", "Stopped", str(stop.value))
    assert statuses(emulator, "stopped") == ["Succeeded"]


def test_ctrl_c_before_prefect_has_a_task_run_is_no_failure(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(**_: object) -> None:
        raise KeyboardInterrupt

    def interrupted(session: OpenSession) -> None:
        monkeypatch.setattr(prefect.task_engine, "_create_task_run_locally", create)
        one_round(session)

    with pytest.raises(KeyboardInterrupt):
        flow_that(emulator, "early", interrupted)()
    assert statuses(emulator, "early") == ["Succeeded"]
