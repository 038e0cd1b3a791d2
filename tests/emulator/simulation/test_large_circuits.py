"""Circuits of many qubits: single precision, threads, memory, and the time that is told."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from hybridloop.emulator.model.program import MEASURE, Instruction, OutputList, Program
from hybridloop.emulator.model.targets import Target, load_catalogue
from hybridloop.emulator.simulation.memory import simulated_qubits
from hybridloop.emulator.simulation.noise import noise_models
from hybridloop.emulator.simulation.simulator import MIN_SINGLE_QUBITS, Simulator, choose_method
from tests.emulator.simulation.reservations import Reservations

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


@pytest.mark.parametrize(("layers", "mirrored"), [(1, False), (5, False), (4, True)])
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


def test_the_precision_follows_from_the_circuit_and_an_exact_answer_is_double() -> None:
    for width, expected in ((MIN_SINGLE_QUBITS - 1, False), (MIN_SINGLE_QUBITS, True)):
        instructions = qaoa(width, 1).instructions
        assert choose_method(instructions, exact=False, noisy=False).is_single is expected
        assert choose_method(instructions, exact=False, noisy=True).is_single is expected
        assert not choose_method(instructions, exact=True, noisy=False).is_single


CHILD = """
from tests.emulator.simulation.reservations import Reservations
from tests.emulator.simulation.test_large_circuits import qaoa
from hybridloop.emulator.simulation.simulator import Simulator
found = [Simulator(Reservations(threads)).run(qaoa(22, 2), shots=500, seed=3, exact=False) for threads in (1, 2)]
assert len(found[0].outcomes) > 400
print(found[0] == found[1])
"""


def test_counts_do_not_depend_on_the_number_of_threads() -> None:
    environ = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", CHILD], env=environ, capture_output=True, text=True, timeout=120)
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("memory", [1 << 26, 1 << 30, 1 << 33])
def test_a_circuit_of_the_stated_qubits_fits_the_memory(name: str, memory: int) -> None:
    target = TARGETS[name]
    qubits = simulated_qubits(target, memory)
    assert 1 <= qubits <= target.num_qubits
    noise = None if target.noise is None else noise_models()[target.noise]
    setup = choose_method(qaoa(qubits, 1).instructions, exact=target.exact, noisy=noise is not None)
    assert setup.required_bytes <= memory
    if qubits < target.num_qubits:
        larger = choose_method(qaoa(qubits + 1, 1).instructions, exact=target.exact, noisy=noise is not None)
        assert 2 * larger.required_bytes > memory


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

    simulator = Simulator(reserve)
    for _ in range(2):
        simulator.run(qaoa(20, 1), shots=10, seed=1, exact=False)
    simulator.run(qaoa(20, 4), shots=10, seed=1, exact=False)
    first, second, deeper = told
    assert first > 0.0
    assert second != first
    assert deeper > 2.0 * second


def test_a_job_that_is_alone_has_all_threads_and_one_beside_others_has_one() -> None:
    reserved = Reservations(threads=2)
    Simulator(reserved).run(qaoa(16, 1), shots=10, seed=1, exact=False)
    assert len(reserved) == 1
