"""The allowance holds: for calls at once, several servers, restarts, runs of others, and files outside the folder."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from hybridloop.assistant.allowance import Allowance
from hybridloop.assistant.server import problem_argument
from hybridloop.azure.targets import find_target
from hybridloop.errors import InputError
from hybridloop.journal import open_journal
from tests.journal.journal_helpers import new_run

PAID = find_target("quantinuum.qpu.h2-1")


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path / "home"))


def begin(key: str, target: str = PAID.name, status: str = "interrupted") -> None:
    """Write a run of this status, with a result if the status has one, that has cost nothing."""
    with open_journal() as journal:
        lease = journal.take_lease(journal.add_run(replace(new_run(key), target=target)).uid)
        journal.set_status(lease, status, "", None)
        journal.release(lease)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as refused:
        call()
    return str(refused.value)


def test_calls_at_once_hold_no_more_than_the_allowance() -> None:
    servers = [Allowance({"HQC": 100.0}), Allowance({"HQC": 100.0})]

    def ask(number: int) -> bool:
        try:
            return bool(servers[number % 2].hold(f"run-{number}", PAID, {"HQC": 30.0}))
        except InputError:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, range(8))) == 3
    assert servers[0].balance().left == {"HQC": 10.0}


def test_its_ledger_is_its_user_s_alone(tmp_path: Path) -> None:
    Allowance({"HQC": 100.0}).hold("a", PAID, {"HQC": 60.0})
    (ledger,) = (tmp_path / "home" / "assistant").glob("*.json")
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o600


def test_a_known_run_keeps_its_cap_and_a_larger_one_counts_once_also_after_a_restart() -> None:
    Allowance({"HQC": 100.0}).hold("a", PAID, {"HQC": 60.0})
    again = Allowance({"HQC": 100.0})
    assert again.hold("a", PAID, {}) == {"HQC": 60.0}
    assert again.hold("a", PAID, {"HQC": 90.0}) == {"HQC": 90.0}
    assert again.balance().left == {"HQC": 10.0}
    said = refusal(lambda: again.hold("b", PAID, {"HQC": 11.0}))
    assert "the cap of run b, 11 HQC, exceeds what is left of the allowance. Nothing was submitted." in said
    assert "Give max_cost, at most 10HQC; or finish a (`run` with the same arguments)" in said
    assert "ask a person for a larger --allow in HQC" in said
    assert "exceeds" in refusal(lambda: Allowance({"HQC": 50.0}).hold("a", PAID, {}))  # a person allows less now
    assert "exceeds" in refusal(lambda: Allowance({"USD": 500.0}).hold("a", PAID, {}))


def test_a_run_that_ended_before_it_began_holds_nothing_and_one_that_is_resumable_its_cap() -> None:
    own, other = Allowance({"HQC": 100.0}), Allowance({"HQC": 100.0})
    for key in ("refused", "shared", "begun"):
        own.hold(key, PAID, {"HQC": 20.0})
    other.hold("shared", PAID, {})
    begin("begun")
    assert own.balance(["refused", "shared", "begun"]).unfinished == ("shared", "begun")
    assert own.reset().held == {"HQC": 20.0}
    begin("over", status="finished")
    assert own.hold("over", PAID, {"HQC": 999.0}) == {"HQC": 0.0}  # its stored result is returned
    with open_journal() as journal:  # the run ends
        lease = journal.take_lease(journal.run("begun").uid)
        journal.set_status(lease, "converged", "", None)
    assert own.balance().left == {"HQC": 100.0}
    assert own.reset().unfinished == ()


def test_what_has_no_cap_no_price_or_another_owner_is_refused_and_what_is_free_is_not() -> None:
    allowance = Allowance({"HQC": 100.0})
    begin("theirs")
    begin("theirs-free", "ionq.simulator")
    assert "`runs" not in refusal(lambda: allowance.hold("theirs", PAID, {"HQC": 1.0}))
    assert "was not started under this allowance" in refusal(lambda: allowance.hold("theirs", PAID, {"HQC": 1.0}))
    assert "has no cap in it" in refusal(lambda: allowance.hold("a", PAID, {"USD": 1.0}))
    for name in ("quantinuum.qpu.helios-1", "rigetti.qpu.cepheus-1-108q"):  # no price, and no maximum price
        assert "no maximum price" in refusal(lambda name=name: allowance.hold("a", find_target(name), {"HQC": 1.0}))  # type: ignore[misc]
    for key in ("free", "theirs-free"):
        assert allowance.hold(key, find_target("ionq.simulator"), {}) == {}
    assert allowance.balance().unfinished == ()


def test_a_ledger_that_can_not_be_read_allows_nothing(tmp_path: Path) -> None:
    allowance = Allowance({"HQC": 100.0})
    allowance.hold("a", PAID, {"HQC": 60.0})
    (ledger,) = (tmp_path / "home" / "assistant").glob("*.json")
    assert list(json.loads(ledger.read_text())) == ["a"]
    ledger.write_text("{")
    assert "can't be read" in refusal(lambda: allowance.hold("a", PAID, {"HQC": 60.0}))


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
