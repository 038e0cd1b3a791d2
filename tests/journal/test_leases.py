"""Leases: at most one process holds a run, and a process that lost it can't write."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from hybridloop.errors import JournalDamaged, LeaseLost, RunBusy
from hybridloop.journal import LEASE_S, Journal, Lease, Owner, journal_url
from hybridloop.journal.held_run import HeldRun
from tests.forked_processes import context
from tests.journal.journal_helpers import (
    BODY,
    TARGET,
    add_claimed_run,
    execute,
    intents,
    measure,
    new_run,
    outcomes,
    owner_elsewhere,
    ping,
    pub,
    round_values,
    session,
)
from tests.long_form import long_form, short_or_long

DEADLINE_S = 30.0

FORK = multiprocessing.get_context("fork")  # a direct child, which only this process reaps


def receive(receiver: Connection) -> Any:
    """Return a child's next message."""
    assert receiver.poll(DEADLINE_S), "a child has not answered"
    return receiver.recv()


class ClaimsOnOneRun(RuleBasedStateMachine):
    """Processes of other machines claim, renew, write and release; a small model says which of them may."""

    journal: Journal

    @initialize()
    def start(self) -> None:
        self.uid = self.journal.add_run(new_run(f"run-{os.urandom(8).hex()}")).uid
        self.now = 1000.0
        self.leases: list[Lease] = []
        self.holder: Lease | None = None
        self.expires_at = 0.0
        self.written = 0

    @rule(seconds=st.sampled_from([0.5, 30.0, LEASE_S, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(pid=st.integers(1, 3))
    def claim(self, pid: int) -> None:
        owner = owner_elsewhere(pid)
        if self.holder is not None and self.now < self.expires_at:
            with pytest.raises(RunBusy):
                self.journal.take_lease(self.uid, now=self.now, owner=owner)
            return
        lease = self.journal.take_lease(self.uid, now=self.now, owner=owner)
        assert lease.epoch == len(self.leases) + 1
        self.leases.append(lease)
        self.holder, self.expires_at = lease, self.now + LEASE_S

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        if not self.leases:
            return
        lease = data.draw(st.sampled_from(self.leases))
        if lease != self.holder:
            with pytest.raises(LeaseLost):
                self.journal.renew(lease, now=self.now)
            return
        assert self.journal.renew(lease, now=self.now).lease_expires_at == self.now + LEASE_S
        self.expires_at = self.now + LEASE_S

    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        if not self.leases:
            return
        lease = data.draw(st.sampled_from(self.leases))
        if lease != self.holder:
            with pytest.raises(LeaseLost):
                self.journal.add_event(lease, "write", {})
            return
        self.journal.add_event(lease, "write", {})
        self.written += 1

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if not self.leases:
            return
        lease = data.draw(st.sampled_from(self.leases))
        self.journal.release(lease)
        if lease == self.holder:
            self.holder = None

    @invariant()
    def the_journal_agrees(self) -> None:
        record = self.journal.run(self.uid)
        assert record.epoch == len(self.leases)
        assert (record.owner and record.owner.token) == (self.holder and self.holder.token)
        assert len(self.journal.events(self.uid)) == self.written


@long_form
def test_claims_follow_the_model(tmp_path: Path) -> None:
    with Journal(journal_url(tmp_path / "journal.db")) as journal:
        run_state_machine_as_test(
            type("_", (ClaimsOnOneRun,), {"journal": journal}),
            settings=settings(
                max_examples=short_or_long(8, 100),
                stateful_step_count=20,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


def _race(url: str, uids: list[str], start: Callable[[], object], report: Connection) -> None:
    with Journal(url) as journal:
        for uid in uids:
            start()
            try:
                journal.take_lease(uid)
                report.send((uid, os.getpid(), None))
            except RunBusy as busy:
                report.send((uid, os.getpid(), busy.holder))
        start()  # no process ends before all have tried


@pytest.mark.claim("another process has the run")
@long_form
def test_of_eight_processes_claiming_at_once_exactly_one_gets_the_run(new_url: str) -> None:
    with Journal(new_url) as journal:
        uids = [journal.add_run(new_run(f"run-{number}")).uid for number in range(short_or_long(5, 20))]
    processes = context()
    barrier = processes.Barrier(8)
    ends = [processes.Pipe(duplex=False) for _ in range(8)]
    children = [
        processes.Process(target=_race, args=(new_url, uids, partial(barrier.wait, DEADLINE_S), end[1])) for end in ends
    ]
    for child in children:
        child.start()
    claims = [receive(receiver) for receiver, _ in ends for _ in uids]
    for child in children:
        child.join(DEADLINE_S)
        assert child.exitcode == 0
    for uid in uids:
        winners = [pid for run, pid, holder in claims if run == uid and holder is None]
        assert len(winners) == 1
        holders = {holder for run, _, holder in claims if run == uid and holder is not None}
        assert len(holders) == 1
        assert holders.pop().startswith(f"process {winners[0]} on ")


def _claim_and_stay(url: str, uid: str, report: Connection) -> None:
    journal = Journal(url)
    report.send(journal.take_lease(uid, now=1000.0))
    signal.pause()


def test_a_run_of_a_dead_local_process_is_claimed_at_once_and_of_a_suspended_one_is_not(new_url: str) -> None:
    with Journal(new_url) as journal:
        uid = journal.add_run(new_run()).uid
        receiver, sender = FORK.Pipe(duplex=False)
        child = FORK.Process(target=_claim_and_stay, args=(new_url, uid, sender))
        child.start()
        assert child.pid is not None
        lease = receive(receiver)
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(RunBusy, match=f"process {child.pid}"):
            journal.take_lease(uid, now=1001.0)
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped by its parent yet
        assert journal.take_lease(uid, now=1001.0).epoch == lease.epoch + 1
        child.join()


def test_a_process_with_a_reused_id_is_not_the_owner() -> None:
    here = Owner.of_this_process()
    assert not here.is_known_dead()
    later = Owner(here.host, here.boot_id, here.pid, here.started_at + 60.0, "token")
    assert later.is_known_dead()
    assert not Owner(here.host, "another boot", here.pid, 0.0, "token").is_known_dead()
    assert not Owner("another host", here.boot_id, here.pid, 0.0, "token").is_known_dead()
    assert here.token != Owner.of_this_process().token


NAMESPACE = ("unshare", "--fork", "--pid", "--mount-proc")  # process ids as in a container
_HAS_NAMESPACES = (
    shutil.which(NAMESPACE[0]) is not None and subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0
)


@pytest.mark.skipif(not _HAS_NAMESPACES, reason="this user may not create a process namespace (unshare)")
def test_a_process_in_a_container_is_not_taken_for_dead_from_outside() -> None:
    imports = "import json; from hybridloop.journal import Owner"
    code = f"{imports}; print(json.dumps(Owner.of_this_process().as_mapping()))"
    done = subprocess.run([*NAMESPACE, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    inside, outside = Owner(**json.loads(done.stdout)), Owner.of_this_process()
    assert inside.host == outside.host
    assert not inside.is_local()
    assert not inside.is_known_dead()  # it has ended, but that can't be seen from outside


def test_a_process_that_lost_the_run_changes_nothing(journal: Journal) -> None:
    uid = journal.add_run(new_run()).uid
    lost = journal.take_lease(uid, now=1000.0, owner=owner_elsewhere())
    ids = measure(journal, lost, 0, points=2)
    journal.add_session(lost, session())
    sent = ping()
    journal.add_ping(lost, sent)
    held = journal.take_lease(uid, now=1000.0 + LEASE_S, owner=owner_elsewhere(18))

    def everything() -> object:
        return (
            journal.run(uid),
            [round_values(round_) for round_ in journal.rounds(uid)],
            journal.sessions(uid),
            journal.pings(uid),
            journal.events(uid),
            journal.program("payload:late"),
        )

    before = everything()
    jobs = intents(points=2)
    for late in (
        lambda: journal.renew(lost),
        lambda: journal.begin_round(lost, "main", 1, TARGET, [pub(points=2)], jobs, {"payload:late": BODY}),
        lambda: journal.add_attempts(lost, "main", 0, intents(points=1, attempt=1)),
        lambda: journal.mark_submitted(lost, ids),
        lambda: journal.record_outcomes(lost, "main", 0, outcomes(jobs), complete=True),
        lambda: journal.add_session(lost, session(1)),
        lambda: journal.end_session(lost, uid, 0, "Succeeded", 5.0),
        lambda: journal.end_session(None, uid, 0, "Succeeded", 1001.0 + LEASE_S),
        lambda: journal.add_ping(lost, ping(1)),
        lambda: journal.end_ping(lost, sent.id, "done", {}),
        lambda: journal.set_status(lost, "converged", "", {"value": 1.0}),
        lambda: journal.add_event(lost, "takeover", {}),
    ):
        with pytest.raises(LeaseLost, match="process 18 on node3"):
            late()
        assert everything() == before
    journal.release(lost)
    assert everything() == before
    journal.add_event(held, "takeover", {})


def test_a_lease_with_another_token_or_epoch_is_invalid(journal: Journal) -> None:
    lease = add_claimed_run(journal)
    for forged in (replace(lease, epoch=lease.epoch + 1), replace(lease, token="0" * 32)):
        with pytest.raises(LeaseLost):
            journal.add_event(forged, "x", {})
        journal.release(forged)
    journal.add_event(lease, "x", {})


def test_an_expired_lease_that_was_not_taken_over_is_renewed(journal: Journal) -> None:
    uid = journal.add_run(new_run()).uid
    lease = journal.take_lease(uid, now=1000.0)
    assert journal.renew(lease, now=9000.0).lease_expires_at == 9000.0 + LEASE_S
    with pytest.raises(RunBusy, match="1970-01-01 02:31:00 UTC"):
        journal.take_lease(uid, now=9001.0)


def test_without_a_lease_only_sessions_of_owners_that_are_gone_can_be_ended(journal: Journal) -> None:
    uid = journal.add_run(new_run()).uid
    journal.add_session(journal.take_lease(uid, now=1000.0, owner=owner_elsewhere()), session())
    with pytest.raises(LeaseLost):
        journal.end_session(None, uid, 0, "Succeeded", 1000.0 + LEASE_S - 1)
    assert [row.status for _, row in journal.open_sessions()] == ["Open"]
    journal.end_session(None, uid, 0, "Succeeded", 1000.0 + LEASE_S)
    assert journal.sessions(uid)[0].status == "Succeeded"
    assert not journal.open_sessions()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_round_is_not_taken_for_one_that_never_began_and_its_run_is_not_claimed(
    journal: Journal, new_url: str, missing: int
) -> None:
    lease = add_claimed_run(journal)
    for sequence in range(3):
        measure(journal, lease, sequence, points=1)
    journal.release(lease)
    execute(new_url, f"DELETE FROM rounds WHERE sequence = {missing}")
    for read in (
        lambda: journal.round(lease.run_uid, "main", missing),
        lambda: list(journal.rounds(lease.run_uid)),
        lambda: journal.take_lease(lease.run_uid),
    ):
        with pytest.raises(JournalDamaged, match="rounds"):
            read()


def test_a_missing_job_is_noticed(journal: Journal, new_url: str) -> None:
    lease = add_claimed_run(journal)
    measure(journal, lease, 0, points=3)
    execute(new_url, "DELETE FROM jobs WHERE point = 2")
    with pytest.raises(JournalDamaged, match="3 were written, and 2 are stored"):
        journal.round(lease.run_uid, "main", 0)


def test_a_lease_of_one_journal_is_invalid_in_another(journal: Journal, tmp_path: Path) -> None:
    lease = add_claimed_run(journal)
    with Journal(journal_url(tmp_path / "other.db")) as other:
        with pytest.raises(JournalDamaged, match="states"):
            other.add_event(lease, "x", {})
        other.add_run(new_run())
        with pytest.raises(LeaseLost, match="nobody"):
            other.add_event(Lease(other.run("h2-night").uid, lease.token, 0), "x", {})


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_callback_runs_once_whether_a_stop_or_the_loss_of_the_lease_comes_after_it_or_before(
    journal: Journal,
    is_lost: bool,  # noqa: FBT001
) -> None:
    lease, calls = add_claimed_run(journal), list[str]()
    run = HeldRun(journal, journal.run(lease.run_uid), lease)
    run.on_stop(lambda: calls.append("registered before"))
    run.renew_lease()
    assert calls == []
    if is_lost:
        journal.release(lease)
        journal.take_lease(run.uid)
    else:
        journal.request_stop(run.uid)
    run.renew_lease()
    run.on_stop(lambda: calls.append("registered after"))
    assert calls == ["registered before", "registered after"]
    run.renew_lease()
    assert len(calls) == 2
