"""A run that its caller has begun before its host: what other processes do meanwhile counts, and nothing is lost."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from hybridloop import preparation
from hybridloop.api.hosts import PLAIN, do_run
from hybridloop.data.states import State
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError, RunBusy
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.in_prefect import algorithm_run as in_prefect
from hybridloop.flows.in_prefect.algorithm_run import run_order
from hybridloop.flows.lifecycle import begin as lifecycle_begin
from hybridloop.flows.lifecycle.begin import Place, begin, find_for_person, prepared
from hybridloop.journal import Journal, open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.preparation.choices import initial_point
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.reports.verify import verify_run
from hybridloop.results.live import RoundUpdate, View
from hybridloop.results.result import RunResult
from hybridloop.runs.hold import hold
from hybridloop.runs.order import RunOrder, algorithm_order
from hybridloop.runs.recorded import RESUMED, recorded_groupings
from hybridloop.runs.run import Run, is_current
from hybridloop.runs.stored_run import load_run
from hybridloop.runtime import json_cache
from hybridloop.settings import ProblemText
from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator
from tests.prefect_server import prefect_client
from tests.waiting import PATIENCE_S, eventually

EXACTLY = ("value", "standard_error", "interval95", "parameters", "rounds", "shots", "history")
SETTINGS = VqeSettings(seed=7, precision=0.01)


@pytest.fixture(autouse=True)
def _in_the_own_journal(own_journal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use it in the test with Prefect, too, which sets another one."""
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", own_journal)


def order(settings: VqeSettings = SETTINGS, problem: str = "h2", key: str | None = None) -> RunOrder:
    """Return the order of a run on the plain host."""
    key, more = key or f"begun-{secrets.token_hex(4)}", {"sources": {}, "host": PLAIN}
    return algorithm_order("vqe", ProblemText(name=problem), settings, key, more=more)


def do(asked: RunOrder, workspace: Any, begun: Run | None = None) -> RunResult:
    """Do a run that its caller has `begun`, or else finds, on the plain host."""
    place = Place.of(workspace)
    return do_run(begun or find_for_person(asked, place), place, workspace, View())


def begun_for(asked: RunOrder, workspace: Any) -> Run:
    place = Place.of(workspace)
    begun = prepared(find_for_person(asked, place), place)
    assert not begun.has_result
    with open_journal() as journal:
        assert is_current(journal, begun.record)
    return begun


def test_a_run_that_another_process_ended_meanwhile_is_returned_and_nothing_is_paid_again(emulator: Emulator) -> None:
    workspace, asked = emulator.workspace("ended-meanwhile"), order()
    begun = begun_for(asked, workspace)
    first = do(asked, workspace)
    again = do(asked, workspace, begun)
    assert again == first
    with open_journal() as journal:
        uid = journal.run(first.run_key).uid
    assert len(emulator.admin(f"ledger?run={uid}")["entries"]) == first.jobs
    assert begin(asked, Place.of(workspace)).has_result


@pytest.mark.claim("another process has the run")
def test_a_run_that_another_process_holds_meanwhile_is_busy(emulator: Emulator) -> None:
    workspace, asked = emulator.workspace("held-meanwhile"), order()
    begun = begun_for(asked, workspace)
    found = replace(begun, record=Place.of(workspace).locate(begun.record))
    with open_journal() as journal, hold(journal, found), pytest.raises(RunBusy):
        do(asked, workspace, begun)


def test_a_key_that_another_process_took_meanwhile_for_other_settings_is_refused(emulator: Emulator) -> None:
    workspace, asked = emulator.workspace("taken-meanwhile"), order()
    begun = begun_for(asked, workspace)
    changed = SETTINGS.model_copy(update={"precision": 0.02})
    do(order(changed, key=asked.run_key), workspace)
    with pytest.raises(InputError, match="was started with another value"):
        do(asked, workspace, begun)


