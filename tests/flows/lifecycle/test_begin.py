"""A run that its caller has begun before Prefect: what other processes do meanwhile counts, and nothing is lost."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError, RunBusy
from hybridloop.flows.algorithms import vqe
from hybridloop.flows.lifecycle import run as lifecycle
from hybridloop.flows.lifecycle.begin import BegunRun, EndedRun, Place, RunOrder, begin, is_current
from hybridloop.flows.lifecycle.run import run_order
from hybridloop.journal import open_journal
from hybridloop.runs.claim import claim
from hybridloop.runs.live import RoundUpdate, View
from hybridloop.settings import ProblemText
from tests.conftest import Emulator

pytestmark = pytest.mark.usefixtures("prefect_server")
SETTINGS = VqeSettings(seed=7, precision=0.01)


def order(settings: VqeSettings = SETTINGS) -> RunOrder:
    return RunOrder("vqe", ProblemText(name="h2"), settings, f"begun-{secrets.token_hex(4)}")


def begun_for(asked: RunOrder, workspace: Any) -> BegunRun:
    begun = begin(asked, Place.of(workspace), by_person=True)
    assert isinstance(begun, BegunRun)
    assert is_current(begun.found)
    return begun


def test_a_run_that_another_process_ended_meanwhile_is_returned_and_nothing_is_paid_again(emulator: Emulator) -> None:
    workspace, asked = emulator.workspace("ended-meanwhile"), order()
    begun = begun_for(asked, workspace)
    first = run_order(asked, workspace)
    again = run_order(asked, workspace, begun=begun)
    assert again == first
    with open_journal() as journal:
        uid = journal.run(first.run_key).uid
    assert len(emulator.admin(f"ledger?run={uid}")["entries"]) == first.jobs
    assert isinstance(begin(asked, Place.of(workspace)), EndedRun)


def test_a_run_that_another_process_holds_meanwhile_is_busy(emulator: Emulator) -> None:
    workspace, asked = emulator.workspace("held-meanwhile"), order()
    begun = begun_for(asked, workspace)
    found = Place.of(workspace).locate(begun.found)
    with open_journal() as journal, claim(journal, found), pytest.raises(RunBusy):
        run_order(asked, workspace, begun=begun)


def test_a_key_that_another_process_took_meanwhile_for_other_settings_is_refused(emulator: Emulator) -> None:
    workspace, asked = emulator.workspace("taken-meanwhile"), order()
    begun = begun_for(asked, workspace)
    other = RunOrder("vqe", asked.problem, SETTINGS.model_copy(update={"precision": 0.02}), asked.run_key)
    run_order(other, workspace)
    with pytest.raises(InputError, match="was started with another value"):
        run_order(asked, workspace, begun=begun)


def test_a_retry_by_prefect_resumes_the_run_that_its_caller_began(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, asked = emulator.workspace("retried"), order()
    monkeypatch.setattr(lifecycle, "load_flow", lambda _: vqe.with_options(retries=1))
    rounds: list[int] = []

    def fail_once(update: RoundUpdate) -> None:
        rounds.append(update.progress.round)
        if rounds == [1]:
            raise RuntimeError("out of luck")

    result = run_order(asked, workspace, view=View(fail_once), begun=begun_for(asked, workspace))
    assert result.status == "converged"
    assert result.resumed
    assert rounds == sorted(set(rounds))  # no round is told twice


def test_a_run_is_not_resumed_in_another_workspace(emulator: Emulator) -> None:
    asked = order()
    run_order(asked, emulator.workspace("its-own"))
    another = emulator.workspace("another")
    with pytest.raises(InputError, match="workspace"):
        begin(asked, Place.of(another))
    # of a saved block the identity is not known before the flow run
    assert isinstance(begin(asked, Place(None, Place.of(another).find_target)), EndedRun)
    with pytest.raises(InputError, match="workspace"):
        run_order(asked, another)
