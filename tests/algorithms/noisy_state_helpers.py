"""Simulated noisy machine for tests: density matrices with depolarizing gates and readout errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from hybridloop.algorithms.rounds import Counts, MeasuredPub, RunRound, pub_points
from tests.algorithms.batched_state_helpers import largest_remainder

READOUT_ERRORS = (0.01, 0.03)  # p(1|0), p(0|1)

Draw = Callable[[int, NDArray[np.float64]], NDArray[np.int64]]


class NoisySimulator:
    """A density-matrix simulator with depolarizing gates and readout errors, exact or sampled."""

    def __init__(
        self, two_qubit: float, read: tuple[float, float] = READOUT_ERRORS, one_qubit: float | None = None
    ) -> None:
        """Strengths of the depolarizing noise; `one_qubit` is a tenth of `two_qubit` by default."""
        one_qubit = two_qubit / 10 if one_qubit is None else one_qubit
        model = NoiseModel()
        model.add_all_qubit_quantum_error(depolarizing_error(two_qubit, 2), ["cx", "rzz", "rxx", "ryy"])
        model.add_all_qubit_quantum_error(
            depolarizing_error(one_qubit, 1), ["h", "x", "y", "z", "s", "sdg", "t", "tdg", "rx", "ry", "rz"]
        )
        self._simulator = AerSimulator(method="density_matrix", noise_model=model)
        self._misread = np.array([[1 - read[0], read[1]], [read[0], 1 - read[1]]])
        self._texts: dict[int, tuple[QuantumCircuit, str]] = {}  # keeps the circuit, so that its id is not reused
        self._cache: dict[tuple[str, bytes], NDArray[np.float64]] = {}

    def exact(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        return self._measured(pubs, largest_remainder, exact=True)

    def sampled(self, rng: np.random.Generator) -> RunRound:
        return lambda pubs: self._measured(pubs, rng.multinomial, exact=False)

    def _measured(self, pubs: Sequence[SamplerPub], draw: Draw, *, exact: bool) -> list[MeasuredPub]:
        return [
            MeasuredPub(pub_points(pub), tuple(self._counts(pub, row, draw, exact=exact) for row in pub_points(pub)))
            for pub in pubs
        ]

    def _counts(self, pub: SamplerPub, row: NDArray[np.float64], draw: Draw, *, exact: bool) -> Counts:
        drawn = draw(int(pub.shots), self._probabilities(pub.circuit, row))
        observed = {format(i, f"0{pub.circuit.num_qubits}b"): int(n) for i, n in enumerate(drawn) if n}
        return Counts.from_bitstrings(observed, exact=exact)

    def _probabilities(self, circuit: QuantumCircuit, row: NDArray[np.float64]) -> NDArray[np.float64]:
        key = (self._text(circuit), row.tobytes())
        if key not in self._cache:
            bare = circuit.assign_parameters(row).remove_final_measurements(inplace=False)
            bare.save_probabilities()
            probabilities = np.asarray(self._simulator.run(bare).result().data()["probabilities"])
            tensor = probabilities.reshape([2] * bare.num_qubits)
            for axis in range(bare.num_qubits):
                tensor = np.moveaxis(np.tensordot(self._misread, tensor, axes=(1, axis)), 0, axis)
            clipped = np.clip(tensor.ravel(), 0, None)
            self._cache[key] = clipped / clipped.sum()
        return self._cache[key]

    def _text(self, circuit: QuantumCircuit) -> str:
        """Return a text that is the same for circuits of the same gates and parameters."""
        if id(circuit) not in self._texts:
            gates = [(item.name, item.params, tuple(map(circuit.find_bit, item.qubits))) for item in circuit.data]
            self._texts[id(circuit)] = (circuit, f"{circuit.num_qubits} {gates} {circuit.parameters}")
        return self._texts[id(circuit)][1]
