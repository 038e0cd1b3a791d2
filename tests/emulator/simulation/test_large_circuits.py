"""Circuits of many qubits: single precision, threads, memory, and time."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from hybridloop.emulator.formats.gates import append_gate
from hybridloop.emulator.model.program import MEASURE, Instruction, OutputList, Program
from hybridloop.emulator.model.targets import Target, load_catalogue
from hybridloop.emulator.simulation.diagonal_blocks import with_diagonal_blocks
from hybridloop.emulator.simulation.memory import simulated_qubits
from hybridloop.emulator.simulation.simulator import MIN_SINGLE_QUBITS, Simulator, choose_method
from tests.conftest import Emulator
from tests.emulator.http_helpers import ENDLESS_QIR, Caller
from tests.waiting import PATIENCE_S, eventually

TARGETS = {
    name: target
    for name, (_, target) in load_catalogue().targets.items()
    if not (target.echoes or target.checks_only or name.startswith("pasqal"))
}


def qaoa(width: int, layers: int, *, mirrored: bool = False) -> Program:
    """Return the gates of QAOA on a ring with chords; `mirrored` takes them back, so that all results are 0."""
    rng = np.random.default_rng(width)
    gates = [Instruction("h", (q,)) for q in range(width)]
    for _ in range(layers):
        for q in range(width):
            pair = q, (q + (1 if q % 2 else 3)) % width
            angle = float(rng.uniform(0.5, 1.5))
            gates += [Instruction("cx", pair), Instruction("rz", (pair[1],), (angle,)), Instruction("cx", pair)]
        gates += [Instruction("rx", (q,), (float(rng.uniform(0.3, 1.0)),)) for q in range(width)]
    if mirrored:
        gates += [replace(gate, angles=tuple(-angle for angle in gate.angles)) for gate in reversed(gates)]
    gates += [Instruction(MEASURE, (q,), result=q) for q in range(width)]
    return Program(tuple(gates), OutputList(()), width, width)


@pytest.mark.parametrize(
    ("layers", "mirrored"),
    [
        (1, False),
        (1, True),
        pytest.param(5, False, marks=pytest.mark.slow),
        pytest.param(4, True, marks=pytest.mark.slow),
    ],
)
def test_probabilities_in_single_precision_are_right_to_a_millionth(*, layers: int, mirrored: bool) -> None:
    """Up to 800 gates; rounding grows with their number, and is below 4e-9 of a probability for each."""
    program = qaoa(MIN_SINGLE_QUBITS, layers, mirrored=mirrored)
    assert len(program.instructions) <= 830
    sampled = choose_method(program.instructions, exact=False, noisy=False)
    assert sampled.is_single
    single, double = (
        Simulator()._distribution(replace(sampled, is_single=is_single), None, b"").probabilities
        for is_single in (True, False)
    )
    assert np.abs(single - double).max() < 1e-6
    assert np.abs(single - double).sum() < 4e-9 * len(program.instructions)


gates = st.one_of(
    st.tuples(st.sampled_from(["z", "s", "sdg", "t", "tdg", "h", "x"]), st.permutations(range(5)), st.just(1)),
    st.tuples(st.sampled_from(["rz", "rx", "p"]), st.permutations(range(5)), st.just(1)),
    st.tuples(st.sampled_from(["cx", "cx", "cx", "cz", "rzz", "swap"]), st.permutations(range(5)), st.just(2)),
)


@given(picked=st.lists(gates, max_size=40), angle=st.floats(-3.0, 3.0), is_taken_back=st.booleans())
def test_blocks_of_diagonal_gates_are_the_same_circuit(*, picked: list[Any], angle: float, is_taken_back: bool) -> None:
    program = []
    for number, (name, order, width) in enumerate(picked):
        angles = (angle + number,) if name in ("rz", "rx", "p", "rzz") else ()
        program.append(Instruction(name, tuple(order[:width]), angles))
    if is_taken_back:  # parities that end where they began
        program += [gate for gate in reversed(program) if gate.name == "cx"]
    merged = with_diagonal_blocks(program)
    assert len(merged) <= len(program)
    states = []
    for each in (program, merged):
        circuit = QuantumCircuit(5)
        circuit.h(range(5))
        for gate in each:
            append_gate(circuit, gate, gate.qubits)
        states.append(Statevector(circuit))
    assert abs(np.vdot(states[0].data, states[1].data)) == pytest.approx(1.0, abs=1e-9)


def test_a_layer_of_qaoa_is_a_few_blocks_and_no_block_reaches_over_a_condition() -> None:
    layer = [gate for gate in qaoa(24, 1).instructions if gate.name in ("cx", "rz")]
    assert len(layer) == 72
    assert len(with_diagonal_blocks(layer)) <= 8
    conditional = [replace(layer[1], conditions=((0, 1),)), *layer[3:6]]
    assert with_diagonal_blocks(conditional)[0] == conditional[0]


def test_blocks_are_looked_for_in_proportion_to_the_gates() -> None:
    class Counted(tuple[Instruction, ...]):
        def __getitem__(self, place: Any) -> Any:
            read.append(place)
            return super().__getitem__(place)

    read: list[Any] = []
    rng = np.random.default_rng(1)
    entangling = Counted(
        gate
        for _ in range(2000)
        for pair in [tuple(rng.choice(24, 2, replace=False).tolist())]
        for gate in (Instruction("cx", pair), Instruction("rz", (pair[1],), (0.1,)))
    )
    assert with_diagonal_blocks(entangling) == tuple(entangling)  # nothing is taken back
    assert len(read) < 50 * len(entangling)


def test_the_precision_follows_from_the_circuit_and_an_exact_answer_is_double() -> None:
    for width, expected in ((MIN_SINGLE_QUBITS - 1, False), (MIN_SINGLE_QUBITS, True)):
        instructions = qaoa(width, 1).instructions
        assert choose_method(instructions, exact=False, noisy=False).is_single is expected
        assert choose_method(instructions, exact=False, noisy=True).is_single is expected
        assert not choose_method(instructions, exact=True, noisy=False).is_single


CHILD = """
from hybridloop.emulator.simulation.simulator import Simulator
from tests.emulator.simulation.reservations import Reservations
from tests.emulator.simulation.test_large_circuits import qaoa
found = [Simulator(Reservations(threads)).run(qaoa(21, 2), shots=500, seed=3, exact=False) for threads in (1, 2)]
assert len(found[0].outcomes) > 400
print(found[0] == found[1])
"""


def test_counts_do_not_depend_on_the_number_of_threads() -> None:
    environ = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=environ, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("memory", [1 << 22, 1 << 25, 1 << 26, 1 << 30, 1 << 33])
def test_a_circuit_of_the_stated_qubits_fits_the_memory(name: str, memory: int) -> None:
    target = TARGETS[name]
    qubits = simulated_qubits(target, memory)
    assert 10 <= qubits <= target.num_qubits
    noisy = target.noise is not None

    def required(width: int) -> int:
        return choose_method(qaoa(width, 1).instructions, exact=target.exact, noisy=noisy).required_bytes

    assert all(required(width) <= memory for width in range(4, qubits + 1))
    if qubits < target.num_qubits and not noisy:
        assert 2 * required(qubits + 1) > memory


def test_29_variables_fit_8_gib_where_shots_are_sampled() -> None:
    def most(name: str) -> int:
        target: Target = TARGETS[name]
        return simulated_qubits(target, 8 << 30)

    assert most("rigetti.sim.qvm") == 29
    assert most("ionq.simulator") == 27  # with the probabilities of all outcomes


def test_a_simulation_tells_its_time_and_learns_from_the_last_one() -> None:
    told: list[float] = []

    def reserve(size: int, seconds: float) -> int:
        told.append(seconds)
        return 1

    seconds = count(0.0, 7.0)
    simulator = Simulator(reserve, seconds.__next__)  # each simulation takes seven seconds
    for layers in (1, 1, 4):
        simulator.run(qaoa(20, layers), shots=10, seed=1, exact=False)
    first, second, deeper = told
    assert first > 0.0
    assert second == pytest.approx(7.0)
    assert 2.0 * second < deeper <= 4.0 * second


def test_a_long_job_states_its_time_while_it_runs(emulator: Emulator) -> None:
    caller = Caller(emulator)
    job = caller.submit(ENDLESS_QIR)
    seen: list[dict[str, Any]] = []

    def states_its_time() -> bool:
        seen.append(caller.call("GET", f"/jobs/{job}").json())
        return "expectedSeconds" in seen[-1]

    eventually(states_its_time, lambda: seen[-1])
    assert seen[-1]["expectedSeconds"] > 10.0
    assert caller.call("POST", f"/jobs/{job}:cancel").status == 204
    assert "expectedSeconds" not in caller.ended(job)
