"""Run other libraries on the works given on stdin; runs in their environment, without hybridloop."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

LIMIT_S = 60  # for one run of one library

Work = Mapping[str, Any]
Row = dict[str, Any]


class CountingAer(AerSimulator):  # type: ignore[misc]  # Qiskit has no types
    """Aer that counts jobs and shots, with a new seed for each call: a fixed one would repeat the same noise."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.draws = np.random.default_rng(seed)
        self.rounds = self.jobs = self.measured = 0

    def run(self, circuits: Any, **options: Any) -> Any:
        listed = circuits if isinstance(circuits, list) else [circuits]
        self.rounds, self.jobs = self.rounds + 1, self.jobs + len(listed)
        self.measured += len(listed) * int(options["shots"])
        return super().run(circuits, **options | {"seed_simulator": int(self.draws.integers(2**31))})

    @property
    def counted(self) -> Row:
        return {"rounds": self.rounds, "jobs": self.jobs, "shots": self.measured}


def qiskit_vqe(work: Work, seed: int, optimizer: Any) -> Row:
    """VQE of qiskit-algorithms on Qiskit's own estimator, whose precision is that of the work's shots."""
    from qiskit_algorithms import VQE

    backend = CountingAer(seed)
    estimator = BackendEstimatorV2(backend=backend, options={"default_precision": work["shots"] ** -0.5})
    vqe = VQE(estimator, qiskit_circuit(work), optimizer, initial_point=np.array(work["start"]))
    found = vqe.compute_minimum_eigenvalue(SparsePauliOp(*zip(*work["terms"], strict=True)))
    return backend.counted | {"point": list(found.optimal_point), "value": float(found.optimal_value)}


def qiskit_qaoa(work: Work, seed: int, optimizer: Any) -> Row:
    """QAOA of qiskit-algorithms from a random start, which is its default."""
    from qiskit_algorithms import QAOA

    backend = CountingAer(seed)
    sampler = BackendSamplerV2(backend=backend, options={"default_shots": work["shots"]})
    start = np.random.default_rng(seed).uniform(-np.pi, np.pi, 2 * work["reps"])
    from qiskit import transpile

    class Unrolled:
        """Pass manager for QAOA: unrolls the circuit to gates that Aer supports."""

        def run(self, circuit: QuantumCircuit) -> QuantumCircuit:
            return transpile(circuit, basis_gates=["h", "rx", "rz", "rzz", "cx"], optimization_level=0)

    qaoa = QAOA(sampler, optimizer, reps=work["reps"], initial_point=start, transpiler=Unrolled())
    found = qaoa.compute_minimum_eigenvalue(SparsePauliOp(*zip(*work["terms"], strict=True)))
    value = float(np.real(found.optimal_value))
    return backend.counted | {"value": value, "best": found.best_measurement["bitstring"]}


def pennylane_vqe(work: Work, seed: int, optimizer: Any, steps: int) -> Row:
    """A PennyLane loop over a QNode with parameter-shift gradients."""
    import pennylane as qml

    device = qml.device("default.qubit", seed=seed)
    node = qml.set_shots(pennylane_node(work, device), work["shots"])
    point = qml.numpy.array(work["start"], requires_grad=True)
    with qml.Tracker(device) as tracker:
        for _ in range(steps):
            point, _ = optimizer.step_and_cost(node, point)
        value = float(node(point))
    totals = tracker.totals
    counted = {"rounds": int(totals["batches"]), "jobs": int(totals["executions"]), "shots": int(totals["shots"])}
    return counted | {"point": [float(each) for each in point], "value": value}


def divi_vqe(work: Work, seed: int, optimizer: Any, iterations: int) -> Row:
    """Divi's CustomVQA of the same circuit and observable; Divi has no default optimizer."""
    import pennylane as qml
    from divi.backends import QiskitSimulator
    from divi.qprog import CustomVQA

    backend = QiskitSimulator(shots=work["shots"], force_sampling=True, simulation_seed=None)
    node = pennylane_node(work, qml.device("default.qubit"))
    count = len(work["start"])
    program = CustomVQA(
        node,
        arg_shapes={"angles": (count,)},
        optimizer=optimizer,
        max_iterations=iterations,
        backend=backend,
        seed=seed,
    )
    program.run(initial_params=np.tile(work["start"], (optimizer.n_param_sets, 1)))
    jobs = int(program.total_circuit_count)
    counted = {"rounds": int(program.total_backend_jobs), "jobs": jobs, "shots": jobs * work["shots"]}
    return counted | {"point": np.ravel(program.best_params).tolist(), "value": float(program.best_loss)}


