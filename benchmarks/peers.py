"""Comparison of hybridloop's defaults with other libraries: rounds, jobs, shots, errors, time."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer.primitives import SamplerV2

from benchmarks.bounds import machine
from hybridloop.algorithms.problems.binary import max_cut
from hybridloop.algorithms.problems.graphs import graph_from_edges
from hybridloop.algorithms.qaoa.circuit import qaoa_circuit
from hybridloop.algorithms.qaoa.search import qaoa
from hybridloop.algorithms.rounds import MeasuredPub, RunRound, run_round_from_sampler
from hybridloop.algorithms.vqe import vqe
from hybridloop.data import load_table
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import AnsatzName, ProblemText
from tests.preparation_helpers import prepare_vqe

OTHERS = Path(__file__).with_name("peers_libraries.py")
SHOTS = 4000
CUT_SHOTS = 1000
EDGES = ((0, 1), (0, 3), (0, 4), (1, 4), (1, 7), (2, 3), (2, 5), (2, 6), (3, 7), (4, 6), (5, 6), (5, 7))
BEST_CUT = 10  # by brute force
LAYERS = 2
OURS = "hybridloop"

Row = dict[str, Any]


class Counting:
    """Rounds on Aer with a new seed for each, counted with their circuits and shots."""

    def __init__(self, seed: int) -> None:
        self._draws = np.random.default_rng(seed)
        self.rounds = self.jobs = self.shots = 0

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        run: RunRound = run_round_from_sampler(SamplerV2(seed=int(self._draws.integers(2**31))))
        self.rounds += 1
        self.jobs += sum(pub.size for pub in pubs)
        self.shots += sum(pub.size * int(pub.shots) for pub in pubs)
        return run(pubs)

    @property
    def counted(self) -> Row:
        return {"rounds": self.rounds, "jobs": self.jobs, "shots": self.shots}


def energy_work(name: str, seeds: Sequence[int]) -> tuple[dict[str, Any], list[Row]]:
    """Return the VQE work of H2 at 0.735 Å (parity mapping), and the rows of hybridloop's defaults."""
    settings = VqeSettings(ansatz=AnsatzName.HARDWARE_EFFICIENT, shots=SHOTS)
    prepared = [prepare_vqe(ProblemText(name="h2"), settings, seed) for seed in seeds]
    first = prepared[0]
    hamiltonian = first.problem.hamiltonian
    work = {
        "kind": "energy",
        "name": name,
        "qubits": hamiltonian.num_qubits,
        "gates": gates_of(first.ansatz.circuit),
        "terms": [[label, float(value.real)] for label, value in hamiltonian.to_list()],
        "shots": SHOTS,
        "seeds": list(seeds),
        "start": first.ansatz.initial_point.tolist(),
        "starts": [each.ansatz.initial_point.tolist() for each in prepared],
    }
    return work, [
        {"work": name, "library": OURS, "seed": seed, **timed(partial(searched, each, seed))}
        for each, seed in zip(prepared, seeds, strict=True)
    ]


def searched(prepared: PreparedVqe, seed: int) -> Row:
    """Run hybridloop: the search, and the final measurement that other libraries do not make."""
    counting = Counting(seed)
    found = vqe(prepared.problem.hamiltonian, prepared.ansatz, prepared.make_optimizer(), counting, shots=SHOTS)
    return counting.counted | {"point": list(found.parameters), "value": found.value}


def cut_work(name: str, seeds: Sequence[int]) -> tuple[dict[str, Any], list[Row]]:
    """Return the max-cut work of a cubic graph of eight nodes; others minimize the negative cut, as a sum of ZZ."""
    terms = [["".join("Z" if q in edge else "I" for q in reversed(range(8))), 0.5] for edge in EDGES]
    work = {
        "kind": "cut",
        "name": name,
        "edges": [[*edge, 1.0] for edge in EDGES],
        "reps": LAYERS,
        "terms": [*terms, ["I" * 8, -len(EDGES) / 2]],
        "shots": CUT_SHOTS,
        "seeds": list(seeds),
    }
    problem = max_cut(graph_from_edges(8, [(*edge, 1.0) for edge in EDGES]))
    circuit = qaoa_circuit(problem, load_table("qaoa_angles")["3-regular"], layers=LAYERS)

    def ours(seed: int) -> Row:
        counting = Counting(seed)
        found = qaoa(circuit, counting, shots=CUT_SHOTS)
        return counting.counted | {"value": -found.value, "best": found.best_bitstring}

    return work, [{"work": name, "library": OURS, "seed": seed, **timed(partial(ours, seed))} for seed in seeds]


