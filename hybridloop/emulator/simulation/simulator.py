"""Simulator on Aer: exact distributions, drawn shots and noise, with an LRU cache of distributions.

A program's simulation method is chosen with the memory that it takes, before anything is allocated.
"""

from __future__ import annotations

import enum
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import IfElseOp
from qiskit.circuit.library import IGate, UnitaryGate
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error, pauli_error

from hybridloop.emulator.formats.gates import DIAGONAL, NO_LABELS, append_gate
from hybridloop.emulator.model.program import (
    MEASURE,
    RESET,
    Instruction,
    JobInputError,
    Program,
    ShotOutcomes,
    has_only_final_measurements,
)
from hybridloop.emulator.simulation.diagonal_blocks import with_diagonal_blocks
from hybridloop.emulator.simulation.memory import (
    AMPLITUDE_BYTES,
    MAX_DISTRIBUTION_BITS,
    PROBABILITY_BYTES,
    SINGLE_BYTES,
)
from hybridloop.emulator.simulation.noise import Noise
from hybridloop.emulator.simulation.protocol import UNRESERVED_BYTES
from hybridloop.emulator.simulation.sampling import clifford_distribution, draw_shots, scale_to_shots

V = TypeVar("V")


class LruCache(Generic[V]):
    """Cache of at most `capacity` bytes, as callers state sizes; the least recently used value is evicted first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[bytes, tuple[V, int]] = OrderedDict()
        self._size = 0

    def get(self, key: bytes) -> V | None:
        """Return the value and mark it as the most recently used; None if it is not cached."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: bytes, value: V, size: int) -> None:
        """Add or replace a value of `size` bytes, unless it is larger than the whole cache."""
        if size > self._capacity:
            return
        if key in self._entries:
            self._size -= self._entries.pop(key)[1]
        self._entries[key] = (value, size)
        self._size += size
        while self._size > self._capacity:
            self._size -= self._entries.popitem(last=False)[1][1]


MAX_DENSITY_MATRIX_QUBITS = 8  # 50 ms for 100 gates; above, running every shot is faster
MIN_STABILIZER_QUBITS = 21  # below, a state vector is as fast and gives the probabilities at once
MIN_MERGED_QUBITS = 21  # blocks of diagonal gates are merged from here on
MIN_SINGLE_QUBITS = 21  # from here on sampled shots come of a state in single precision, which halves its memory

CLIFFORD_GATES = frozenset("x y z h s sdg sx sxdg id cx cy cz swap barrier".split())
ROTATIONS = frozenset(("rx", "ry", "rz"))  # Clifford at multiples of a quarter turn


class SimulationMethod(enum.StrEnum):
    """Aer's simulation methods that are used here, by its names."""

    STATEVECTOR = "statevector"
    DENSITY_MATRIX = "density_matrix"
    STABILIZER = "stabilizer"


@dataclass(frozen=True, slots=True)
class SimulationSetup:
    """A simulation's method and input. `qubits` numbers the used qubits without gaps.

    `results` are the results in the order of their measurements. With `computes_distribution` all probabilities are
    computed once and shots are drawn from them; without, Aer runs every shot. `is_single` is for single precision,
    `noise_free` for a circuit without noise.
    """

    method: SimulationMethod
    computes_distribution: bool
    instructions: tuple[Instruction, ...]
    qubits: dict[int, int]
    results: tuple[int, ...]
    is_single: bool = False
    noise_free: bool = True

    @property
    def required_bytes(self) -> int:
        """Memory of the simulation: that of its amplitudes, and of each probability of a distribution."""
        if self.method is SimulationMethod.STABILIZER:
            return len(self.qubits) ** 2
        width = len(self.qubits) * (2 if self.method is SimulationMethod.DENSITY_MATRIX else 1)
        state = (SINGLE_BYTES if self.is_single else AMPLITUDE_BYTES) << width
        return state + (PROBABILITY_BYTES << len(self.results) if self.computes_distribution else 0)

    def operations(self, shots: int) -> float:
        """Return the amplitudes that pass through a gate, in all shots unless one state serves them."""
        is_once = self.computes_distribution or (self.noise_free and has_only_final_measurements(self.instructions))
        width = len(self.qubits) * (2 if self.method is SimulationMethod.DENSITY_MATRIX else 1)
        amplitudes = len(self.qubits) ** 2.0 if self.method is SimulationMethod.STABILIZER else 2.0**width
        return (1.0 if is_once else shots) * amplitudes * len(self.instructions)


