"""Speed of the classical steps of a round: angles to payload, counts to energy, operator to measurement groups."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from benchmarks.accuracy_energies import on_qubits
from benchmarks.bounds import Bound, Side
from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.ansatz import hardware_efficient
from hybridloop.algorithms.estimation.estimates import group_statistics
from hybridloop.algorithms.estimation.observable import MeasurementGroup, observable
from hybridloop.algorithms.rounds import Counts
from hybridloop.compiler.programs import CompiledPub, PubCompiler
from hybridloop.targets import DEFAULT_TARGET, find_target

QUBITS, SHOTS = 12, 10_000


def speeds(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Take the minimum of several repetitions, since other load only adds time; grouping in turn with Qiskit's."""
    turns = 3 if quick else 9
    rng = np.random.default_rng(0)
    return [
        Bound(f"new angles to payload, {QUBITS} qubits", _payload_ms(rng, 20 * turns), Side.AT_MOST, 1, "ms"),
        Bound(
            f"expectation, {QUBITS} qubits, {SHOTS} shots", _group_ms(rng, 20 * turns), Side.AT_MOST, 1, "ms a group"
        ),
        Bound("grouping H2O, 14 qubits, by the library's time", _grouping_ratio(turns), Side.AT_MOST, 1.5),
    ]


def _payload_ms(rng: np.random.Generator, turns: int) -> float:
    """Return the time from a point of a hardware-efficient circuit, already compiled, to its program."""
    group = MeasurementGroup("X" * QUBITS, (), np.zeros(0))
    circuit = group.measurement_circuit(hardware_efficient(QUBITS, rng).circuit)
    programs = PubCompiler(find_target(DEFAULT_TARGET).profile)
    points = rng.uniform(-np.pi, np.pi, (turns + 1, 1, circuit.num_parameters))
    programs.compile_pub(SamplerPub.coerce((circuit, points[0], SHOTS)))  # compiles
    return min(_ms(partial(_prepared, programs, circuit, point)) for point in points[1:])


def _prepared(programs: PubCompiler, circuit: QuantumCircuit, point: NDArray[np.float64]) -> CompiledPub:
    return programs.compile_pub(SamplerPub.coerce((circuit, point, SHOTS)))


def _group_ms(rng: np.random.Generator, turns: int) -> float:
    """Return the time for the largest group of H2O with 12 spin orbitals, over nearly all outcomes."""
    group = max(observable(on_qubits("H2O_eq_fc", FermionMapping.JORDAN_WIGNER).hamiltonian).groups, key=_size)
    drawn = rng.multinomial(SHOTS, rng.dirichlet(np.ones(2**QUBITS)))
    seen = np.flatnonzero(drawn)
    outcomes = np.stack([seen >> 8, seen & 0xFF], axis=1).astype(np.uint8)
    counts = Counts(QUBITS, outcomes, drawn[seen])
    return min(_ms(lambda: group_statistics(group, counts)) for _ in range(turns))


def _size(group: MeasurementGroup) -> int:
    return len(group.masks)


def _grouping_ratio(turns: int) -> float:
    """Return our time, for two heuristics and reading the terms, divided by that of Qiskit's colouring alone."""
    operator = on_qubits("H2O_0.9572", FermionMapping.JORDAN_WIGNER).hamiltonian
    pairs = [
        (_ms(lambda: observable(operator)), _ms(lambda: operator.group_commuting(qubit_wise=True)))
        for _ in range(turns)
    ]
    return min(ours for ours, _ in pairs) / min(theirs for _, theirs in pairs)


def _ms(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - started)
