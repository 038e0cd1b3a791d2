"""Snippets that users of other libraries write first, by habit: each works, or is refused with what to write instead.

Run in a process of its own; prints the error of each snippet by name, None for one that worked.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from hybridloop.errors import HybridloopError

CIRCUIT = """
from qiskit import QuantumCircuit
circuit = QuantumCircuit(2)
circuit.h(0)
circuit.cx(0, 1)
circuit.measure_all()
"""
# name: code, and what the refusal says; empty for one that works
TRIES: dict[str, tuple[str, str]] = {
    # Qiskit
    "qiskit: an observable": (
        """
from qiskit.quantum_info import SparsePauliOp
result = hl.vqe(SparsePauliOp.from_list([("ZZ", 1.0), ("XI", 0.5), ("IX", 0.5)]), precision=0.05, seed=1)
assert abs(result.value - -(2**0.5)) < 0.3
""",
        "",
    ),
    "qiskit: a diagonal observable": (
        """
from qiskit.quantum_info import SparsePauliOp
result = hl.qaoa(SparsePauliOp.from_list([("ZZI", 1.0), ("IZZ", 1.0)]), seed=1)
""",
        "",
    ),
    "qiskit: an observable that is not diagonal": (
        """
from qiskit.quantum_info import SparsePauliOp
hl.qaoa(SparsePauliOp.from_list([("ZZ", 1.0), ("XI", 1.0)]), seed=1)
""",
        "diagonal",
    ),
    "qiskit: an own circuit as ansatz": (
        """
from qiskit.circuit.library import efficient_su2
hl.vqe("h2", ansatz=efficient_su2(2, reps=1), precision=0.05, max_rounds=5, seed=1)
""",
        "",
    ),
    "qiskit: the sampler": (
        CIRCUIT
        + """
with hl.open_session("ionq.simulator", seed=1) as session:
    counts = session.sampler().run([circuit], shots=100).result()[0].data.meas.get_counts()
assert sum(counts.values()) == 100
""",
        "",
    ),
    "qiskit: the estimator": (
        CIRCUIT
        + """
from qiskit.quantum_info import SparsePauliOp
circuit.remove_final_measurements()
with hl.open_session("ionq.simulator", seed=1) as session:
    value = session.estimator().run([(circuit, SparsePauliOp("ZZ"))]).result()[0].data.evs
assert abs(value - 1.0) < 0.1
""",
        "",
    ),
    "qiskit: run a circuit": (
        CIRCUIT
        + """
with hl.open_session("ionq.simulator", seed=1) as session:
    job = session.run(circuit, shots=100, name="bell")
    assert sum(job.result().values() if isinstance(job.result(), dict) else job.counts.values()) == 100
    assert job.id and job.status()
    assert [each.name for each in session.jobs()] == ["bell"]
""",
        "",
    ),
    "qiskit: run a list of circuits": (
        CIRCUIT
        + """
with hl.open_session("ionq.simulator", seed=1) as session:
    jobs = session.run([circuit, circuit], shots=50)
    assert [sum(job.counts.values()) for job in jobs] == [50, 50]
""",
        "",
    ),
    "qiskit: a circuit without measurement": (
        """
from qiskit import QuantumCircuit
with hl.open_session("ionq.simulator", seed=1) as session:
    session.run(QuantumCircuit(1), shots=10)
""",
        "measure_all()",
    ),
    "qiskit: an optimizer of qiskit-algorithms": (
        """
from qiskit_algorithms.optimizers import COBYLA
hl.vqe("h2", optimizer=COBYLA(maxiter=8), precision=0.01, seed=1)
""",
        "",
    ),
    "scipy: minimize as optimizer": (
        """
from scipy.optimize import minimize
search = lambda fun, x0: minimize(fun, x0, method="COBYLA", options={"maxiter": 8})
hl.vqe("h2", optimizer=search, precision=0.01, seed=1)
""",
        "",
    ),
    # graphs and matrices
    "networkx: a graph with names": (
        """