def choose_method(instructions: Sequence[Instruction], *, exact: bool, noisy: bool) -> SimulationSetup:
    """Return the setup for simulating the instructions; `exact` asks for the distribution, not for a sample of it."""
    # properties of the program
    program = tuple(instructions)
    used = sorted({qubit for instruction in program for qubit in instruction.qubits})
    qubits = {qubit: index for index, qubit in enumerate(used)}
    results = tuple(i.result for i in program if i.name == MEASURE and i.result is not None)
    measures_last = has_only_final_measurements(program)
    all_clifford = all(is_clifford(instruction) for instruction in program)
    is_single = not exact and len(qubits) >= MIN_SINGLE_QUBITS
    # with noise: a density matrix if it is small enough, else shot by shot
    if noisy:
        is_small = measures_last and len(qubits) <= MAX_DENSITY_MATRIX_QUBITS
        shot_method = SimulationMethod.STABILIZER if all_clifford else SimulationMethod.STATEVECTOR
        method = SimulationMethod.DENSITY_MATRIX if is_small else shot_method
        return SimulationSetup(method, is_small, program, qubits, results, is_single, noise_free=not noisy)
    # without noise: stabilizers for wide Clifford circuits, else a state vector
    if all_clifford and len(qubits) >= MIN_STABILIZER_QUBITS:
        return SimulationSetup(SimulationMethod.STABILIZER, exact and measures_last, program, qubits, results)
    computes_distribution = measures_last and (exact or len(results) <= MAX_DISTRIBUTION_BITS)
    if len(qubits) >= MIN_MERGED_QUBITS:
        program = with_diagonal_blocks(program)
    return SimulationSetup(
        SimulationMethod.STATEVECTOR, computes_distribution, program, qubits, results, is_single, noise_free=not noisy
    )


# rotations by 1, 2 and 3 quarter turns as gates that Aer's stabilizer method takes, the first one first
QUARTER_TURNS: Mapping[str, Sequence[tuple[str, ...]]] = {
    "rx": ((), ("sx",), ("x",), ("sxdg",)),
    "ry": ((), ("z", "h"), ("y",), ("h", "z")),
    "rz": ((), ("s",), ("z",), ("sdg",)),
}


def is_clifford(instruction: Instruction) -> bool:
    """Return whether a stabilizer simulation takes the instruction."""
    if instruction.name in ROTATIONS:
        quarters = instruction.angles[0] / (math.pi / 2)
        return abs(quarters - round(quarters)) < 1e-12
    return instruction.name in CLIFFORD_GATES or instruction.name in (MEASURE, RESET)


# gate labels by the number of qubits: Aer finds a gate's noise by its label
NOISE_LABELS = {1: "noisy-1", 2: "noisy-2"}
PREPARED = "prepared"  # label of an identity that stands for the preparation of a qubit


def aer_noise_model(noise: Noise) -> NoiseModel:
    """Return Aer's noise model: depolarizing errors on labelled gates, flips at preparation, and readout errors."""
    model = NoiseModel()
    zero, one = noise.flips
    if zero or one:
        model.add_all_qubit_readout_error(ReadoutError([[1 - zero, zero], [one, 1 - one]]))
    if noise.preparation:
        flip = pauli_error([("X", noise.preparation), ("I", 1 - noise.preparation)])
        model.add_all_qubit_quantum_error(flip, [PREPARED])
    for width, strength in ((1, noise.one_qubit), (2, noise.two_qubit)):
        if strength:
            model.add_all_qubit_quantum_error(depolarizing_error(strength, width), [NOISE_LABELS[width]])
    return model