def divi_qaoa(work: Work, seed: int, optimizer: Any, iterations: int) -> Row:
    """Divi's QAOA of the same graph."""
    import networkx as nx
    from divi.backends import QiskitSimulator
    from divi.qprog import QAOA
    from divi.qprog.problems import MaxCutProblem

    backend = QiskitSimulator(shots=work["shots"], force_sampling=True)
    graph = nx.Graph([(a, b) for a, b, _ in work["edges"]])
    program = QAOA(
        MaxCutProblem(graph), n_layers=work["reps"], optimizer=optimizer, max_iterations=iterations, backend=backend,
        seed=seed,
    )  # fmt: skip
    program.run()
    jobs = int(program.total_circuit_count)
    counted = {"rounds": int(program.total_backend_jobs), "jobs": jobs, "shots": jobs * work["shots"]}
    return counted | {"value": float(program.best_loss)}


def qiskit_circuit(work: Work) -> QuantumCircuit:
    """The work's circuit; angles are numbers times parameters."""
    angles = ParameterVector("t", len(work["start"]))
    circuit = QuantumCircuit(work["qubits"])
    for name, qubits, index, factor in work["gates"]:
        getattr(circuit, name)(*([] if index is None else [factor * angles[index]]), *qubits)
    return circuit


def pennylane_node(work: Work, device: Any) -> Any:
    """The work's circuit and observable as a QNode; wire i is qubit i."""
    import pennylane as qml

    names = {"x": "PauliX", "h": "Hadamard", "s": "S", "cx": "CNOT", "rx": "RX", "ry": "RY", "rz": "RZ"}
    words = [qml.pauli.string_to_pauli_word(label[::-1]) for label, _ in work["terms"]]
    observable = qml.Hamiltonian([each for _, each in work["terms"]], words)

    @qml.qnode(device, diff_method="parameter-shift")  # type: ignore[untyped-decorator, unused-ignore]
    def energy(angles: Any) -> Any:
        for name, qubits, index, factor in work["gates"]:
            if name == "sdg":
                qml.adjoint(qml.S)(wires=qubits)
            else:
                getattr(qml, names[name])(*([] if index is None else [factor * angles[index]]), wires=qubits)
        return qml.expval(observable)

    return energy


def contenders(kind: str) -> dict[str, Callable[[Work, int], Row]]:
    """Return each library's function by the name in the table."""
    import pennylane as qml
    from divi.qprog.optimizers import MonteCarloOptimizer, ScipyMethod, ScipyOptimizer
    from qiskit_algorithms.optimizers import COBYLA, SPSA

    if kind == "cut":
        return {
            "qiskit-algorithms, COBYLA": lambda work, seed: qiskit_qaoa(work, seed, COBYLA()),
            "qiskit-algorithms, SPSA (50)": lambda work, seed: qiskit_qaoa(work, seed, SPSA(maxiter=50)),
            "Divi, Monte Carlo (10)": lambda work, seed: divi_qaoa(work, seed, MonteCarloOptimizer(), 10),
            "Divi, COBYLA (30)": lambda work, seed: divi_qaoa(work, seed, ScipyOptimizer(ScipyMethod.COBYLA), 30),
        }
    return {
        "qiskit-algorithms, COBYLA": lambda work, seed: qiskit_vqe(work, seed, COBYLA()),
        "qiskit-algorithms, SPSA (100)": lambda work, seed: qiskit_vqe(work, seed, SPSA()),
        "PennyLane, gradient descent (20)": lambda work, seed: pennylane_vqe(
            work, seed, qml.GradientDescentOptimizer(0.4), 20
        ),
        "PennyLane, SPSA (60)": lambda work, seed: pennylane_vqe(work, seed, qml.SPSAOptimizer(60), 60),
        "Divi, Monte Carlo (10)": lambda work, seed: divi_vqe(work, seed, MonteCarloOptimizer(), 10),
        "Divi, COBYLA (30)": lambda work, seed: divi_vqe(work, seed, ScipyOptimizer(ScipyMethod.COBYLA), 30),
    }


def out_of_time(*_: object) -> None:
    """End a run that takes too long."""
    raise TimeoutError(f"not done after {LIMIT_S} s")


def main() -> int:
    """Print rows as JSON to stdout; the libraries' output goes to stderr, and an error is noted in its row."""
    signal.signal(signal.SIGALRM, out_of_time)
    warnings.simplefilter("ignore")
    rows = []
    with contextlib.redirect_stdout(sys.stderr):
        from qiskit_algorithms.utils import algorithm_globals

        for work in json.load(sys.stdin):
            for name, run in contenders(work["kind"]).items():
                for turn, seed in enumerate(work["seeds"]):
                    algorithm_globals.random_seed = seed
                    np.random.seed(seed)  # PennyLane's SPSA draws from it
                    own = {**work, "start": work["starts"][turn]} if "starts" in work else work
                    started = time.perf_counter()
                    signal.alarm(LIMIT_S)
                    try:
                        row = run(own, seed)
                    except Exception as error:  # any error of a library becomes its row
                        row = {"failed": f"{type(error).__name__}: {error}"}
                    finally:
                        signal.alarm(0)
                    wall = time.perf_counter() - started
                    print(f"{work['name']}: {name}, seed {seed}: {wall:.1f} s {row.get('failed', '')}", flush=True)
                    rows.append({"work": work["name"], "library": name, "seed": seed, "wall_s": wall, **row})
    print(json.dumps(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
