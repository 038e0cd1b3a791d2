"""Provider options of a session: each changes jobs at the local service, and a resume must repeat them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives.containers.sampler_pub import SamplerPub

import hybridloop as hl
from hybridloop.algorithms.circuits.basis import keep_gates
from hybridloop.algorithms.rounds import Counts
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.preparation import prepare
from hybridloop.settings import ProblemText
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import check_circuit_fits, find_target
from hybridloop.targets.provider_options import check_provider_options
from hybridloop.tasks.session import OpenSession
from tests.conftest import Emulator
from tests.session_helpers import open_run_session

pytestmark = pytest.mark.usefixtures("own_journal")

IONQ, H2, QVM = "ionq.simulator", "quantinuum.sim.h2-1e", "rigetti.sim.qvm"


def ladder(gates: int = 21, qubits: int = 2) -> QuantumCircuit:
    """Return an odd number of gates that make and undo a Bell pair; gates in between keep them apart."""
    circuit = QuantumCircuit(qubits, 2)
    circuit.h(0)
    for number in range(gates):
        if number:
            circuit.t(0)
        circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def measured(session: OpenSession, circuit: QuantumCircuit, shots: int = 1000) -> Counts:
    (pub,) = session.run_round([SamplerPub.coerce((circuit, None, shots))])
    (counts,) = pub.counts
    assert isinstance(counts, Counts)
    return counts


def params_of(workspace: Any, session: OpenSession) -> list[Mapping[str, Any]]:
    return [job.details.input_params for job in workspace.list_session_jobs(session_id=session.id)]


def test_a_noise_model_makes_ionqs_simulator_sample(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    noise = {"noise": {"model": "aria-1", "seed": 5}}
    with open_run_session(workspace, IONQ, SessionOptions(provider_options=noise), seed=1) as session:
        counts = [measured(session, ladder()), measured(session, ladder())]
        split = measured(session, ladder(), 20_000)
    assert not any(each.exact for each in (*counts, split))
    assert split.shots == 20_000
    bits = [each.bitstrings() for each in counts]
    assert bits[0] != bits[1]  # equal seeds would draw the same
    # 21 gates of strength .0133 and 20 of .0005 randomize the parity; five deviations of 20,000 shots
    wrong = sum(split.bitstrings().get(word, 0) for word in ("01", "10")) / 20_000
    assert wrong == pytest.approx((1 - (1 - 0.0133) ** 21 * (1 - 0.0005) ** 20) / 2, abs=5 * np.sqrt(0.1 / 20_000))
    params = params_of(workspace, session)
    assert {each["noise"]["model"] for each in params} == {"aria-1"}
    assert len({each["noise"]["seed"] for each in params}) == len(params) == 4
    with open_run_session(workspace, IONQ) as session:
        assert measured(session, ladder()).exact
    (read,) = [job for job in hl.session(session.id, workspace=workspace).jobs()]
    assert read.counts == {"00": 500, "11": 500}


def test_a_listed_job_with_noise_is_read_as_sampled(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    harmony = {"noise.model": "harmony"}
    with hl.open_session(IONQ, workspace=workspace, seed=2, provider_options=harmony) as session:
        job = session.run(ladder(), shots=501)
        counts = job.counts
    (listed,) = hl.session(session.id, workspace=workspace).jobs()
    assert listed.counts == counts
    assert len(counts) == 4
    with (
        pytest.raises(InputError, match=r"has 12 qubits, ionq\.simulator has 11"),
        hl.open_session(IONQ, workspace=workspace, provider_options=harmony) as session,
    ):
        session.run(ladder(qubits=12))


def test_options_of_quantinuum_reach_its_jobs(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    costs, wrong = [], []
    for options in (
        {},
        {"tket-opt-level": 2},
        {"error-params": {"p2": 0.2}},
        {"error-model": False},
    ):
        with open_run_session(workspace, H2, SessionOptions(provider_options=options), seed=1) as session:
            counts = measured(session, ladder(9)).bitstrings()
        costs.append(session.cost["eHQC"])
        wrong.append(counts.get("01", 0) + counts.get("10", 0))
        (params,) = params_of(workspace, session)
        assert {name: params[name] for name in options} == options
    assert costs[1] < costs[0] == costs[2] == costs[3]
    assert wrong[2] > 10 * max(wrong[0], 1)
    assert wrong[3] == 0
    wide = QuantumCircuit(40, 40)
    wide.h(0)
    wide.cx(0, range(1, 40))
    wide.measure(range(40), range(40))
    with open_run_session(workspace, H2, SessionOptions(provider_options={"simulator": "stabilizer"})) as session:
        assert measured(session, wide, 20).shots == 20
    with pytest.raises(InputError, match=r"40 qubits, .* has 32"), open_run_session(workspace, H2) as session:
        measured(session, wide, 20)


def test_gates_that_must_stay_are_sent_at_level_0(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    kept = keep_gates(ladder(9))
    with open_run_session(workspace, H2, SessionOptions(provider_options={"error-params": {"scale": 2}})) as session:
        measured(session, kept)
    (params,) = params_of(workspace, session)
    assert (params["tket-opt-level"], params["error-params"]) == (0, {"scale": 2})


def test_quilc_is_left_out_of_jobs_of_one_point_and_of_many(emulator: Emulator) -> None:
    workspace, angle = emulator.workspace(), Parameter("a")
    circuit = QuantumCircuit(1, 1)
    circuit.rx(angle, 0)
    circuit.measure(0, 0)
    for batching in ("on", "off"):
        for skips in (True, False):
            options = {"provider_options": {"skipQuilc": skips}}
            with hl.open_session(QVM, workspace=workspace, batching=batching, **options) as session:  # type: ignore[arg-type]
                session.run_round([SamplerPub.coerce((circuit, [[0.0], [np.pi]], 10))])
            params = params_of(workspace, session)
            assert len(params) == (1 if batching == "on" else 2)
            assert all(each["skipQuilc"] is skips for each in params)


@pytest.mark.parametrize(
    ("target", "options"), [(IONQ, {"noise": {"model": "aria-1", "seed": 1}}), (H2, {"simulator": "stabilizer"})]
)
def test_pings_are_sent_without_the_options(emulator: Emulator, target: str, options: Mapping[str, Any]) -> None:
    workspace = emulator.workspace()
    with hl.open_session(target, workspace=workspace, keep_alive="ping", provider_options=options) as session:
        session.ping()
    assert session.pings == 1
    (params,) = params_of(workspace, session)
    assert not options.keys() & params.keys()


def test_a_wrong_option_is_refused_before_a_session_is_opened(emulator: Emulator) -> None:
    workspace = emulator.workspace()
    for name, value, message in (
        ("noise.model", "aria-9", r"provider_options\.noise\.model: 'aria-9' .* Give ideal, harmony, aria-1"),
        ("nose.model", "aria-1", r"Did you mean noise\.model\?"),
        ("error-mitigation.debias", True, "debias"),
        ("error-mitigation.debias", False, "debias"),
    ):
        with (
            pytest.raises(InputError, match=message),
            hl.open_session(IONQ, workspace=workspace, provider_options={name: value}),
        ):
            pass
    with (
        pytest.raises(InputError, match="skipQuilc"),
        open_run_session(workspace, IONQ, SessionOptions(provider_options={"skipQuilc": 1})),
    ):
        pass
    assert list(workspace.list_sessions()) == []


def test_a_circuit_that_options_exclude_is_refused_before_its_job_with_advice_that_costs_nothing(
    emulator: Emulator,
) -> None:
    angle = Parameter("a")
    turned, wide, narrow = QuantumCircuit(2, name="turned"), QuantumCircuit(40, name="wide"), QuantumCircuit(12)
    turned.rx(angle, 0)
    turned.measure_all()
    wide.t(39)
    wide.measure_all()
    narrow.measure_all()
    stabilizer, harmony = {"simulator": "stabilizer"}, {"noise.model": "harmony"}
    quarter = turned.assign_parameters([math.pi / 2])
    for target, options, circuit, message in (
        (H2, stabilizer, wide, r"provider_options\.simulator: .* t of the circuit wide is none"),
        (
            IONQ,
            harmony,
            narrow,
            r"12 qubits, ionq\.simulator has 11\. .* another noise\.model, such as ideal \(29\), a",
        ),
    ):
        workspace = emulator.workspace()
        with (
            hl.open_session(target, workspace=workspace, provider_options=options) as session,
            pytest.raises(InputError, match=message) as refused,
        ):
            session.run(circuit, shots=10)
        assert "qpu" not in str(refused.value)
        assert list(workspace.list_jobs()) == []
    with hl.open_session(H2, workspace=emulator.workspace(), provider_options=stabilizer, seed=1) as session:
        session.run(quarter, shots=10)
        session.sampler().run([(turned, [[0.0], [math.pi]])], shots=10).result()
        with pytest.raises(InputError, match="rx of the circuit turned is none"):
            session.sampler().run([(turned, [[0.0], [0.3]])], shots=10)
    with pytest.raises(InputError, match=r"33 qubits.*such as quantinuum\.sim\.helios-1e"):
        check_circuit_fits(find_target(H2), 33)


def test_of_many_options_the_nearest_are_named() -> None:
    with pytest.raises(InputError, match=r"Did you mean error-params\.p") as refused:
        check_provider_options(find_target(H2), {"error-params": {"p3": 0.1}})
    assert len(refused.value.remedy) < 200


def test_a_resumed_script_must_repeat_its_options(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", f"sqlite:///{tmp_path}/journal.db")
    workspace = emulator.workspace()

    def run(**options: Any) -> Mapping[str, int]:
        with hl.open_session(IONQ, run_key="k", seed=1, workspace=workspace, **options) as session:
            return measured(session, ladder()).bitstrings()

    first = run(provider_options={"noise.model": "aria-1", "noise.seed": 4})
    for other, field in (
        ({}, "model"),
        ({"noise.model": "aria-1"}, "seed"),
        ({"noise": {"model": "aria-1", "seed": 5}}, "seed"),
        ({"noise.model": "aria-2", "noise.seed": 4}, "model"),
    ):
        with pytest.raises(InputError, match=rf"provider_options\.noise\.{field}: run 'k' was started with another"):
            run(provider_options=other)
    assert run(provider_options={"noise": {"model": "aria-1", "seed": 4}}) == first


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": H2, "mitigation": "zne-linear", "provider_options": {"tket-opt-level": 1}}, "level 1 lets"),
        ({"target": H2, "mitigation": "zne-linear", "provider_options": {"error-model": False}}, "has no noise"),
        (
            {"target": IONQ, "mitigation": "zne-linear", "provider_options": {"noise.model": "aria-1"}},
            "compiler removes",
        ),
    ],
)
def test_an_algorithm_refuses_options_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare("vqe", ProblemText(name="h2"), VqeSettings.model_validate(settings), 0)
    fitting = {"target": H2, "mitigation": "zne-linear", "provider_options": {"tket-opt-level": 0}}
    assert prepare("vqe", ProblemText(name="h2"), VqeSettings.model_validate(fitting), 0).target.is_noisy
