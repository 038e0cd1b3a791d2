"""Exact outcome distributions of measured circuits on noisy machines, computed once by Qiskit Aer and stored.

`python -m benchmarks.noise_systems` computes those that are missing, or whose circuits have changed: some minutes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import RXXGate, RYYGate, RZZGate, UnitaryGate
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error, pauli_error

from hybridloop.algorithms.binary.graphs import graph_from_edges
from hybridloop.algorithms.binary.problem_kinds import max_cut
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Evaluation, evaluation
from hybridloop.algorithms.estimation.grouping import group_hamiltonian
from hybridloop.algorithms.estimation.observable import Grouping, Observable
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.mitigation.mitigation import Mitigation
from hybridloop.algorithms.mitigation.readout import CALIBRATION_SHOTS
from hybridloop.algorithms.mitigation.zne import ZeroNoiseExtrapolation
from hybridloop.algorithms.qaoa.angles import with_simulated_angles
from hybridloop.algorithms.qaoa.circuit import qaoa_circuit
from hybridloop.algorithms.rounds import Counts, MeasuredPub, RunRound, pub_points
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.emulator.simulation.noise import noise_models
from hybridloop.settings import MitigationName, ProblemText
from tests.preparation_helpers import prepare_vqe
from tests.spin_models import HEISENBERG, pauli_text, ring, spin_model

STORED = Path(__file__).parent / "data" / "noise.npz"
TWO_QUBIT_GATES = ("cx", "cz", "rxx", "ryy", "rzz", "swap")
ONE_QUBIT_GATES = ("h", "x", "y", "z", "s", "sdg", "t", "tdg", "rx", "ry", "rz", "sx", "sxdg")
OVER_ROTATION = 0.02  # radians, of each gate on two qubits
SKEW = (0.5, 1.5)  # of the readout's rate: for a 0 and for a 1
MHA = 1e-3  # hartree
KINDS = ("depolarizing", "dephasing", "over-rotated")


@dataclass(frozen=True, slots=True)
class Machine:
    """Strengths of the noise after gates on one and two qubits, and the rate of readout errors."""

    one_qubit: float
    two_qubit: float
    readout: float

    @property
    def flips(self) -> tuple[float, float]:
        """The flip probabilities of a measured 0 and of a measured 1."""
        return SKEW[0] * self.readout, SKEW[1] * self.readout


def _published(name: str) -> Machine:
    noise = noise_models()[name]
    return Machine(noise.one_qubit, noise.two_qubit, noise.readout)


MACHINES: Mapping[str, Machine] = {
    "H2-1": _published("quantinuum-h2"),
    "Forte": _published("forte-1"),
    "Aria": _published("aria-1"),
    "0.3 %": Machine(0.0003, 0.003, 0.003),
    "1 %": Machine(0.001, 0.01, 0.01),
}


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """An observable and an ansatz at its initial point, as a run measures them, with the precision that is asked for.

    `exact` is the noiseless value at these angles, `unit` is "hartree" or empty.
    """

    name: str
    observable: Observable
    ansatz: Ansatz
    mitigation: Mitigation
    sampling: Sampling
    unit: str

    @property
    def exact(self) -> float:
        state = Statevector(self.ansatz.circuit.assign_parameters(self.ansatz.initial_point))
        return float(state.expectation_value(self.observable.operator).real)

    def final(self, run_round: RunRound = lambda _: []) -> Evaluation:
        """Return the evaluation of the final measurement."""
        return self.mitigation.final_evaluation(evaluation(self.observable, self.ansatz, run_round))

    def circuits(self) -> list[QuantumCircuit]:
        """Return the circuits of the final measurement's groups at the angles, without their measurements."""
        measured = self.final()
        groups = measured.circuits[: len(measured.observable.groups)]
        bound = [each.assign_parameters(self.ansatz.initial_point) for each in groups]
        return [each.remove_final_measurements(inplace=False) for each in bound]


