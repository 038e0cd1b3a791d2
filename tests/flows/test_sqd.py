"""SQD on a real service: killed between iterations, resumed, verified, refused."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.logging import disable_run_logger

from hybridloop.algorithms.sqd.full_space import FullSpace
from hybridloop.algorithms.steps import compute_each
from hybridloop.azure.listing import show_session
from hybridloop.budget.caps import Budget, Caps
from hybridloop.cli.progress import format_round
from hybridloop.descriptions.sqd import SqdSettings
from hybridloop.errors import CapReached, InputError, RunCancelled, StopRequested
from hybridloop.flows.housekeeping import find_resumable_task
from hybridloop.flows.in_prefect.watch import PrefectWatch
from hybridloop.flows.lifecycle.begin import Place, begin
from hybridloop.flows.lifecycle.classical_part import stops_in_classical_part
from hybridloop.flows.lifecycle.host import PlainHost
from hybridloop.flows.lifecycle.life import live
from hybridloop.journal import journal_url, open_journal
from hybridloop.preparation.prepared import ClassicalPart
from hybridloop.preparation.sqd import PreparedSqd
from hybridloop.reports.verify import verify_run
from hybridloop.results.answer import summarize
from hybridloop.results.live import RoundUpdate, View
from hybridloop.results.result import RunResult
from hybridloop.runs.order import algorithm_order
from hybridloop.runs.stored_run import load_run
from hybridloop.settings import AutoResume, ProblemText
from hybridloop.tasks.replay.recorded_steps import STEP, RecordedSteps
from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator, unavailable
from tests.flow_calls import begin_plainly, run_plainly
from tests.preparation_helpers import prepared
from tests.session_helpers import temporary_run

H4 = ProblemText(name="h4")
SAMPLED = SqdSettings(seed=7, max_subspace=16, iterations=6)
NOISY = SAMPLED.model_copy(update={"target": "quantinuum.sim.h2-1e", "shots": 2000, "iterations": 3})
SAME = ("value", "parameters", "table", "history", "jobs", "shots", "rounds", "reason", "choices", "error_budget")
RUN = ("run", "sqd", "h4", "--seed", "7", "--max-subspace", "16", "--iterations", "6", "--quiet", "--json")
Unbroken = tuple[RunResult, list[RoundUpdate], set[str]]


@pytest.fixture(scope="module")
def unbroken(own_journal: str, emulator: Emulator) -> Unbroken:
    updates: list[RoundUpdate] = []
    states: set[str] = set()
    workspace = emulator.workspace("sqd-one")

    def on_progress(update: RoundUpdate) -> None:
        updates.append(update)
        states.add(show_session(workspace, update.session_id)["status"])

    return run_plainly("sqd", workspace, H4, SAMPLED, "sqd-one", on_progress), updates, states


@pytest.mark.claim("SQD")
def test_one_job_gives_a_bound_and_each_iteration_is_reported_once(unbroken: Unbroken) -> None:
    result, updates, states = unbroken
    assert (result.rounds, result.jobs, result.shots) == (1, 1, SAMPLED.shots)
    assert states == {update.session_status for update in updates} == {"Succeeded"}  # closed before the first iteration
    assert format_round(updates[0]).startswith("iteration   1  energy -2.1")
    assert "(upper bound)" in format_round(updates[0])
    assert result.is_upper_bound
    assert result.value is not None
    assert result.exact is not None
    assert result.value > result.exact
    assert [update.progress for update in updates] == list(result.history)
    text = result.details("kcal/mol")
    assert "an upper bound" in text
    assert "16 of 36 determinants" in text
    head = text.split("space  ")[0]  # before the table
    assert "±" not in head.replace("extrapolated to", "")
    lines = dict(summarize(result).details)
    assert lines["Energy"].endswith(" hartree (an upper bound: the exact energy is not above it)")
    assert "Interval" not in lines
    stopped = replace(result, outcome=None, status="stopped")
    assert dict(summarize(stopped).details)["So far"].endswith("(upper bound) hartree")
    assert "so far (upper bound), stopped" in stopped.text()
    assert RunResult.from_dict(json.loads(result.to_json())) == result


@pytest.mark.slow
def test_a_run_killed_between_iterations_resumes_to_the_same_digits(
    unbroken: Unbroken, own_journal: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", own_journal)
    result, _, _ = unbroken
    at = Shell(dict(os.environ)).at(emulator, "sqd-killed")
    begin_plainly("sqd", at.workspace, H4, SAMPLED, "sqd-killed")
    dying = at.shell.with_variables(HYBRIDLOOP_CRASH_AT="iteration.after:2")
    killed = dying.run(*RUN, "--run-key", "sqd-killed")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert at.session_statuses() == ["Succeeded"]
    updates: list[RoundUpdate] = []
    workspace = emulator.workspace("sqd-killed")
    with unavailable(emulator, SAMPLED.target):  # no session is needed
        resumed = run_plainly("sqd", workspace, H4, SAMPLED, "sqd-killed", updates.append)
    assert resumed.resumed
    assert len(resumed.sessions) == len(at.session_statuses()) == 1
    assert {name: getattr(resumed, name) for name in SAME} == {name: getattr(result, name) for name in SAME}
    assert [update.progress.round for update in updates] == [entry.round for entry in result.history][2:]
    with open_journal() as journal:
        stored = load_run(journal, "sqd-killed")
        steps = [event.facts["name"] for event in stored.events if event.kind == STEP]
        assert steps == [*(f"sqd iteration {entry.round}" for entry in result.history), "sqd comparison"]
        assert verify_run(stored).agrees  # from the counts alone


def test_housekeeping_finds_a_run_interrupted_after_its_session_and_it_resumes_while_its_target_is_away(
    unbroken: Unbroken, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(update: RoundUpdate) -> None:
        if update.progress.round == 2:
            raise KeyboardInterrupt

    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", journal_url(tmp_path / "journal.db"))
    workspace = emulator.workspace("sqd-interrupted")
    settings = SAMPLED.model_copy(update={"resume_automatically": AutoResume.INTERRUPTED})
    # as in a flow run: its record names no host, and housekeeping may resume it
    order, place = algorithm_order("sqd", H4, settings, "sqd-interrupted"), Place.of(workspace)
    with open_journal() as journal:
        with pytest.raises(KeyboardInterrupt):
            live(journal, begin(order, place), workspace, PlainHost(), View(interrupt))
        assert journal.run("sqd-interrupted").status == "interrupted"
        with unavailable(emulator, SAMPLED.target):  # neither a session nor the target is needed
            with disable_run_logger():
                (found,) = find_resumable_task.fn(journal, workspace)
            assert found == journal.run("sqd-interrupted")
            resumed = live(journal, begin(order, place), workspace, PlainHost()).value()
    assert (resumed.status, resumed.table, resumed.reason) == (
        unbroken[0].status,
        unbroken[0].table,
        unbroken[0].reason,
    )
    assert [session.status for session in resumed.sessions] == ["Succeeded"]


def full_space_of_h4() -> FullSpace:
    run = prepared("sqd", H4, SAMPLED, 7)
    assert isinstance(run, PreparedSqd)
    assert run.full is not None
    return run.full


def test_requests_to_stop_and_the_deadline_hold_without_a_session() -> None:
    budget, now, watch = Budget(Caps(deadline_s=60.0), started_at=0.0), [0.0], PrefectWatch()
    with (
        temporary_run("rigetti.sim.qvm", seed=0) as run,
        stops_in_classical_part(run, watch, lambda: budget.check_deadline(now[0])) as check,
    ):
        steps = RecordedSteps(run, check, lambda: None)
        assert steps("one", lambda: {"energy": 1.0}) == {"energy": 1.0}
        full = full_space_of_h4()
        now[0] = 61.0
        with pytest.raises(CapReached, match=r"deadline is reached: 60 s is the deadline.*computed again by a resume"):
            steps("two", dict)
        with pytest.raises(CapReached):  # within a diagonalization, too
            full.selected_ci(8)
        now[0] = 0.0
        run.journal.request_stop(run.uid)
        run.renew_lease()
        with pytest.raises(StopRequested, match="nothing is paid again"):
            steps("two", dict)
        with pytest.raises(StopRequested):
            full.apply(np.zeros(36))
        watch.cancelled.set()
        with pytest.raises(RunCancelled):
            steps("two", dict)
        again = RecordedSteps(run, check, lambda: None)
        assert again("one", dict) == {"energy": 1.0}  # what is recorded needs no check


def test_recorded_steps_are_not_computed_again() -> None:
    # another machine's last bits must not show in a run that has recorded an iteration
    recorded: dict[str, dict[str, Any]] = {}
    run = prepared("sqd", H4, SAMPLED, 7)
    assert isinstance(run, PreparedSqd)
    counts: list[Any] = []

    def keep(name: str, compute: Any, /) -> dict[str, Any]:
        return recorded.setdefault(name, compute_each(name, compute))

    from tests.algorithms.batched_state_helpers import shot_rounds

    def measure(pubs: Any, /) -> Any:
        counts.append(None)
        return shot_rounds(0)(pubs)

    whole = run.finish(run.measure(measure, print), ClassicalPart(print, keep))
    lowered = {"energy": -2.5, "batches": [{**recorded["sqd iteration 1"]["batches"][0], "energy": -2.5}]}
    recorded["sqd iteration 1"] |= lowered
    again = run.finish(run.measure(measure, print), ClassicalPart(print, keep))
    assert (whole.value > -2.5, again.value, len(counts)) == (True, -2.5, 2)


def test_noise_of_the_target_is_corrected_and_no_warning_doubts_a_bound(own_journal: str, emulator: Emulator) -> None:
    result = run_plainly("sqd", emulator.workspace("sqd-noisy"), H4, NOISY)
    assert result.value is not None
    assert result.exact is not None
    assert result.reference is not None
    assert result.exact <= result.value < result.reference
    assert not any("noise" in warning for warning in result.warnings)
    samples = next(choice for choice in result.choices if choice.startswith("samples: "))
    assert "2,000 of 2,000" not in samples


def test_without_pyscf_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyscf", None)
    monkeypatch.setitem(sys.modules, "pyscf.fci", None)
    with pytest.raises(InputError, match=r"PySCF, which is not installed.* pip install 'hybridloop\[pyscf\]'"):
        prepared("sqd", H4, SAMPLED, 0)
