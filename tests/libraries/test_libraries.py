"""Cirq, PennyLane, M3 and Qiskit Machine Learning in sessions, as their own users write it: `make test-libraries`."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cirq
import nbformat
import numpy as np
import pennylane as qml
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import zz_feature_map
from qiskit.quantum_info import SparsePauliOp, Statevector

from hybridloop.journal import Journal
from hybridloop.settings.session_options import SessionOptions
from hybridloop.tasks.session import OpenSession
from tests.cli.shell_helpers import Shell, WorkspaceShell
from tests.conftest import Emulator
from tests.notebook_helpers import ForkedNotebookClient
from tests.session_helpers import open_run_session
from tests.waiting import eventually

REASON = "`make test-libraries` installs it, in an environment of its own"
mthree = pytest.importorskip("mthree", reason=REASON)
learning = pytest.importorskip("qiskit_machine_learning.algorithms", reason=REASON)
kernels = pytest.importorskip("qiskit_machine_learning.kernels", reason=REASON)
fidelities = pytest.importorskip("qiskit_machine_learning.state_fidelities", reason=REASON)
model_selection = pytest.importorskip("sklearn.model_selection", reason=REASON)
train_qnn = pytest.importorskip("tests.libraries.train_qnn", reason=REASON)

SIGMAS = 5.0
ANGLE = 1.0
POINTS = np.random.default_rng(1).uniform(0.0, 1.5, (4, 2))
SHOTS = 2000


def assert_share(counts: Mapping[str, int], outcome: str, share: float, shots: int) -> None:
    """Assert that an outcome's share of the shots is the expected one, within its statistical error."""
    assert sum(counts.values()) == shots
    assert abs(counts.get(outcome, 0) / shots - share) <= SIGMAS * math.sqrt(share * (1.0 - share) / shots)


def cirq_circuit() -> Any:
    """Measure a flipped and a turned qubit by the key `a`, and a flipped one by `b`."""
    first, second, third = cirq.LineQubit.range(3)
    measured = [cirq.measure(first, second, key="a"), cirq.measure(third, key="b")]
    return cirq.Circuit(cirq.X(first), cirq.ry(ANGLE)(second), cirq.X(third), *measured)


@qml.qnode(qml.device("default.qubit", wires=3))  # type: ignore[untyped-decorator]  # PennyLane has no types
def node() -> Any:
    """Flip wire 2 and turn wire 0, and measure wires 2, 1 and 0, in this order."""
    qml.PauliX(2)
    qml.RY(ANGLE, 0)
    return qml.counts(wires=[2, 1, 0])


@pytest.mark.parametrize("target", ["rigetti.sim.qvm", "ionq.simulator"])
def test_circuits_of_three_libraries_in_one_session(emulator: Emulator, target: str) -> None:
    qiskit = QuantumCircuit(3)
    qiskit.x(0)
    qiskit.ry(ANGLE, 2)
    qiskit.measure_all()
    with open_run_session(emulator.workspace(), target, seed=3) as session:
        jobs = session.run([qiskit, cirq_circuit(), node], shots=SHOTS)
        counts = [job.counts for job in jobs]
    assert [set(each) for each in counts] == [{"001", "101"}, {"1 01", "1 11"}, {"001", "101"}]
    for each, turned in zip(counts, ("101", "1 11", "101"), strict=True):
        assert_share(each, turned, math.sin(ANGLE / 2.0) ** 2, SHOTS)
    assert session.status == "Succeeded"


def assert_kernel(matrix: NDArray[np.float64]) -> None:
    """Assert that a kernel matrix has the overlaps of the states, each within its statistical error."""
    states = [Statevector(zz_feature_map(2).assign_parameters(point)) for point in POINTS]
    overlaps = np.array([[abs(left.inner(right)) ** 2 for right in states] for left in states])
    np.testing.assert_array_equal(np.diag(matrix), 1.0)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert not np.array_equal(matrix, overlaps)
    assert (np.abs(matrix - overlaps) <= SIGMAS * np.sqrt(overlaps * (1.0 - overlaps) / SHOTS) + 1e-12).all()