import networkx as nx
graph = nx.Graph()
graph.add_edge("oslo", "bergen", weight=3.0)
graph.add_edge("bergen", "trondheim", weight=2.0)
result = hl.qaoa(graph, seed=1)
assert "oslo" in str(result)
""",
        "",
    ),
    "rustworkx: a graph": ("import rustworkx as rx\nhl.qaoa(rx.generators.cycle_graph(4), seed=1)", ""),
    "numpy: a matrix": ("import numpy as np\nhl.qaoa(np.array([[0.0, 1.0], [1.0, 0.0]]), seed=1)", ""),
    "scipy: a sparse matrix": (
        "import numpy as np, scipy.sparse as sp\nhl.qaoa(sp.csr_array(np.array([[0.0, 1.0], [1.0, 0.0]])), seed=1)",
        "",
    ),
    "a list of edges": ("hl.qaoa([(0, 1), (1, 2), (2, 0)], seed=1)", ""),
    "a dict of weighted edges": ('hl.qaoa({("a", "b"): 1.5, ("b", "c"): 2.0}, seed=1)', ""),
    "dimod: a quadratic model": (
        """
import dimod
hl.qaoa(dimod.BinaryQuadraticModel({"a": -1.0, "b": 1.0}, {("a", "b"): 2.0}, 0.0, "BINARY"), seed=1)
""",
        "",
    ),
    "a table of edges with a header": (
        """
from pathlib import Path
Path("edges.csv").write_text("source,target,weight\\noslo,bergen,3.0\\nbergen,trondheim,2.0\\n")
hl.qaoa("edges.csv", seed=1)
""",
        "",
    ),
    # chemistry
    "pyscf: a molecule": (
        'from pyscf import gto\nhl.vqe(gto.M(atom="H 0 0 0; H 0 0 0.74"), precision=0.01, seed=1)',
        "",
    ),
    "pyscf: a mean field": (
        """
from pyscf import gto
hl.vqe(gto.M(atom="H 0 0 0; H 0 0 0.74", verbose=0).RHF().run(), precision=0.01, seed=1)
""",
        "",
    ),
    "a geometry": ('hl.vqe("H 0 0 0; H 0 0 0.74", precision=0.01, seed=1)', ""),
    "a name in capitals": ('hl.vqe("H2", precision=0.01, seed=1)', ""),
    "chemical units": ('hl.vqe("h2", precision="1kcal/mol", seed=1)', ""),
    # Prefect
    "prefect: a run in a flow": (
        """
from prefect import flow
@flow
def nightly():
    return hl.qaoa([(0, 1), (1, 2)], seed=1).value
assert nightly() >= 1.0
""",
        "",
    ),
    "prefect: a task that gets the session": (
        CIRCUIT
        + """
from prefect import flow
from hybridloop.tasks import open_session, run_round
@flow
def own():
    session = open_session(hl.open_session("ionq.simulator", seed=1))
    return run_round(session, [(circuit, None, 10)])
assert own()
""",
        "",
    ),
    # Braket, IBM
    "a tracker": (
        "with hl.track() as tracker:\n    hl.qaoa([(0, 1)], seed=1)\nassert tracker.jobs >= 1",
        "",
    ),
    "sessions": ("assert list(hl.sessions())", ""),
    "a picture of the landscape": (
        'hl.qaoa([(0, 1), (1, 2)], seed=1).plot("landscape")',
        "",
    ),
}


def main() -> None:
    """Try all, or those that are named."""
    import hybridloop

    outcomes: dict[str, str | None] = {}
    warnings.simplefilter("ignore")
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in sys.argv[1:] or TRIES:
            try:
                exec(TRIES[name][0], {"hl": hybridloop, "Path": Path})
            except HybridloopError as error:
                outcomes[name] = str(error)
            except BaseException as error:  # whatever a snippet raises is what it shows
                outcomes[name] = f"NOT REFUSED: {type(error).__name__}: {error}"
            else:
                outcomes[name] = None
            print(json.dumps({name: outcomes[name]}), flush=True)


if __name__ == "__main__":
    main()
