"""IonQ's debiasing: on by default; job, price and bill agree with the setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

import hybridloop as hl
from hybridloop.descriptions import ALGORITHMS
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.errors import InputError
from hybridloop.estimate.planner import plan_run
from hybridloop.journal import Journal
from hybridloop.runs.order import algorithm_order
from hybridloop.runs.run import find_run
from hybridloop.settings import ProblemText
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import find_target, known_targets
from hybridloop.targets.provider_options import provider_params
from tests.conftest import Emulator
from tests.preparation_helpers import prepared as prepare
from tests.runs.holding_helpers import hold
from tests.session_helpers import open_run_session
from tests.value_helpers import known

MACHINE = "ionq.qpu.forte-1"
MITIGATED, PLAIN = 168.195, 25.7899  # dollars, the least price of a job
RING = ProblemText(name="ring-8")


def pub(shots: int) -> SamplerPub:
    circuit = QuantumCircuit(1, 1)
    circuit.h(0)
    circuit.measure(0, 0)
    return SamplerPub.coerce((circuit, None, shots))


@pytest.mark.parametrize(
    ("debias", "shots", "least"), [(True, 500, MITIGATED), (True, 499, PLAIN), (False, 500, PLAIN), (False, 499, PLAIN)]
)
def test_a_job_has_the_debias_setting_from_500_shots_and_is_reserved_and_billed_accordingly(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, least: float, shots: int, *, debias: bool
) -> None:
    workspace, dollars = emulator.workspace(), pytest.approx(2 * (least + shots * 0.0001645), abs=1e-6)
    with open_run_session(workspace, MACHINE, SessionOptions(debias=debias)) as session:
        session.run_round([pub(shots)])
        session.run_round([pub(shots)])
    assert session.cost == {"USD": dollars}
    assert session.meter.estimated == {"USD": dollars}
    told: Any = [
        job.details.input_params.get("error-mitigation") for job in workspace.list_session_jobs(session_id=session.id)
    ]
    assert told == [None if least == MITIGATED else {"debias": False}] * 2
    warned = [text for text in caplog.messages if "fewer than 500 shots (here 499)" in text]
    assert len(warned) == (debias and shots == 499)


def test_a_plan_says_that_few_shots_have_no_debiasing_and_prices_them_so() -> None:
    few = plan_run("qaoa", RING, QaoaSettings(target=MACHINE, shots=499))
    enough = plan_run("qaoa", RING, QaoaSettings(target=MACHINE, shots=500))
    warned = [any("fewer than 500 shots (here 499)" in text for text in plan.warnings) for plan in (few, enough)]
    assert warned == [True, False]
    assert known(few.unmitigated).expected == few.cost.expected
    assert known(enough.cost.expected) - known(few.cost.expected) > MITIGATED - PLAIN


def test_debias_is_accepted_for_machines_with_debiasing_only(emulator: Emulator) -> None:
    able = {name for name, target in known_targets().items() if target.debiases}
    assert able == {name for name in known_targets() if name.startswith("ionq.qpu")}
    assert provider_params(find_target("rigetti.sim.qvm"), debias=False) == {}
    with pytest.raises(InputError, match=r"debias: rigetti\.sim\.qvm has no error mitigation"):
        prepare("qaoa", RING, QaoaSettings(debias=False), 0)
    with pytest.raises(InputError, match="debias"):
        prepare("vqe", ProblemText(name="h2"), ALGORITHMS["vqe"].settings(debias=False, target="ionq.simulator"), 0)
    workspace = emulator.workspace()
    with (
        pytest.raises(InputError, match="debias"),
        open_run_session(workspace, "ionq.simulator", SessionOptions(debias=False)),
    ):
        pass
    assert list(workspace.list_sessions()) == []


def test_a_resumed_run_keeps_its_debias_setting(tmp_path: Path) -> None:
    settings = QaoaSettings(target=MACHINE, debias=False, seed=1)
    wanted = algorithm_order("qaoa", RING, settings, "k", workspace={"name": "ws"})
    other = algorithm_order("qaoa", RING, QaoaSettings(target=MACHINE, seed=1), "k", workspace={"name": "ws"})
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        with hold(journal, wanted):
            pass
        with pytest.raises(InputError, match="debias"):
            find_run(journal, other)
        assert find_run(journal, wanted).settings.debias is False


def test_a_resumed_script_keeps_its_debias_setting(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", f"sqlite:///{tmp_path}/journal.db")
    workspace = emulator.workspace()
    with hl.open_session(MACHINE, run_key="k", seed=1, workspace=workspace, debias=False) as session:
        session.run_round([pub(100)])
    with (
        pytest.raises(InputError, match="debias"),
        hl.open_session(MACHINE, run_key="k", seed=1, workspace=workspace),
    ):
        pass
    with hl.open_session(MACHINE, run_key="k", seed=1, workspace=workspace, debias=False) as session:
        session.run_round([pub(100)])
    assert session.replayed == 1
    assert session.cost["USD"] < MITIGATED
