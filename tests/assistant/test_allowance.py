"""The allowance holds: for calls at once, several servers, restarts, runs of others, and files outside the folder."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from hybridloop.assistant.allowance import TAG, Allowance, reset
from hybridloop.assistant.server import problem_argument
from hybridloop.errors import InputError, LimitReached
from hybridloop.journal import Job, Lease, open_journal
from hybridloop.targets import find_target
from tests.journal.journal_helpers import BODY, PROGRAM, counts, new_run, pub

PAID = find_target("quantinuum.qpu.h2-1")


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path / "home"))


def begin(key: str, target: str = PAID.name, status: str = "interrupted", tags: Sequence[str] = (TAG,)) -> None:
    """Write a run of this status, with a result if the status has one, that has cost nothing."""
    with open_journal() as journal:
        given = {"settings": {"tags": list(tags)}}
        lease = journal.take_lease(journal.add_run(replace(new_run(key), target=target, settings=given)).uid)
        journal.set_status(lease, status, "", None)
        journal.release(lease)


def reserve(key: str, amount: float, unit: str = "HQC") -> tuple[Lease, Job]:
    """Write a round with one job of a run, for which this amount is reserved. Raises LimitReached."""
    job = Job(str(uuid.uuid4()), 0, 0, 0, 0, 100, None, 0, {unit: amount})
    with open_journal() as journal:
        record = journal.run(key)
        lease = journal.take_lease(record.uid)
        sequence = journal.progress(record.uid).rounds
        try:
            journal.begin_round(lease, "main", sequence, record.target, [pub(points=1)], [job], {PROGRAM: BODY})
        except LimitReached:
            journal.release(lease)
            raise
    return lease, job


def bill(lease: Lease, job: Job, amount: float) -> None:
    """End the job of a run's first round with this bill."""
    with open_journal() as journal:
        ended = replace(job, state="done", counts=(counts(1),), billed={"HQC": amount})
        journal.record_outcomes(lease, "main", 0, [ended], complete=True)
        journal.release(lease)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as refused:
        call()
    return str(refused.value)


def test_runs_at_once_reserve_no_more_than_the_allowance_of_which_refused_calls_take_nothing() -> None:
    allowance = Allowance({"HQC": 100.0})
    keys = [f"run-{number}" for number in range(8)]
    for key in keys:
        assert allowance.check(key, PAID, {"HQC": 30.0}) == {}
        begin(key)
    assert "exceeds" in refusal(lambda: allowance.check("large", PAID, {"HQC": 101.0}))
    assert allowance.balance().left == {"HQC": 100.0}

    def ask(key: str) -> bool:
        try:
            reserve(key, 30.0)
        except LimitReached:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, keys)) == 3
    assert str(allowance.balance()) == (
        "Allowance: 10 HQC of 100 HQC are left (0 HQC spent, 90 HQC reserved for jobs in flight)."
    )


def test_what_is_spent_counts_after_a_restart_until_a_reset_and_a_person_may_allow_less() -> None:
    Allowance({"HQC": 100.0})
    begin("a")
    bill(*reserve("a", 60.0), 55.0)
    again = Allowance({"HQC": 100.0})
    assert (again.balance().spent, again.balance().left) == ({"HQC": 55.0}, {"HQC": 45.0})
    assert again.check("a", PAID, {"HQC": 100.0}) == {}  # of which it has spent 55
    said = refusal(lambda: again.check("b", PAID, {"HQC": 46.0}))
    assert "the cap of run b, 46 HQC, exceeds what is left of the allowance. Nothing was submitted." in said
    assert "Give max_cost, at most 45HQC; or ask a person for a larger --allow in HQC" in said
    assert "exceeds" in refusal(lambda: Allowance({"HQC": 50.0}).check("b", PAID, {"HQC": 1.0}))
    assert "exceeds" in refusal(lambda: Allowance({"USD": 500.0}).check("b", PAID, {"HQC": 1.0}))
    assert "exceeds" in refusal(lambda: Allowance({}).check("c", PAID, {"HQC": 0.0}))  # it would open a session
    begin("b")
    with pytest.raises(LimitReached, match="limit assistant HQC is reached: 0 HQC is the limit"):
        reserve("b", 1.0)
    running = Allowance({"HQC": 100.0})
    assert reset().left == {"HQC": 100.0}
    assert (running.balance().spent, running.balance().left) == ({"HQC": 0.0}, {"HQC": 100.0})
    reserve("b", 99.0)  # the running server still has what it was allowed
    assert Allowance({"HQC": 100.0}).balance().left == {"HQC": 1.0}
    with open_journal() as journal:
        assert journal.remove_limit("assistant HQC")
    assert again.balance().left == {"HQC": 0.0}


def test_runs_of_others_are_not_resumed_and_do_not_count() -> None:
    allowance = Allowance({"HQC": 100.0})
    begin("theirs", tags=["night"])
    begin("theirs-free", "ionq.simulator", tags=[])
    begin("theirs-over", status="finished", tags=[])
    begin("over", status="finished")
    reserve("theirs", 1e6)
    assert allowance.balance().left == {"HQC": 100.0}
    assert "was not started under this allowance" in refusal(lambda: allowance.check("theirs", PAID, {"HQC": 1.0}))
    assert allowance.check("theirs-over", PAID, {"HQC": 9.0}) == {"HQC": 0.0}  # its stored result is returned
    assert allowance.check("over", PAID, {}) == {}
    for key in ("free", "theirs-free"):
        assert allowance.check(key, find_target("ionq.simulator"), {}) == {}
    assert "has no cap in it" in refusal(lambda: allowance.check("a", PAID, {"USD": 1.0}))


def test_files_are_read_in_the_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, elsewhere = tmp_path / "problems", tmp_path / "secret"
    folder.mkdir()
    for path in (folder / "ring", elsewhere, tmp_path / "h2"):
        path.write_text("a b\n")
    (folder / "link").symlink_to(elsewhere)
    assert problem_argument("ring", folder) == str(folder / "ring")
    assert problem_argument("h2", folder) == "h2"
    assert problem_argument("H 0 0 0; H 0 0 0.74", None).startswith("H 0")
    for outside in ("link", "../secret", str(elsewhere), "missing", "."):
        assert "no file in the server's folder" in refusal(lambda path=outside: problem_argument(path, folder))  # type: ignore[misc]
    assert "--folder DIR" in refusal(lambda: problem_argument(str(folder / "ring"), None))
    monkeypatch.chdir(tmp_path)  # a file of a built-in problem's name goes first on the command line
    assert "no file in" in refusal(lambda: problem_argument("h2", folder))