def rounds_shown(server: PrefectServer, flow_run_id: str) -> list[str]:
    """Return the flow run's tasks of rounds, once the server has the last: it receives them as events."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(flow_run_id)]))
    with prefect_client(server) as client:

        def names() -> list[str]:
            return sorted(task.name.partition(":")[0] for task in client.read_task_runs(flow_run_filter=of_run))

        eventually(lambda: sum(name.startswith("close session") for name in names()) == 1)
        return [name for name in names() if name.startswith("round")]


@pytest.mark.claim("as Prefect flows that resume after a crash")
def test_a_retry_by_prefect_resumes_the_run_that_its_caller_began_and_measures_nothing_twice(
    prefect_server: PrefectServer, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, key = emulator.workspace("retried"), f"retried-{secrets.token_hex(4)}"
    settings = VqeSettings.model_validate({"seed": 7, "ansatz": "uccsd", "grouping": "qubit-wise"})  # of three rounds
    asked = algorithm_order("vqe", ProblemText(name="h2"), settings, key)
    with monkeypatch.context() as patch:
        prepares_slowly(patch, key)
        begun = begun_for(asked, workspace)  # is in the journal before its flow run
    monkeypatch.setattr(in_prefect, "load_flow", lambda _: vqe.with_options(retries=1))
    rounds: list[int] = []

    def fail_once(update: RoundUpdate) -> None:
        rounds.append(update.progress.round)
        if rounds == [1, 2]:
            raise ArithmeticError("not my day")

    result = run_order(asked, workspace, view=View(fail_once), begun=begun)
    assert result.status == "converged"
    assert result.resumed
    assert rounds == [1, 2, 3]  # no round is told twice
    assert [session.status for session in result.sessions] == ["Succeeded", "Succeeded"]
    with open_journal() as journal:
        record = journal.run(key)
        assert record.flow_run_id is not None
        assert journal.run_by_flow_run(record.flow_run_id) == record
        assert verify_run(load_run(journal, key)).agrees
    assert rounds_shown(prefect_server, record.flow_run_id) == ["round 1", "round 2", "round 3"]  # each a task once
    books = emulator.admin(f"ledger?run={record.uid}")
    assert (len(books["entries"]), books["duplicates"]["count"]) == (result.jobs, 0)


def test_a_run_is_not_resumed_in_another_workspace(emulator: Emulator) -> None:
    asked = order()
    do(asked, emulator.workspace("its-own"))
    another = emulator.workspace("another")
    with pytest.raises(InputError, match="workspace"):
        begin(asked, Place.of(another))
    # of a saved block the identity is not known before the flow run
    assert begin(asked, Place(None, Place.of(another).find_target)).has_result
    with pytest.raises(InputError, match="workspace"):
        do(asked, another)


def is_preparing(journal: Journal, key: str) -> bool:
    record = journal.run_by_key(key)
    return record is not None and record.state is State.PREPARING


def prepares_slowly(monkeypatch: pytest.MonkeyPatch, key: str, error: BaseException | None = None) -> None:
    """Let a preparation end once its run is in the journal, or with an error then."""
    monkeypatch.setattr(lifecycle_begin, "RECORDED_AFTER_S", 0.0)
    prepare = preparation.prepare

    def prepare_slowly(*arguments: Any, **options: Any) -> Any:
        with open_journal() as journal:
            eventually(lambda: is_preparing(journal, key))
            assert journal.run(key).is_held(time.time())
        if error is not None:
            raise error
        return prepare(*arguments, **options)

    monkeypatch.setattr(lifecycle_begin, "prepare", prepare_slowly)


def test_a_run_is_in_the_journal_while_it_is_prepared_and_begins_as_a_new_one(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, asked = emulator.workspace("prepared-slowly"), order()
    assert asked.run_key is not None
    prepares_slowly(monkeypatch, asked.run_key)
    result = do(asked, workspace)
    assert result.status == "converged"
    assert not result.resumed
    with open_journal() as journal:
        record = journal.run(asked.run_key)
        assert recorded_groupings(record)
        assert not [event for event in journal.events(record.uid) if event.kind == RESUMED]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_a_run_that_is_stopped_while_it_is_prepared_is_resumed(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    workspace, asked = emulator.workspace("stopped-in-preparation"), order()
    assert asked.run_key is not None
    with monkeypatch.context() as patch:
        prepares_slowly(patch, asked.run_key, error)
        with pytest.raises(type(error)):
            begun_for(asked, workspace)
    with open_journal() as journal:
        record = journal.run(asked.run_key)
        assert record.state is State.PREPARING
        assert record.is_orphaned(time.time())
    result = do(asked, workspace)
    assert result.status == "converged"
    with open_journal() as journal:
        assert recorded_groupings(journal.run(asked.run_key))


def test_a_run_that_is_refused_after_a_long_preparation_leaves_nothing(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, asked = emulator.workspace("refused-late"), order()
    assert asked.run_key is not None
    prepares_slowly(monkeypatch, asked.run_key, InputError("problem", "it is none", "Give another."))
    with pytest.raises(InputError, match="it is none"):
        begun_for(asked, workspace)
    with open_journal() as journal:
        assert journal.run_by_key(asked.run_key) is None


@pytest.mark.claim("a small circuit is simulated")
def test_what_a_simulation_found_is_in_the_journal_and_is_not_simulated_again(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(initial_point, "MIN_KEPT", 0)
    monkeypatch.setattr(json_cache, "home", lambda: tmp_path / "here")
    workspace = emulator.workspace("simulated")
    asked = order(problem="h4")
    begun = begun_for(asked, workspace)
    assert begun.simulations
    with open_journal() as journal:
        with hold(journal, replace(begun, record=Place.of(workspace).locate(begun.record))) as run:
            run.journal.set_status(run.lease, "interrupted", "")
        monkeypatch.setattr(json_cache, "home", lambda: tmp_path / "elsewhere")
        monkeypatch.setattr(initial_point, "simulated_start", not_again)
        again = begun_for(asked, workspace)
    before, after = begun.prepared.algorithm, again.prepared.algorithm
    assert isinstance(before, PreparedVqe)
    assert isinstance(after, PreparedVqe)
    assert after.ansatz.initial_point.tolist() == before.ansatz.initial_point.tolist()


def not_again(*_arguments: Any) -> None:
    pytest.fail("it is simulated again")


@pytest.mark.slow
def test_a_run_that_is_killed_in_its_opening_simulation_is_resumed_to_the_same_digits(
    stack_environ: dict[str, str], emulator: Emulator
) -> None:
    command = ("run", "vqe", "n2-cas66", "--search", "simulated", "--precision", "0.01", "--seed", "7")
    at = Shell(stack_environ).at(emulator, f"preparing-{secrets.token_hex(4)}")
    key, other = (f"preparing-{secrets.token_hex(4)}" for _ in range(2))
    with (
        at.shell.start(*command, "--run-key", key, "--quiet") as process,
        Journal(stack_environ["HYBRIDLOOP_JOURNAL"]) as journal,
    ):
        eventually(lambda: is_preparing(journal, key))
        process.kill()
        process.wait(PATIENCE_S)
    resumed = at.shell.json("runs", "resume", key)
    unbroken = at.shell.json(*command, "--run-key", other)
    assert {name: resumed[name] for name in EXACTLY} == {name: unbroken[name] for name in EXACTLY}
