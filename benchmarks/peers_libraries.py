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
from qiskit.primitives import BackendSamplerV2
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


def contenders() -> dict[str, Callable[[Work, int], Row]]:
    """Return each library's function by the name in the table."""
    from divi.qprog.optimizers import MonteCarloOptimizer, ScipyMethod, ScipyOptimizer
    from qiskit_algorithms.optimizers import COBYLA, SPSA

    return {
        "qiskit-algorithms, COBYLA": lambda work, seed: qiskit_qaoa(work, seed, COBYLA()),
        "qiskit-algorithms, SPSA (50)": lambda work, seed: qiskit_qaoa(work, seed, SPSA(maxiter=50)),
        "Divi, Monte Carlo (10)": lambda work, seed: divi_qaoa(work, seed, MonteCarloOptimizer(), 10),
        "Divi, COBYLA (30)": lambda work, seed: divi_qaoa(work, seed, ScipyOptimizer(ScipyMethod.COBYLA), 30),
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
            for name, run in contenders().items():
                for seed in work["seeds"]:
                    algorithm_globals.random_seed = seed
                    np.random.seed(seed)
                    started = time.perf_counter()
                    signal.alarm(LIMIT_S)
                    try:
                        row = run(work, seed)
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