def circuit_without_measurements(setup: SimulationSetup, noise: Noise | None) -> tuple[QuantumCircuit, list[int]]:
    """Return the circuit of gates alone, and the measured qubits in the order of measurement."""
    circuit = QuantumCircuit(len(setup.qubits))
    _prepare(circuit, range(len(setup.qubits)), noise)
    measured = []
    for instruction in setup.instructions:
        qubits = [setup.qubits[qubit] for qubit in instruction.qubits]
        if instruction.name == MEASURE:
            measured += qubits
        else:
            _append_gate(circuit, instruction, qubits, noisy=noise is not None)
    return circuit, measured


def circuit_with_measurements(setup: SimulationSetup, num_results: int, noise: Noise | None) -> QuantumCircuit:
    """Return the whole circuit, with measurements, resets and conditional instructions in place."""
    circuit = QuantumCircuit(len(setup.qubits), num_results)
    _prepare(circuit, range(len(setup.qubits)), noise)
    for instruction in setup.instructions:
        qubits = [setup.qubits[qubit] for qubit in instruction.qubits]
        # a conditional instruction becomes the body of an if; further conditions nest around it
        body = circuit if not instruction.conditions else QuantumCircuit(circuit.qubits, circuit.clbits)
        if instruction.name == MEASURE:
            body.measure(qubits[0], instruction.result)
        elif instruction.name == RESET:
            body.reset(qubits[0])
            _prepare(body, qubits, noise)
        else:
            is_rotated = setup.method is SimulationMethod.STABILIZER and instruction.name in ROTATIONS
            for gate, is_last in _quarter_turns(instruction) if is_rotated else [(instruction, True)]:
                _append_gate(body, gate, qubits, noisy=noise is not None and is_last)
        for depth, (result, value) in reversed(list(enumerate(instruction.conditions))):
            outer = QuantumCircuit(circuit.qubits, circuit.clbits) if depth else circuit
            outer.append(IfElseOp((circuit.clbits[result], value), body, None), circuit.qubits, circuit.clbits)
            body = outer
    return circuit


def _prepare(circuit: QuantumCircuit, qubits: Iterable[int], noise: Noise | None) -> None:
    """Append an identity that carries the preparation's flip, where the noise has one."""
    if noise is not None and noise.preparation:
        for qubit in qubits:
            circuit.append(IGate(label=PREPARED), [qubit])


def _quarter_turns(rotation: Instruction) -> Iterator[tuple[Instruction, bool]]:
    """Yield the gates of a rotation by quarter turns, up to a phase; the last one, which has its noise, with True."""
    quarters = round(rotation.angles[0] / (math.pi / 2)) % 4
    names = QUARTER_TURNS[rotation.name][quarters] or ("id",)
    for name in names:
        yield replace(rotation, name=name, angles=()), name is names[-1]


def _append_gate(circuit: QuantumCircuit, instruction: Instruction, qubits: list[int], *, noisy: bool) -> None:
    """Append a gate; beyond two qubits its noise is that of a two-qubit gate on each pair of neighbours."""
    append_gate(circuit, instruction, qubits, NOISE_LABELS if noisy else NO_LABELS)
    if noisy and len(qubits) > 2:
        for pair in pairwise(qubits):
            circuit.append(UnitaryGate(np.eye(4), label=NOISE_LABELS[2]), list(pair))


MAX_OUTCOMES = 2**18  # of a histogram of probabilities: a larger one is of no use
PROBABILITY_DECIMALS = 14  # of a histogram: a gate's rounding is 1e-16
MAX_FUSED = 5  # qubits of gates that Aer fuses, its default
OPERATIONS_PER_S = 2e8  # of a thread, before one is measured here
MEASURED_OPERATIONS = 1e8  # of a simulation whose time says something
CACHE_BYTES = 64 * 2**20  # of distributions, so that the same circuit is simulated once


@dataclass(frozen=True, slots=True)
class Distribution:
    """Probabilities of outcomes. `outcomes` are theirs, ascending; None stands for 0, 1, 2, …

    Bit k of an outcome is the k-th measurement, whose result is `results[k]`.
    """

    probabilities: NDArray[np.float64]
    outcomes: NDArray[np.int64] | None
    results: tuple[int, ...]

    def outcome(self, index: int) -> int:
        """Return the outcome at that index as an integer whose bit r is result r."""
        bits = index if self.outcomes is None else int(self.outcomes[index])
        return sum(((bits >> position) & 1) << result for position, result in enumerate(self.results))