def gates_of(circuit: QuantumCircuit) -> list[list[Any]]:
    """Return gates as name, qubits, parameter index or None, and the factor of the parameter."""
    order = {parameter: i for i, parameter in enumerate(circuit.parameters)}
    found: list[list[Any]] = []
    for item in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        if item.operation.params:
            (angle,) = item.operation.params
            (parameter,) = angle.parameters
            found.append([item.operation.name, qubits, order[parameter], float(angle.gradient(parameter))])
        else:
            found.append([item.operation.name, qubits, None, 0.0])
    return found


def timed(run: Callable[[], Row]) -> Row:
    """Return the row with its elapsed seconds."""
    started = time.perf_counter()
    row = run()
    return row | {"wall_s": time.perf_counter() - started}


def scored(row: Row, work: Mapping[str, Any], circuit: QuantumCircuit | None) -> Row:
    """Return the row with its errors: energies in millihartree, cuts as ratios to the best."""
    if "failed" in row:
        return row
    if work["kind"] == "cut":
        bits = row.get("best")
        seen = None if bits is None else sum(bits[-1 - a] != bits[-1 - b] for a, b in EDGES) / BEST_CUT
        return row | {"reported": -row["value"] / BEST_CUT, "found": seen}
    labels, values = zip(*work["terms"], strict=True)
    dense = SparsePauliOp(labels, values).to_matrix()
    exact = float(np.linalg.eigvalsh(dense)[0])
    state = Statevector(circuit.assign_parameters(row["point"])).data if circuit is not None else np.zeros(1)
    energy = float((state.conj() @ dense @ state).real)
    return row | {"reported": 1e3 * (row["value"] - exact), "found": 1e3 * (energy - exact)}


def table(rows: Sequence[Row], work: Mapping[str, Any]) -> str:
    """Return a Markdown table: medians over the seeds, and the range of the errors."""
    is_cut = work["kind"] == "cut"
    heads = ("mean cut reported / best", "best cut sampled") if is_cut else ("at its angles, mHa", "reported, mHa")
    lines = [
        f"| {work['name']} | rounds | jobs | shots | {heads[0]} | {heads[1]} | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for library in dict.fromkeys(row["library"] for row in rows):
        own = [row for row in rows if row["library"] == library]
        done = [row for row in own if "failed" not in row]
        if not done:
            lines.append(f"| {library} | {own[0]['failed'].splitlines()[0][:80]} | | | | | |")
            continue
        middle = [statistics.median(row[key] for row in done) for key in ("rounds", "jobs", "shots", "wall_s")]
        errors = [_span([row[key] for row in done if row[key] is not None]) for key in ("found", "reported")]
        if is_cut:
            errors.reverse()
        lines.append(
            f"| {library} | {middle[0]:.0f} | {middle[1]:.0f} | {middle[2]:.1e} | {errors[0]} | {errors[1]} "
            f"| {middle[3]:.1f} |"
        )
    return "\n".join(lines)


def _span(values: Sequence[float]) -> str:
    if not values:
        return "–"
    least, most = f"{min(values):.2f}", f"{max(values):.2f}"
    return least if least == most else f"{least} … {most}"


def main() -> int:
    """Run hybridloop, then the other libraries in the given Python, and print a table for each work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="of an environment with the other libraries")
    parser.add_argument("--seeds", type=int, default=3, help="how often each is run")
    asked = parser.parse_args()
    seeds = range(asked.seeds)
    print(machine())
    works, rows = [], []
    for work, own in (
        energy_work("H2, hardware-efficient from a random start, 4 angles", seeds),
        cut_work(f"max-cut of 8 nodes, {LAYERS} layers", seeds),
    ):
        works.append(work)
        rows += own
    answer = subprocess.run(
        [asked.python, str(OTHERS)], input=json.dumps(works), stdout=subprocess.PIPE, text=True, check=True
    )
    rows += json.loads(answer.stdout)
    for work in works:
        circuit = circuit_of(work) if work["kind"] == "energy" else None
        print("\n" + table([scored(row, work, circuit) for row in rows if row["work"] == work["name"]], work))
    return 0


def circuit_of(work: Mapping[str, Any]) -> QuantumCircuit:
    """Return the work's circuit."""
    angles = ParameterVector("t", len(work["start"]))
    circuit = QuantumCircuit(work["qubits"])
    for name, qubits, index, factor in work["gates"]:
        getattr(circuit, name)(*([] if index is None else [factor * angles[index]]), *qubits)
    return circuit


if __name__ == "__main__":
    raise SystemExit(main())