def _of_vqe(name: str, problem: ProblemText, precision: float, unit: str = "hartree", **more: Any) -> System:
    mitigation = (MitigationName.READOUT, MitigationName.ZNE_LINEAR)
    settings = VqeSettings(mitigation=mitigation, target="quantinuum.sim.h2-1e", precision=precision, **more)
    found = prepare_vqe(problem, settings, 0)
    point = np.round(found.ansatz.initial_point, 6)  # a minimum has other last digits on another processor
    ansatz = replace(found.ansatz, initial_point=point)
    return System(name, found.energy.observable, ansatz, found.mitigation, found.sampling, unit)


def _cut_of_ring(vertices: int) -> System:
    problem = max_cut(graph_from_edges(vertices, [(i, j, 1.0) for i, j in ring(vertices)]))
    circuit, _ = with_simulated_angles(qaoa_circuit(problem, layers=2))
    operator = group_hamiltonian(circuit.cost.operator(), Grouping.QUBIT_WISE, None)
    ansatz = Ansatz("qaoa", circuit.circuit, np.round(circuit.initial_point, 6), ((),) * len(circuit.initial_point))
    mitigation = Mitigation(CALIBRATION_SHOTS, (), ZeroNoiseExtrapolation())
    return System(f"cut of {vertices}", operator, ansatz, mitigation, Sampling(precision=0.02), "")


@cache
def system(name: str) -> System:
    """Return a system by name."""
    match name:
        case "LiH":
            return _of_vqe(name, ProblemText(name="lih-frozen-core"), MHA)
        case "HeH+":
            return _of_vqe(name, ProblemText(name="heh+"), MHA)
        case "BeH2 (2,2)":
            return _of_vqe(name, ProblemText(name="beh2"), MHA, active_space=(2, 2))
        case "H4":
            return _of_vqe(name, ProblemText(name="h4"), MHA)
        case "Ising ring":
            return _of_vqe(name, pauli_text(spin_model(4, ring(4), {"ZZ": 1.0}, "X")), 0.02, "")
        case "Heisenberg ring":
            return _of_vqe(name, pauli_text(spin_model(4, ring(4), HEISENBERG)), 0.02, "")
    return _cut_of_ring(int(name.removeprefix("cut of ")))


ALL = ("LiH", "HeH+", "BeH2 (2,2)", "Ising ring", "Heisenberg ring", "cut of 6")
SHORT = ("LiH", "HeH+", "cut of 4")
OF_H4 = (("H2-1", "depolarizing"), ("0.3 %", "depolarizing"), ("1 %", "over-rotated"))


def rows() -> list[tuple[str, str, str]]:
    """Return system, machine and kind of noise of all rows that are stored."""
    each = [(name, machine, kind) for name in (*ALL, "cut of 4") for machine in MACHINES for kind in KINDS]
    return [*each, *(("H4", *which) for which in OF_H4)]


def distributions(row: tuple[str, str, str]) -> NDArray[np.float64]:
    """Return the distributions (circuits, 2^n) of a row; outcome i has bit q of i as qubit q.

    They are computed where the circuits are others than those that were stored: fitted angles have other last digits on
    another processor.
    """
    name, machine, kind = row
    stored, key, circuits = _stored(), "|".join(row), system(name).circuits()
    is_stored = key in stored and str(stored[f"{key}#"]) == _fingerprint(circuits, MACHINES[machine], kind)
    found = stored[key].astype(float) if is_stored else compute(circuits, MACHINES[machine], kind)
    normalized: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
    return normalized


@cache
def _stored() -> dict[str, Any]:
    with np.load(STORED) as stored:
        return dict(stored)


