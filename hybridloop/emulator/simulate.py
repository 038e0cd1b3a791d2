"""Runs a program on Aer: exactly where the target does not sample, else by drawing shots."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator

from hybridloop.emulator.gates import Gates
from hybridloop.emulator.program import (
    MEASURE,
    RESET,
    Measured,
    Operation,
    Program,
    Unrunnable,
    measures_only_at_the_end,
    without_idle_resets,
)
from hybridloop.emulator.sampling import draw_shots, scaled_to_shots

MOST_BITS_AS_DISTRIBUTION = 20  # above, Aer draws the shots itself instead of writing out 2^n probabilities
MOST_OUTCOMES = 2**18  # of a histogram of chances; above it is no result that anyone reads
SHARE_OF_MEMORY = 3  # one simulation takes at most a third of the machine's


class Simulator:
    """Aer behind the two questions that targets are asked: shots, or chances."""

    def __init__(self) -> None:
        # one thread: workers share the cores better than one simulation does for circuits of a few qubits
        self._aer = AerSimulator(method="statevector", max_parallel_threads=1)
        self._gates = Gates()

    def run(self, program: Program, *, shots: int, seed: int, exact: bool) -> Measured:
        """The outcomes of `shots` runs; `exact` gives the distribution scaled to the shots instead of a sample."""
        operations = without_idle_resets(program.operations)
        at_the_end = measures_only_at_the_end(operations)
        if exact and not at_the_end:
            raise Unrunnable("InvalidInputData", "the target takes no reset and no measurement before the end")
        results = _results(operations)
        if not results:
            return Measured((0,), (shots,), (0,) * shots)
        as_distribution = at_the_end and (exact or len(results) <= MOST_BITS_AS_DISTRIBUTION)
        qubits = _dense(operations)
        _check_memory(len(qubits), len(results) if as_distribution else 0)
        if not as_distribution:
            return self._shots(operations, qubits, program.num_results, shots, seed)
        chances = self._chances(operations, qubits)
        drawn = scaled_to_shots(chances, shots) if exact else draw_shots(chances, shots, np.random.default_rng(seed))
        seen, counts, order = (part.tolist() for part in drawn)
        return Measured(tuple(_spread(index, results) for index in seen), tuple(counts), tuple(order))

    def distribution(self, program: Program) -> tuple[list[int], list[float]]:
        """Outcomes over all results that have a chance of at least 1e-10, and these chances."""
        operations = without_idle_resets(program.operations)
        qubits, results = _dense(operations), _results(operations)
        _check_memory(len(qubits), len(results))
        chances = self._chances(operations, qubits)
        seen = np.flatnonzero(chances >= 1e-10)
        if seen.size > MOST_OUTCOMES:
            raise Unrunnable("InvalidInputData", f"the histogram would have {seen.size} entries, above {MOST_OUTCOMES}")
        return [_spread(index, results) for index in seen.tolist()], chances[seen].tolist()

    def _chances(self, operations: tuple[Operation, ...], qubits: Mapping[int, int]) -> NDArray[np.float64]:
        """Probabilities over the measured qubits; bit k of the index is the k-th measurement."""
        circuit = QuantumCircuit(len(qubits))
        measured = []
        for operation in operations:
            where = [qubits[qubit] for qubit in operation.qubits]
            if operation.name == MEASURE:
                measured += where
            else:
                self._gates.append(circuit, operation, where)
        circuit.save_probabilities(qubits=measured)  # Aer adds it to the class
        result = self._aer.run(circuit, shots=1).result()
        if not result.success:
            raise Unrunnable("RuntimeError", f"the simulation failed: {result.status}")
        chances: NDArray[np.float64] = np.clip(result.data(0)["probabilities"], 0.0, None)
        return chances

    def _shots(
        self, operations: tuple[Operation, ...], qubits: Mapping[int, int], num_results: int, shots: int, seed: int
    ) -> Measured:
        """Shots drawn by Aer itself, with measurements and resets wherever they are."""
        circuit = QuantumCircuit(len(qubits), num_results)
        for operation in operations:
            where = [qubits[qubit] for qubit in operation.qubits]
            if operation.name == MEASURE:
                circuit.measure(where[0], operation.result)
            elif operation.name == RESET:
                circuit.reset(where[0])
            else:
                self._gates.append(circuit, operation, where)
        result = self._aer.run(circuit, shots=shots, memory=True, seed_simulator=seed % 2**31).result()
        if not result.success:
            raise Unrunnable("RuntimeError", f"the simulation failed: {result.status}")
        seen: dict[int, int] = {}
        drawn = [seen.setdefault(int(word, 16), len(seen)) for word in result.data(0)["memory"]]
        return Measured(tuple(seen), tuple(np.bincount(drawn).tolist()), tuple(drawn))


def _dense(operations: tuple[Operation, ...]) -> dict[int, int]:
    """The used qubits numbered without gaps: what is not touched takes no memory."""
    return {q: i for i, q in enumerate(sorted({q for operation in operations for q in operation.qubits}))}


def _results(operations: tuple[Operation, ...]) -> list[int]:
    return [o.result for o in operations if o.name == MEASURE and o.result is not None]


def _spread(index: int, results: list[int]) -> int:
    """Bit k of `index` belongs to the k-th measurement; put it where that one's result is."""
    return sum(((index >> position) & 1) << result for position, result in enumerate(results))


def _check_memory(num_qubits: int, num_bits: int) -> None:
    """Refuse what would not fit, before it allocates: 16 bytes an amplitude, 40 for each written probability."""
    needed = 16 * 2**num_qubits + (40 * 2**num_bits if num_bits else 0)
    allowed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // SHARE_OF_MEMORY
    if needed > allowed:
        raise Unrunnable(
            "InvalidInputData",
            f"simulating {num_qubits} qubits needs {needed / 2**30:.3g} GiB and this service may use "
            f"{allowed / 2**30:.3g} GiB; take a smaller circuit",
        )
