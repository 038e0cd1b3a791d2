"""Tracker: what a block costs by target and run, compared with the emulator's ledger; nothing counts twice."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

from azure.quantum import Workspace

import hybridloop as hl
from hybridloop.budget.cost_summary import CostSummary, subtract_costs, sum_costs
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import hold_run, new_run
from tests.circuit_helpers import bell
from tests.conftest import Emulator
from tests.session_helpers import open_run_session

FREE, EMULATED = "ionq.simulator", "quantinuum.sim.h2-1e"
# One gate, one between qubits, two preparations and two measurements: 5 + 100 (1 + 10 + 20) / 5000 credits
CREDITS = 5.62


def run_bells(workspace: Workspace, target: str, jobs: int) -> str:
    with open_run_session(workspace, target) as session:
        session.run([bell()] * jobs, shots=100)
    return session.run_uid


def test_a_block_counts_whatever_runs_inside_by_target_and_run(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    with open_run_session(workspace, FREE) as before:  # opened before the block, and used in it too
        before.run(bell(), shots=7).result()
        with hl.track() as outer:
            before.run(bell(), shots=11).result()
            thread = threading.Thread(target=run_bells, args=(workspace, FREE, 1))
            thread.start()
            thread.join()
            with hl.track() as inner:
                uid = run_bells(workspace, EMULATED, 2)
        before.run(bell(), shots=13).result()
    assert (outer.jobs, outer.shots, inner.jobs, inner.shots) == (4, 311, 2, 200)
    assert {target: cost.jobs for target, cost in outer.by_target.items()} == {FREE: 2, EMULATED: 2}
    assert set(inner.by_run) == {uid}
    ledger = emulator.admin(f"ledger?run={uid}")
    assert inner.billed == {"eHQC": round(ledger["money"]["eHQC"], 9)} == {"eHQC": 2 * CREDITS}
    assert outer.by_target[EMULATED] == inner.total
    assert [(row["run"], row["target"], row["jobs"]) for row in inner.rows()] == [(uid, EMULATED, 2)]
    assert "11.24 eHQC" in str(inner).splitlines()[-1]


def test_rounds_from_the_journal_cost_nothing_again(emulator: Emulator, tmp_path: Path) -> None:
    workspace, counts = emulator.workspace(), []
    with Journal(journal_url(tmp_path / "journal.db")) as journal:
        run = journal.add_run(
            new_run(str(uuid.uuid4()), key="k", algorithm="session", problem="", target=EMULATED, seed=1)
        )
        for _ in range(2):
            with (
                hl.track() as tracked,
                hold_run(journal, run.uid) as claimed,
                open_run_session(workspace, EMULATED, run=claimed) as session,
            ):
                session.run(bell(), shots=100).result()
            counts.append((tracked.jobs, tracked.billed.get("eHQC", 0.0), list(tracked.by_run)))
    assert counts == [(1, CREDITS, ["k"]), (0, 0.0, [])]


def test_costs_are_added_and_subtracted_by_unit() -> None:
    first = CostSummary(2, 30, {"USD": 1.5}, {"USD": 1.0}, {"USD": 0.5})
    second = CostSummary(1, 10, {"HQC": 5.0}, {}, {"HQC": 4.0})
    total = sum_costs([first, second])
    assert total == CostSummary(3, 40, {"USD": 1.5, "HQC": 5.0}, {"USD": 1.0}, {"USD": 0.5, "HQC": 4.0})
    added = subtract_costs(total, first)
    assert (added.jobs, added.shots, added.billed) == (1, 10, {"USD": 0.0, "HQC": 4.0})


def test_a_tracker_that_is_used_again_counts_its_last_block(emulator: Emulator) -> None:
    workspace, tracker = emulator.workspace(), hl.track()
    with tracker:
        run_bells(workspace, FREE, 2)
    with tracker:
        assert tracker.jobs == 0
        run_bells(workspace, FREE, 1)
        assert tracker.jobs == 1
    assert tracker.jobs == 1
