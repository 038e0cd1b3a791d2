"""Runs a program on Aer: exactly where the target does not sample, else by drawing shots."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import UnitaryGate, get_standard_gate_name_mapping
from qiskit_aer import AerSimulator

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

NATIVE_TO_AER = frozenset(
    "x y z h s sdg t tdg sx sxdg id rx ry rz rxx ryy rzz swap cx cy cz ccx ccz cswap crx cry crz".split()
)
MOST_BITS_AS_DISTRIBUTION = 20  # above, Aer draws the shots itself instead of writing out 2^n probabilities
SHARE_OF_MEMORY = 3  # one simulation takes at most a third of the machine's


def run_program(program: Program, *, shots: int, seed: int, exact: bool) -> Measured:
    """The outcomes of `shots` runs; `exact` gives the distribution scaled to the shots instead of a sample."""
    operations = without_idle_resets(program.operations)
    at_the_end = measures_only_at_the_end(operations)
    if exact and not at_the_end:
        raise Unrunnable("InvalidInputData", "the target takes no reset and no measurement before the end")
    if not any(operation.name == MEASURE for operation in operations):
        return Measured((0,), (shots,), (0,) * shots)
    qubits = {q: i for i, q in enumerate(sorted({q for o in operations for q in o.qubits}))}
    results = [o.result for o in operations if o.name == MEASURE]
    as_distribution = at_the_end and (exact or len(results) <= MOST_BITS_AS_DISTRIBUTION)
    _check_memory(len(qubits), len(results) if as_distribution else 0)
    if not as_distribution:
        return _by_aers_own_shots(operations, qubits, program.num_results, shots, seed)
    probabilities = _distribution(operations, qubits)
    if exact:
        return _in_results(results, *scaled_to_shots(probabilities, shots))
    return _in_results(results, *draw_shots(probabilities, shots, np.random.default_rng(seed)))


def exact_distribution(program: Program) -> tuple[list[int], list[float]]:
    """Outcomes over all results that have a chance of at least 1e-10, and these chances."""
    operations = without_idle_resets(program.operations)
    qubits = {q: i for i, q in enumerate(sorted({q for o in operations for q in o.qubits}))}
    _check_memory(len(qubits), len(qubits))
    probabilities = _distribution(operations, qubits)
    seen = np.flatnonzero(probabilities >= 1e-10)
    results = [o.result for o in operations if o.name == MEASURE]
    return [_spread(int(index), results) for index in seen], [float(p) for p in probabilities[seen]]


def _in_results(
    results: list[int | None], seen: NDArray[np.int64], counts: NDArray[np.int64], shots: NDArray[np.int64]
) -> Measured:
    return Measured(
        tuple(_spread(int(index), results) for index in seen), tuple(counts.tolist()), tuple(shots.tolist())
    )


def _spread(index: int, results: list[int | None]) -> int:
    """Bit k of `index` belongs to the k-th measurement; put it where that one's result is."""
    return sum(((index >> position) & 1) << (result or 0) for position, result in enumerate(results))


def _distribution(operations: tuple[Operation, ...], qubits: dict[int, int]) -> NDArray[np.float64]:
    """Probabilities over the measured qubits; bit k of the index is the k-th measurement."""
    circuit = QuantumCircuit(len(qubits))
    measured = []
    for operation in operations:
        if operation.name == MEASURE:
            measured.append(qubits[operation.qubits[0]])
        else:
            _append(circuit, operation, qubits)
    circuit.save_probabilities(qubits=measured)  # Aer adds it to the class
    result = _simulator().run(circuit, shots=1).result()
    if not result.success:
        raise Unrunnable("RuntimeError", f"the simulation failed: {result.status}")
    probabilities: NDArray[np.float64] = np.clip(result.data(0)["probabilities"], 0.0, None)
    return probabilities


def _by_aers_own_shots(
    operations: tuple[Operation, ...], qubits: dict[int, int], num_results: int, shots: int, seed: int
) -> Measured:
    circuit = QuantumCircuit(len(qubits), num_results)
    for operation in operations:
        if operation.name == MEASURE:
            circuit.measure(qubits[operation.qubits[0]], operation.result)
        elif operation.name == RESET:
            circuit.reset(qubits[operation.qubits[0]])
        else:
            _append(circuit, operation, qubits)
    result = _simulator().run(circuit, shots=shots, memory=True, seed_simulator=seed % 2**31).result()
    if not result.success:
        raise Unrunnable("RuntimeError", f"the simulation failed: {result.status}")
    seen: dict[int, int] = {}
    drawn = [seen.setdefault(int(word, 16), len(seen)) for word in result.data(0)["memory"]]
    return Measured(tuple(seen), tuple(np.bincount(drawn).tolist()), tuple(drawn))


def _append(circuit: QuantumCircuit, operation: Operation, qubits: dict[int, int]) -> None:
    if operation.name == "barrier":
        return
    where = [qubits[qubit] for qubit in operation.qubits]
    if operation.name in NATIVE_MATRICES:
        circuit.append(UnitaryGate(NATIVE_MATRICES[operation.name](*operation.angles)), where)
        return
    if operation.name in NATIVE_TO_AER:
        gate = _standard_gates()[operation.name].__class__(*operation.angles)
        circuit._append(gate, tuple(circuit.qubits[qubit] for qubit in where), ())
        return
    base = operation.name.lstrip("c")
    controls = len(operation.name) - len(base)
    matrix = _standard_gates()[base].__class__(*operation.angles).to_matrix()
    circuit.append(UnitaryGate(_controlled(matrix, controls)), where)


def _controlled(matrix: NDArray[np.complex128], controls: int) -> NDArray[np.complex128]:
    """The matrix applied where all controls, which come first and are the least significant qubits, are 1."""
    size = len(matrix) << controls
    whole = np.eye(size, dtype=np.complex128)
    ones = np.arange(len(matrix)) << controls | (1 << controls) - 1
    whole[np.ix_(ones, ones)] = matrix
    return whole


@lru_cache(maxsize=1)
def _standard_gates() -> dict[str, Gate]:
    return {name: gate for name, gate in get_standard_gate_name_mapping().items() if isinstance(gate, Gate)}


@lru_cache(maxsize=1)
def _simulator() -> AerSimulator:
    # one thread: two workers share two cores better than one simulation does for circuits of a few qubits
    return AerSimulator(method="statevector", max_parallel_threads=1)


def _gpi(phase: float) -> NDArray[np.complex128]:
    return np.array([[0, np.exp(-1j * phase)], [np.exp(1j * phase), 0]])


def _gpi2(phase: float) -> NDArray[np.complex128]:
    half = np.sqrt(0.5)
    return np.array([[half, -1j * half * np.exp(-1j * phase)], [-1j * half * np.exp(1j * phase), half]])


def _ms(phase0: float, phase1: float, angle: float) -> NDArray[np.complex128]:
    """exp(-i·angle/2 · GPi(phase0) ⊗ GPi(phase1)), the first qubit the less significant one; angles in radians."""
    product = np.kron(_gpi(phase1), _gpi(phase0))
    matrix: NDArray[np.complex128] = np.cos(angle / 2) * np.eye(4) - 1j * np.sin(angle / 2) * product
    return matrix


# IonQ, "Getting started with native gates": https://docs.ionq.com/guides/getting-started-with-native-gates
NATIVE_MATRICES: dict[str, Callable[..., NDArray[np.complex128]]] = {"gpi": _gpi, "gpi2": _gpi2, "ms": _ms}


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