def test_a_kernel_matrix_is_one_round_and_its_model_is_cross_validated(emulator: Emulator) -> None:
    with open_run_session(emulator.workspace(), seed=3) as session:
        fidelity = fidelities.ComputeUncompute(session.sampler(shots=SHOTS))
        kernel = kernels.FidelityQuantumKernel(feature_map=zz_feature_map(2), fidelity=fidelity, enforce_psd=False)
        assert_kernel(kernel.evaluate(POINTS))
        assert session.num_jobs == 1
        scores = model_selection.cross_val_score(
            learning.QSVC(quantum_kernel=kernel), POINTS, [0, 1, 0, 1], cv=2, error_score="raise"
        )
    assert scores.shape == (2,)
    assert session.status == "Succeeded"


CELLS = [
    'import hybridloop as hl\nsession = hl.open_session("rigetti.sim.qvm", seed=3).open()',
    "from qiskit.circuit.library import zz_feature_map\n"
    "from qiskit_machine_learning.kernels import FidelityQuantumKernel\n"
    "from qiskit_machine_learning.state_fidelities import ComputeUncompute\n"
    f"fidelity = ComputeUncompute(session.sampler(shots={SHOTS}))\n"
    "kernel = FidelityQuantumKernel(feature_map=zz_feature_map(2), fidelity=fidelity, enforce_psd=False)",
    f"import numpy as np\npoints = np.array({POINTS.tolist()})\nmatrix = kernel.evaluate(points)",
    "from sklearn.svm import SVC\n"
    'model = SVC(kernel="precomputed").fit(matrix, [0, 1, 0, 1])\n'
    "found = model.predict(kernel.evaluate(points[:2], points))",
    "session.close()",
    "import json\nprint(json.dumps([matrix.tolist(), len(found), session.status, session.num_jobs]))",
]


def at(emulator: Emulator, folder: Path, name: str) -> WorkspaceShell:
    """Return a shell of new processes with a journal in a folder, at a workspace of that name."""
    return Shell({**os.environ, "HYBRIDLOOP_HOME": str(folder / name)}, is_new=True).at(emulator, name)


def test_a_kernel_in_the_cells_of_a_notebook(emulator: Emulator, tmp_path: Path) -> None:
    place = at(emulator, tmp_path, "notebook")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    folder = {"metadata": {"path": str(tmp_path)}}
    ForkedNotebookClient(book, resources=folder).execute(
        env={**place.shell.environ, "IPYTHONDIR": f"{tmp_path}/ipython"}
    )
    outputs = [output for cell in book.cells for output in cell.outputs]
    assert [output.name for output in outputs] == ["stdout"]  # and no warning
    matrix, predicted, *ended = json.loads(outputs[0].text)
    assert_kernel(np.array(matrix))
    assert (predicted, ended) == (2, ["Succeeded", 2])
    assert place.session_statuses() == ["Succeeded"]


QUBITS, READOUT = [0, 1, 2], [0.04, 0.1]  # flips of a measured 0, and of a measured 1
MANY_SHOTS = 20_000


def calibrated_by_a_sampler(session: OpenSession) -> Any:
    """Return M3 with calibrations from the counts of all qubits at 0, and at 1."""
    circuits = [QuantumCircuit(len(QUBITS)) for _ in range(2)]
    circuits[1].x(QUBITS)
    for circuit in circuits:
        circuit.measure_all()
    zeros, ones = (pub.data.meas.get_counts() for pub in session.sampler(shots=MANY_SHOTS).run(circuits).result())

    def flips(counts: Mapping[str, int], qubit: int, flipped: str) -> float:
        return sum(many for bits, many in counts.items() if bits[-1 - qubit] == flipped) / MANY_SHOTS

    pairs = [(flips(zeros, qubit, "1"), flips(ones, qubit, "0")) for qubit in QUBITS]
    mitigation = mthree.M3Mitigation()
    matrices = [np.array([[1.0 - up, down], [up, 1.0 - down]], dtype=np.float32) for up, down in pairs]
    mitigation.cals_from_matrices(matrices)
    return mitigation


