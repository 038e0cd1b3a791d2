"""A backend over a session: circuits of pass managers, primitives of backends, experiments, errors, a kill."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, generate_preset_pass_manager, transpile
from qiskit.circuit import Parameter
from qiskit.circuit.random import random_circuit
from qiskit.exceptions import QiskitError
from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2
from qiskit.providers import JobStatus, JobTimeoutError
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_algorithms import AmplificationProblem, Grover
from scipy.stats import chi2

import hybridloop as hl
from hybridloop.azure.workspace import connection_string_of
from hybridloop.budget.caps import Caps
from hybridloop.errors import CapReached, InputError, JobFailed, UnknownOption
from hybridloop.settings.failure_policy import FailurePolicy, OnLostJob
from hybridloop.settings.session_options import SessionOptions
from tests.cli.shell_helpers import Shell, WorkspaceShell
from tests.conftest import Emulator
from tests.long_form import long_form, short_or_long
from tests.paths import DATA
from tests.session_helpers import open_run_session
from tests.waiting import PATIENCE_S

TARGETS = ("rigetti.sim.qvm", "ionq.simulator", "quantinuum.sim.h2-1e")
SHOTS = 2000
RARE = 1e-6  # of all tests of this file

SCRIPT = """
import json, os, sys
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BackendSamplerV2
from qiskit_experiments.library import LocalReadoutError
import hybridloop as hl
theta = Parameter("theta")
circuit = QuantumCircuit(2)
circuit.ry(theta, 0)
circuit.cx(0, 1)
circuit.measure_all()
with hl.open_session("rigetti.sim.qvm", run_key="night", seed=3) as session:
    backend = session.backend()
    first = backend.run([circuit.assign_parameters([0.4]), circuit.assign_parameters([1.4])], shots=300, memory=True)
    found = [first.job_id(), first.result().get_memory(0), first.result().get_counts(1)]
    sampled = BackendSamplerV2(backend=backend).run([(circuit, [0.2, 0.9])], shots=100).result()
    found.append([sampled[0].data.meas.get_counts(point) for point in range(2)])
    data = LocalReadoutError([0, 1]).run(backend, shots=400, backend_run=True).block_for_results()
    found.append([each["counts"] for each in data.data()])
    print(json.dumps([found, session.num_jobs, session.cost]))
"""


EXPERIMENTS = """
import json
from qiskit_experiments.library import CorrelatedReadoutError, LocalReadoutError
import hybridloop as hl
found = []
with hl.open_session("rigetti.sim.qvm", seed=6) as session:
    for options in ({}, {"backend_run": True}):
        for kind in (LocalReadoutError, CorrelatedReadoutError):
            data = kind([0, 1]).run(session.backend(), shots=200, **options).block_for_results()
            (row,) = data.analysis_results(dataframe=False)
            found.append([data.errors(), row.value.assignment_matrix().tolist()])
