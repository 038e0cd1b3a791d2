"""A run whose optimizer is an object: killed and resumed from the journal, and refused where the object can't be."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit_algorithms.optimizers import SPSA
from scipy.optimize import minimize

import hybridloop as hl
from hybridloop.api.optimizers import optimizer_by_name
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import CallbackFailed, InputError
from hybridloop.inputs.problems import read_problem
from hybridloop.inputs.validation import validate
from hybridloop.journal import Journal, journal_url, open_journal
from hybridloop.journal.held_run import hold_run, new_run
from hybridloop.preparation import prepare
from hybridloop.tasks.session import OpenSession
from tests.conftest import Died, Emulator
from tests.session_helpers import open_run_session

TARGET = "rigetti.sim.qvm"
ALGORITHMS = {"ansatz": "hardware-efficient", "layers": 1, "initial_point": "random", "shots": 100, "precision": 0.1}


@pytest.mark.parametrize("own", [lambda: SPSA(maxiter=4), lambda: partial(minimize, method="COBYLA", tol=0.3)])
def test_a_run_that_died_continues_with_the_recorded_rounds(own: Any, emulator: Emulator, tmp_path: Path) -> None:
    workspace, problem = emulator.workspace(), read_problem("h2")

    def measured(session: OpenSession, die_after: int = 1000) -> Any:
        rounds = 0

        def run_round(pubs: Any, /) -> Any:
            nonlocal rounds
            if rounds == die_after:
                raise Died
            rounds += 1
            return session.run_round(pubs)

        with optimizer_by_name({**ALGORITHMS, "optimizer": own()}) as named:
            prepared = prepare("vqe", problem, validate(VqeSettings, named), 7).algorithm
            return prepared.measure(run_round, lambda _: None)

    with open_run_session(workspace, TARGET, seed=7) as session:
        unbroken = measured(session)
    with Journal(journal_url(tmp_path / "journal.db")) as journal:
        run = journal.add_run(new_run(str(uuid.uuid4()), key="k", algorithm="vqe", problem="h2", target=TARGET, seed=7))
        with (
            pytest.raises(Died),
            hold_run(journal, run.uid) as claimed,
            open_run_session(workspace, TARGET, run=claimed) as session,
        ):
            measured(session, die_after=4)
        with hold_run(journal, run.uid) as claimed, open_run_session(workspace, TARGET, run=claimed) as session:
            resumed = measured(session)
            assert session.replayed == 4
    assert (resumed.value, resumed.parameters, resumed.rounds) == (unbroken.value, unbroken.parameters, unbroken.rounds)


@pytest.mark.parametrize(
    "refused",
    [
        lambda: validate(VqeSettings, {"optimizer": SPSA()}),
        lambda: hl.sweep({"name": "s", "algorithm": "vqe", "problems": ["h2"], "settings": {"optimizer": SPSA()}}),
    ],
)
def test_deployments_and_sweeps_refuse_an_object_in_one_sentence(refused: Any) -> None:
    with pytest.raises(
        InputError, match=r"must be a name in deployments, sweeps and stored settings.*hybridloop.vqe\(optimizer"
    ):
        refused()


def test_a_process_without_the_object_says_how_to_resume() -> None:
    settings = validate(VqeSettings, {"optimizer": "object:SPSA"})
    with pytest.raises(InputError, match=r"SPSA is an object of the Python program .*same run_key, or register"):
        prepare("vqe", read_problem("h2"), settings, 1)


def test_an_object_is_not_left_to_a_worker_to_resume() -> None:
    with pytest.raises(InputError, match="resume_automatically: the optimizer SPSA is an object") as caught:
        hl.vqe("h2", optimizer=SPSA(), resume_automatically="parked")
    assert caught.value.field == "resume_automatically"


class Asking:
    """An optimizer whose first two rounds are points of its own making, and whose end is what `last` returns."""

    def __init__(self, last: Callable[[], Any]) -> None:
        self.last, self.rounds = last, 0

    def ask(self) -> Any:
        self.rounds += 1
        return np.full((2, 4), 0.1 * self.rounds) if self.rounds < 3 else self.last()

    def tell(self, _points: Any, _values: Any) -> None:
        pass


def calling(last: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def minimizer(fun: Any, x0: Any) -> Any:
        fun(x0)
        fun(x0 + 0.1)
        return fun(last(x0))

    return minimizer


def raising(error: BaseException) -> Any:
    raise error


BAD = [
    (calling(lambda x0: np.zeros((10_001, len(x0)))), "10,001 points at once, and a round has at most 10,000"),
    (calling(lambda x0: x0 + 1j), "no array of finite real numbers"),
    (calling(lambda x0: np.concatenate([x0, x0])), r"a point of shape \(8,\)"),
    (calling(lambda x0: x0[:, None]), r"a point of shape \(4, 1\)"),
    (calling(lambda x0: x0 * np.nan), "no array of finite real numbers"),
    (calling(lambda _: "here"), "str here, which is no array of finite real numbers"),
    (calling(lambda _: raising(RuntimeError("boom"))), "raised RuntimeError: boom after round 2"),
    (calling(lambda _: sys.exit(3)), "raised SystemExit: 3 after round 2"),
    (Asking(lambda: np.zeros(3)), r"Asking.ask\(\) returned a point of shape \(3,\)"),
    (Asking(lambda: [[1.0], [1.0, 2.0]]), "no array of finite real numbers"),
    (Asking(lambda: np.zeros((20_000, 4))), "20,000 points at once"),
    (Asking(lambda: sys.exit("done")), "raised SystemExit: done after round 2"),
]


@pytest.mark.parametrize(("bad", "words"), BAD)
def test_an_optimizer_that_fails_ends_in_words_and_its_run_is_resumed_by_its_program(
    bad: Any, words: str, emulator: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", journal_url(tmp_path / "journal.db"))
    asked = {**ALGORITHMS, "search": "measured", "seed": 7, "run_key": "own", "workspace": emulator.workspace()}
    with pytest.raises((InputError, CallbackFailed), match=words):
        hl.vqe("h2", optimizer=bad, host="plain", **asked)
    (line,) = [text for text in caplog.messages if "to resume it" in text]
    assert line.endswith("start the program with its optimizer again with run_key='own'")
    with open_journal() as journal:
        rounds = list(journal.rounds(journal.run("own").uid))
    assert len(rounds) == 2


def test_an_optimizer_that_asks_for_none_has_ended(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", journal_url(tmp_path / "journal.db"))
    asked = {**ALGORITHMS, "search": "measured", "seed": 7, "workspace": emulator.workspace()}
    result = hl.vqe("h2", optimizer=Asking(lambda: None), host="plain", **asked)
    assert result.status == "finished"
    assert "Asking ended" in result.reason