def test_m3_corrects_readout_errors(emulator: Emulator) -> None:
    circuit = QuantumCircuit(len(QUBITS))
    circuit.ry(2.5 * ANGLE, 0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    truth = float(Statevector(circuit).expectation_value(SparsePauliOp("ZZZ")).real)
    circuit.measure_all()
    noise = {"error-params": {"p1": 0.0, "p2": 0.0, "p_init": 0.0, "p_meas": READOUT}}
    options = SessionOptions(provider_options=noise)
    with open_run_session(emulator.workspace(), "quantinuum.sim.h2-1e", options, seed=3) as session:
        mitigation = calibrated_by_a_sampler(session)
        matrices = mitigation.cals_to_matrices()[: len(QUBITS)]
        (pub,) = session.sampler(shots=MANY_SHOTS).run([circuit]).result()
    counts = pub.data.meas.get_counts()
    corrected = mitigation.apply_correction(counts, QUBITS, return_mitigation_overhead=True)
    # a flip's error e moves the corrected value by 2 e of the norm of the inverse at most
    norms = [1.0 / (1.0 - matrix[1, 0] - matrix[0, 1]) for matrix in matrices]
    flips = np.array([[matrix[1, 0], matrix[0, 1]] for matrix in matrices], dtype=float)
    for column, expected in zip(flips.T, READOUT, strict=True):
        assert (np.abs(column - expected) <= SIGMAS * math.sqrt(expected * (1 - expected) / MANY_SHOTS)).all()
    of_calibrations = 2.0 * np.prod(norms) * np.linalg.norm(np.sqrt(flips * (1.0 - flips) / MANY_SHOTS))
    deviation = math.hypot(corrected.stddev(), of_calibrations * max(norms))
    raw = mthree.utils.expval(counts, "ZZZ")
    assert abs(corrected.expval("ZZZ") - truth) <= SIGMAS * deviation
    assert abs(raw - truth) > 2.0 * SIGMAS * deviation


def killed_while_it_trains(place: WorkspaceShell, script: str, jobs: int) -> int:
    """Start the script, kill it once the service has so many jobs, and return its exit code."""
    with place.shell.start_python(script) as process:
        try:
            eventually(lambda: process.poll() is not None or len(place.workspace.list_jobs()) >= jobs)
        finally:
            process.kill()
    return process.returncode


def test_a_network_whose_training_is_killed_twice_has_the_same_weights(emulator: Emulator, tmp_path: Path) -> None:
    script = str(Path(train_qnn.__file__))
    unbroken, killed = (at(emulator, tmp_path, name) for name in ("unbroken", "killed"))
    whole = unbroken.shell.run_python(script)
    assert whole.returncode == 0, whole.stderr
    expected = json.loads(whole.stdout)
    for share in (3, 1.5):
        assert killed_while_it_trains(killed, script, round(expected["jobs"] / share)) == -signal.SIGKILL
    again = killed.shell.run_python(script)
    assert (again.returncode, again.stdout) == (0, whole.stdout), again.stderr
    for place in (unbroken, killed):
        with Journal(f"sqlite:///{place.shell.environ['HYBRIDLOOP_HOME']}/journal.db") as journal:
            books = emulator.admin(f"ledger?run={journal.run('qnn').uid}&top=1000")
        assert (len(books["entries"]), books["duplicates"]["count"]) == (expected["jobs"], 0)
        assert len(place.workspace.list_jobs()) == expected["jobs"]
        assert set(place.session_statuses()) == {"Succeeded"}
    assert_outputs(**expected)


def assert_outputs(weights: list[float], outputs: list[float], gradients: list[list[float]], jobs: int) -> None:
    """Assert that the network's outputs and gradients are those of its states."""
    parameters = [*train_qnn.INPUTS.parameters, *train_qnn.LAYERS.parameters]

    def output(point: NDArray[np.float64], shift: NDArray[np.float64]) -> float:
        values = dict(zip(parameters, [*point, *(np.array(weights) + shift)], strict=True))
        state = Statevector(train_qnn.CIRCUIT.assign_parameters(values))
        return float(state.expectation_value(SparsePauliOp("ZZ")).real)

    shifts = 0.5 * np.pi * np.eye(len(weights))
    values = [output(point, np.zeros(len(weights))) for point in train_qnn.FEATURES]
    slopes = [[(output(point, each) - output(point, -each)) / 2.0 for each in shifts] for point in train_qnn.FEATURES]
    assert np.abs(np.array(outputs) - values).max() <= SIGMAS * train_qnn.PRECISION
    assert np.abs(np.array(gradients) - slopes).max() <= SIGMAS * train_qnn.PRECISION / math.sqrt(2.0)
    assert jobs > 20