print(json.dumps(found))
"""


@long_form
@pytest.mark.parametrize(
    ("name", "level"),
    [
        (name, level)
        for name, own in zip(TARGETS, (3, 1, 2), strict=True)
        for level in short_or_long((own,), (0, 1, 2, 3))
    ],
)
def test_random_circuits_of_pass_managers_have_the_counts_of_their_states(
    emulator: Emulator, name: str, level: int
) -> None:
    unmeasured = [random_circuit(3, 4, max_operands=2, seed=seed) for seed in range(5 * level, 5 * level + 5)]
    circuits = [circuit.measure_all(inplace=False) for circuit in unmeasured]
    noiseless = {"error-model": False} if name.startswith("quantinuum") else {}
    options = SessionOptions(provider_options=noiseless)
    with open_run_session(emulator.workspace(), name, options, seed=level) as session:
        backend = session.backend()
        made = [
            *transpile(circuits[:3], backend, optimization_level=level, seed_transpiler=1),
            *generate_preset_pass_manager(level, backend, seed_transpiler=1).run(circuits[3:]),
        ]
        for each_made in made:
            assert {each.operation.name for each in each_made.data} <= {*backend.operation_names, "barrier"}
        found = backend.run(made, shots=SHOTS).result()
    for number, circuit in enumerate(unmeasured):
        counts = found.get_counts(number)
        assert sum(counts.values()) == SHOTS
        wanted = {bits: SHOTS * share for bits, share in Statevector(circuit).probabilities_dict().items()}
        outcomes = [bits for bits, many in wanted.items() if many >= 5]
        rest = SHOTS - sum(wanted[bits] for bits in outcomes)
        squares = sum((counts.get(bits, 0) - wanted[bits]) ** 2 / wanted[bits] for bits in outcomes)
        assert squares <= chi2.ppf(1 - RARE / 60, max(1, len(outcomes)))
        others = SHOTS - sum(counts.get(bits, 0) for bits in outcomes)
        assert others <= rest + 6.0 * np.sqrt(rest + 1.0)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_without_a_session_is_for_transpilation(name: str) -> None:
    backend = hl.backend(name)
    assert backend.num_qubits == backend.target.num_qubits >= 29
    assert ("rzz" in backend.operation_names) == (not name.startswith("rigetti"))
    assert ("if_else" in backend.operation_names) == name.startswith("quantinuum")
    bound = QuantumCircuit(2, 2)
    bound.rzz(0.3, 0, 1)
    made = transpile(bound, backend, optimization_level=0)
    assert made.count_ops().get("rzz", 0) == (not name.startswith("rigetti"))
    with pytest.raises(QiskitError, match="no session") as caught:
        backend.run(made)
    assert isinstance(caught.value, InputError)


def test_counts_registers_memory_and_metadata(emulator: Emulator) -> None:
    low, high = ClassicalRegister(2, "low"), ClassicalRegister(1, "high")
    circuit = QuantumCircuit(QuantumRegister(3), low, high, metadata={"who": "me"})
    circuit.h(0)
    circuit.x(2)
    circuit.measure([0, 1, 2], [0, 1, 2])
    with open_run_session(emulator.workspace(), seed=2) as session:
        job = session.backend().run([circuit, circuit], shots=200, memory=True)
        job.wait_for_final_state()
        assert job.status() is JobStatus.DONE
        result = job.result()
        sampled = session.sampler().run([circuit], shots=50).result()[0].data
        assert set(sampled.high.get_counts()) == {"1"}
    for number in range(2):
        memory, counts = result.get_memory(number), result.get_counts(number)
        assert {bits: memory.count(bits) for bits in set(memory)} == counts
        assert set(counts) == {"1 00", "1 01"}
        assert result.results[number].header["metadata"] == {"who": "me"}
    assert result.get_memory(0)[:20] != sorted(result.get_memory(0)[:20])
    assert job.result() is result


@pytest.mark.parametrize("name", [TARGETS[0], pytest.param(TARGETS[1], marks=pytest.mark.slow)])
def test_primitives_of_backends_and_an_algorithm_of_another_package(emulator: Emulator, name: str) -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(2)
    circuit.ry(theta, 0)
    circuit.cx(0, 1)
    angles = np.array([0.3, 0.9, 2.0])
    operator = SparsePauliOp(["ZZ", "XX"], [0.5, 1.0])
    oracle = QuantumCircuit(2)
    oracle.cz(0, 1)
    with open_run_session(emulator.workspace(), name, seed=5) as session:
        backend = session.backend()
        (pub,) = BackendEstimatorV2(backend=backend).run([(circuit, operator, angles)], precision=0.03).result()
        counts = BackendSamplerV2(backend=backend).run([(circuit.measure_all(inplace=False), 0.9)], shots=500).result()
        grover = Grover(iterations=1, sampler=BackendSamplerV2(backend=backend))
        amplified = grover.amplify(AmplificationProblem(oracle, is_good_state=["11"]))
    exact = [Statevector(circuit.assign_parameters([angle])).expectation_value(operator).real for angle in angles]
    assert np.all(np.abs(pub.data.evs - exact) <= 5.0 * pub.data.stds + 0.01)
    assert set(counts[0].data.meas.get_counts()) <= {"00", "11"}
    assert amplified.top_measurement == "11"


def test_calls_of_several_threads_replay_in_any_order(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def circuit(qubits: int) -> QuantumCircuit:
        made = QuantumCircuit(qubits)
        made.h(range(qubits))
        made.measure_all()
        return made

    def counts(order: list[int]) -> dict[int, Any]:
        with hl.open_session("rigetti.sim.qvm", run_key="threads", seed=4) as session:
            sampler = BackendSamplerV2(backend=session.backend())
            jobs = {qubits: sampler.run([circuit(qubits)], shots=50) for qubits in order}
            found = {qubits: job.result()[0].data.meas.get_counts() for qubits, job in jobs.items()}
            assert session.num_jobs == len(order)
        return found

    workspace = emulator.workspace()
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", f"sqlite:///{tmp_path}/journal.db")
    monkeypatch.setenv("AZURE_QUANTUM_CONNECTION_STRING", connection_string_of(workspace))
    assert counts([1, 2, 3, 4]) == counts([4, 2, 1, 3])
    assert len(workspace.list_jobs()) == 4


def test_what_a_session_does_not_have_is_refused_before_anything_is_sent(emulator: Emulator) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with open_run_session(emulator.workspace(), seed=1) as session:
        backend = session.backend()
        for option, value in {"noise_model": 1, "resilience_level": 2, "max_cost": 3}.items():
            with pytest.raises(QiskitError, match=f"{option}: the backend has no such option") as caught:
                backend.run(circuit, **{option: value})
            assert isinstance(caught.value, UnknownOption)
        with pytest.raises(QiskitError, match="analogue"):
            backend.run(circuit, meas_level=1)
        free = QuantumCircuit(1, 1)
        free.rx(Parameter("a"), 0)
        with pytest.raises(QiskitError, match="without a value"):
            backend.run(free)
        with pytest.raises(QiskitError, match="there is none"):
            backend.run([])
        assert session.num_jobs == 0
        assert backend.run(circuit, shots=7, meas_level=2).result().get_counts() == {"0": 7}
        assert backend.run((circuit,), shots=None, seed_simulator=None).result().get_counts() == {"0": 1024}
        backend.set_options(shots=9)
        assert backend.run(circuit).result().get_counts() == {"0": 9}
    skipping = SessionOptions(failure=FailurePolicy(on_lost_job=OnLostJob.SKIP))
    with open_run_session(emulator.workspace(), options=skipping) as session, pytest.raises(InputError):
        session.backend()


def test_the_error_of_a_job_is_both_qiskits_and_the_sessions(emulator: Emulator) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    emulator.admin("faults", {"rules": [{"fault": "job-fails", "code": "InvalidInputData", "times": 1}]})
    with open_run_session(emulator.workspace(), seed=1) as session:
        job = session.backend().run(circuit)
        with pytest.raises(QiskitError, match="InvalidInputData") as caught:
            job.result()
        assert isinstance(caught.value, JobFailed)
        assert job.status() is JobStatus.ERROR
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), str(again)) == (JobFailed, str(caught.value))
    capped = SessionOptions(caps=Caps(max_jobs=1))
    with open_run_session(emulator.workspace(), options=capped) as session:
        backend = session.backend()
        assert backend.run(circuit, shots=5).result().get_counts() == {"0": 5}
        with pytest.raises(QiskitError) as caught:
            backend.run(circuit)
        assert isinstance(caught.value, CapReached)


def test_a_cancelled_job_ends_at_the_service(emulator: Emulator) -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    workspace = emulator.workspace()
    emulator.admin("faults", {"rules": [{"fault": "job-hangs"}]})
    with open_run_session(workspace, seed=1) as session:
        job = session.backend().run(circuit)
        with pytest.raises(JobTimeoutError):
            job.wait_for_final_state(timeout=0.5, wait=0.1)
        job.cancel()
        job.wait_for_final_state(timeout=PATIENCE_S)
        assert job.status() is JobStatus.CANCELLED
        with pytest.raises(QiskitError, match="cancelled"):
            job.result()


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with qiskit-experiments; where it is installed, Qiskit loads it in every process."""
    folder = tmp_path_factory.mktemp("experiments")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*command, "-r", str(DATA / "experiments.txt")], check=True, timeout=PATIENCE_S)
    return folder