class Simulator:
    """Simulates programs on Aer, for shots or for probabilities.

    `reserve` is called with the bytes that a simulation will take, before it allocates them, and with the seconds that
    it takes on one thread. It may wait, and returns the threads that the simulation may use, on which no result
    depends. It raises JobInputError if the bytes are more than the limit. `timer` returns seconds.
    """

    def __init__(
        self,
        reserve: Callable[[int, float], int] = lambda size, seconds: 1,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._reserve = reserve
        self._timer = timer
        self._operations_per_s = OPERATIONS_PER_S  # of a thread, as measured last
        self._job_bytes = 0
        self._backends: dict[tuple[SimulationMethod, Noise | None, bool, int, int], AerSimulator] = {}
        self._cache: LruCache[Distribution] = LruCache(CACHE_BYTES)

    def reserve_job(self, size: int) -> None:
        """Reserve the bytes of a job's programs and results in place of the last job's; simulations add their own."""
        self._job_bytes = size
        if size > UNRESERVED_BYTES:
            self._reserve(size, 0.0)

    def run(
        self, program: Program, *, shots: int, seed: int, exact: bool, noise: Noise | None = None, key: bytes = b""
    ) -> ShotOutcomes:
        """Return the outcomes of `shots` shots; `exact` scales the distribution to the shots instead of sampling it.

        `key` identifies the program in the cache of distributions; with b"" nothing is cached.
        Raises JobInputError if an exact run needs mid-circuit measurements, or if Aer fails.
        """
        # the distribution, cached or computed; without one Aer runs every shot
        exact = exact and noise is None
        key = _cache_key(key, noise, exact=exact)
        distribution = self._cache.get(key)
        if distribution is None:
            if exact and not has_only_final_measurements(program.instructions):
                raise JobInputError("InvalidInputData", "the target takes no reset and no measurement before the end")
            setup = choose_method(program.instructions, exact=exact, noisy=noise is not None)
            if not setup.computes_distribution:
                return self._run_shots(setup, program.num_results, shots, seed, noise)
            distribution = self._distribution(setup, noise, key)
        # the shots
        arrays = (
            scale_to_shots(distribution.probabilities, shots)
            if exact
            else draw_shots(distribution.probabilities, shots, np.random.default_rng(seed))
        )
        indices, counts, order = (array.tolist() for array in arrays)
        return ShotOutcomes(tuple(distribution.outcome(index) for index in indices), tuple(counts), tuple(order))

    def distribution(self, program: Program, key: bytes = b"") -> tuple[list[int], list[float]]:
        """Return the outcomes over all results that have a probability of at least 1e-10, and these probabilities.

        Raises JobInputError if there are more than `MAX_OUTCOMES`.
        """
        key = _cache_key(key, None, exact=True)
        distribution = self._cache.get(key)
        if distribution is None:
            setup = choose_method(program.instructions, exact=True, noisy=False)
            distribution = self._distribution(setup, None, key)
        indices = np.flatnonzero(distribution.probabilities >= 1e-10)
        if indices.size > MAX_OUTCOMES:
            problem = f"the histogram would have {indices.size} entries, above {MAX_OUTCOMES}"
            raise JobInputError("InvalidInputData", problem)
        outcomes = [distribution.outcome(index) for index in indices.tolist()]
        # squares of amplitudes: rounded to the digits that are right, so that a Bell pair has 0.5
        return outcomes, np.round(distribution.probabilities[indices], PROBABILITY_DECIMALS).tolist()

    def _distribution(self, setup: SimulationSetup, noise: Noise | None, key: bytes) -> Distribution:
        with self._reserved(setup, 1) as threads:
            circuit, measured = circuit_without_measurements(setup, noise)
            if setup.method is SimulationMethod.STABILIZER:
                outcomes, free_bits = clifford_distribution(circuit, measured)
                distribution = Distribution(np.full(outcomes.size, 0.5**free_bits), outcomes, setup.results)
            else:
                probabilities = self._probabilities(setup, circuit, measured, noise, threads)
                distribution = Distribution(probabilities, None, setup.results)
        if key:
            size = distribution.probabilities.nbytes
            size += 0 if distribution.outcomes is None else distribution.outcomes.nbytes
            self._cache.put(key, distribution, size)
        return distribution

    def _probabilities(
        self, setup: SimulationSetup, circuit: QuantumCircuit, measured: list[int], noise: Noise | None, threads: int
    ) -> NDArray[np.float64]:
        """Return the probabilities over the measured qubits; bit k of the index is the k-th measurement."""
        circuit.save_probabilities(qubits=measured)  # Aer adds it to the class
        result = self._backend(setup, noise, threads).run(circuit, shots=1).result()
        if not result.success:
            raise JobInputError("RuntimeError", f"the simulation failed: {result.status}")
        probabilities: NDArray[np.float64] = np.clip(result.data(0)["probabilities"], 0.0, None)
        return probabilities if noise is None else apply_readout_flips(probabilities, *noise.flips)

    def _run_shots(
        self, setup: SimulationSetup, num_results: int, shots: int, seed: int, noise: Noise | None
    ) -> ShotOutcomes:
        with self._reserved(setup, shots) as threads:
            circuit = circuit_with_measurements(setup, num_results, noise)
            backend = self._backend(setup, noise, threads)
            result = backend.run(circuit, shots=shots, memory=True, seed_simulator=seed % 2**31).result()
        if not result.success:
            raise JobInputError("RuntimeError", f"the simulation failed: {result.status}")
        positions: dict[int, int] = {}  # outcome -> its index, in the order of first occurrence
        order = [positions.setdefault(int(word, 16), len(positions)) for word in result.data(0)["memory"]]
        return ShotOutcomes(tuple(positions), tuple(np.bincount(order).tolist()), tuple(order))

    @contextmanager
    def _reserved(self, setup: SimulationSetup, shots: int) -> Iterator[int]:
        """Reserve what a simulation in the block takes, and yield its threads; its time is that of the next one."""
        operations = setup.operations(shots)
        threads = self._reserve(self._job_bytes + setup.required_bytes, operations / self._operations_per_s)
        began = self._timer()
        yield threads
        if operations >= MEASURED_OPERATIONS:
            self._operations_per_s = operations / (self._timer() - began) / threads

    def _backend(self, setup: SimulationSetup, noise: Noise | None, threads: int) -> AerSimulator:
        # Aer's own fusion makes dense matrices of single gates, which is slower beside diagonal blocks
        fused = 1 if any(instruction.name == DIAGONAL for instruction in setup.instructions) else MAX_FUSED
        key = (setup.method, noise, setup.is_single, fused, threads)
        if key not in self._backends:
            model: NoiseModel | None = None if noise is None else aer_noise_model(noise)
            self._backends[key] = AerSimulator(
                method=setup.method.value,
                noise_model=model,
                precision="single" if setup.is_single else "double",
                max_parallel_threads=threads,
                fusion_max_qubit=fused,
            )
        return self._backends[key]


def _cache_key(program: bytes, noise: Noise | None, *, exact: bool) -> bytes:
    """Return the key of a distribution in the cache; b"" if the program has no key.

    `exact` is part of it. An exact target needs the distribution of circuits for which a sampling target runs every
    shot; if the sampling target found it in the cache, its counts would depend on earlier jobs.
    """
    return program and program + repr((noise, exact)).encode()


def apply_readout_flips(probabilities: NDArray[np.float64], zero: float, one: float) -> NDArray[np.float64]:
    """Return the probabilities after every 0 is flipped with the probability `zero`, and every 1 with `one`."""
    bits = probabilities.size.bit_length() - 1
    table = probabilities.reshape((2,) * bits)
    for axis in range(bits):
        shape = [2 if other == axis else 1 for other in range(bits)]
        stays, comes = np.reshape([1 - zero, 1 - one], shape), np.reshape([one, zero], shape)
        table = stays * table + comes * np.flip(table, axis)
    return table.reshape(-1)
