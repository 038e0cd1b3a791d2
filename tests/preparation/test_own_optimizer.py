"""A run whose optimizer is an object: killed and resumed from the journal, and refused where the object can't be."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from qiskit_algorithms.optimizers import SPSA
from scipy.optimize import minimize

import hybridloop as hl
from hybridloop.api.optimizers import optimizer_by_name
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.inputs.problems import read_problem
from hybridloop.inputs.validation import validate
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import hold_run, new_run
from hybridloop.preparation import prepare
from hybridloop.tasks.session import OpenSession, open_run_session
from tests.conftest import Died, Emulator

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