def place(emulator: Emulator, folder: Path, packages: Path, name: str) -> WorkspaceShell:
    """Return a shell with a journal of its own and qiskit-experiments, at a workspace of that name."""
    environ = {**os.environ, "HYBRIDLOOP_HOME": str(folder / name), "PYTHONPATH": str(packages)}
    return Shell(environ, is_new=True).at(emulator, name)


@pytest.mark.slow
def test_experiments_of_another_package(emulator: Emulator, tmp_path: Path, packages: Path) -> None:
    done = place(emulator, tmp_path, packages, "experiments").shell.run_python("-c", EXPERIMENTS)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["", np.eye(4).tolist()]] * 4


@pytest.mark.slow
@pytest.mark.parametrize("point", ["put.after:2", "result.after:2", "commit.after:3"])
def test_a_killed_script_has_the_same_counts_and_pays_nothing_twice(
    emulator: Emulator, tmp_path: Path, packages: Path, point: str
) -> None:
    names = (f"{name}-{point.replace('.', '-').replace(':', '-')}" for name in ("unbroken", "killed"))
    unbroken, killed = (place(emulator, tmp_path, packages, name) for name in names)
    assert killed.shell.with_variables(HYBRIDLOOP_CRASH_AT=point).run_python("-c", SCRIPT).returncode == -9
    whole, again = (each.shell.run_python("-c", SCRIPT) for each in (unbroken, killed))
    assert again.returncode == 0, again.stderr
    found, expected = json.loads(again.stdout), json.loads(whole.stdout)
    assert found[0][1:] == expected[0][1:]
    assert found[1:] == expected[1:]
    assert len(killed.workspace.list_jobs()) == len(unbroken.workspace.list_jobs()) == found[1]
    assert killed.session_statuses() == ["Succeeded"]