def _fingerprint(circuits: Sequence[QuantumCircuit], machine: Machine, kind: str) -> str:
    texts = [str(machine), kind]
    for circuit in circuits:
        for item in circuit.data:
            angles = [round(float(angle), 5) for angle in item.params]
            texts.append(f"{item.name}{angles}{[circuit.find_bit(qubit).index for qubit in item.qubits]}")
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def compute(circuits: Sequence[QuantumCircuit], machine: Machine, kind: str) -> NDArray[np.float64]:
    """Return the outcome distributions of circuits (circuits, 2^n) on a machine whose noise is of a kind."""
    noise = NoiseModel()
    if kind == "dephasing":
        flip = machine.two_qubit / 2.0
        alone = pauli_error([("Z", flip), ("I", 1.0 - flip)])
        noise.add_all_qubit_quantum_error(alone.tensor(alone), TWO_QUBIT_GATES)
    else:
        noise.add_all_qubit_quantum_error(depolarizing_error(machine.two_qubit, 2), TWO_QUBIT_GATES)
    noise.add_all_qubit_quantum_error(depolarizing_error(machine.one_qubit, 1), ONE_QUBIT_GATES)
    simulator = AerSimulator(method="density_matrix", noise_model=noise, max_parallel_threads=1)
    zero, one = machine.flips
    misread = np.array([[1.0 - zero, one], [zero, 1.0 - one]])
    found = []
    for circuit in circuits:
        ready = _over_rotated(circuit) if kind == "over-rotated" else circuit.copy()
        ready.save_probabilities()
        result = np.asarray(simulator.run(ready).result().data()["probabilities"]).reshape((2,) * circuit.num_qubits)
        for axis in range(circuit.num_qubits):
            result = np.moveaxis(np.tensordot(misread, result, (1, axis)), 0, axis)
        found.append(np.clip(result.ravel(), 0.0, None))
    return np.array(found)


def _over_rotated(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit whose gates on two qubits turn by `OVER_ROTATION` too far, each in its own direction."""
    turned = circuit.copy_empty_like()
    for item in circuit.data:
        turned.append(item)
        if len(item.qubits) != 2:
            continue
        rotation = {"rxx": RXXGate, "ryy": RYYGate, "rzz": RZZGate}.get(item.name)
        if rotation is not None:
            further = rotation(math.copysign(OVER_ROTATION, float(item.params[0]))).to_matrix()
        else:  # a controlled gate: about the axis that its control turns on
            matrix = item.operation.to_matrix()
            values, vectors = np.linalg.eigh(matrix)  # it is its own inverse
            further = (vectors * np.exp(-0.5j * OVER_ROTATION * (1.0 - values))) @ vectors.conj().T
        turned.append(UnitaryGate(further, label="over-rotation"), item.qubits)
    return turned


class DrawnRounds:
    """Rounds drawn from distributions: those of an evaluation's circuits in order, and of the calibration."""

    def __init__(self, measured: Sequence[QuantumCircuit], found: NDArray[np.float64], machine: Machine) -> None:
        self._found = {id(circuit): row for circuit, row in zip(measured, found, strict=True)}
        self._measured, self._machine = tuple(measured), machine  # keeps the circuits, so that no id is reused
        self.generator = np.random.default_rng(0)

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        return [MeasuredPub(pub_points(pub), (self._counts(pub.circuit, int(pub.shots)),)) for pub in pubs]

    def _counts(self, circuit: QuantumCircuit, shots: int) -> Counts:
        row = self._found.get(id(circuit))
        drawn = self.generator.multinomial(shots, self._calibration(circuit) if row is None else row)
        seen = np.flatnonzero(drawn)
        return Counts(circuit.num_qubits, seen.astype(np.uint8)[:, None], drawn[seen].astype(np.int64))

    def _calibration(self, circuit: QuantumCircuit) -> NDArray[np.float64]:
        zero, one = self._machine.flips
        if circuit.name == "all-1":  # the X gate's noise leaves a zero behind, as a misread qubit would
            rate = one * (1.0 - self._machine.one_qubit / 2.0) + (1.0 - zero) * self._machine.one_qubit / 2.0
            of_qubit = np.array([rate, 1.0 - rate])
        else:
            of_qubit = np.array([1.0 - zero, zero])
        found = np.ones(1)
        for _ in range(circuit.num_qubits):
            found = np.kron(of_qubit, found)
        return found


def main() -> None:
    """Compute and store the distributions that are missing or stale."""
    stored = dict(_stored()) if STORED.exists() else {}
    kept: dict[str, Any] = {}
    for row in rows():
        key, (name, machine, kind) = "|".join(row), row
        circuits = system(name).circuits()
        mark = _fingerprint(circuits, MACHINES[machine], kind)
        if key not in stored or str(stored[f"{key}#"]) != mark:
            print(key, flush=True)
            stored[key] = compute(circuits, MACHINES[machine], kind).astype(np.float32)
        kept |= {key: stored[key], f"{key}#": np.array(mark)}
    np.savez_compressed(STORED, **kept)


if __name__ == "__main__":
    main()
