"""Simulation methods: stabilizers for wide Clifford circuits, a cache for equal programs, and the memory limit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from hybridloop.emulator.model.program import MEASURE, Instruction, JobInputError, OutputList, Program
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.simulation.execute import JobRunner
from hybridloop.emulator.simulation.protocol import SimulationTask
from hybridloop.emulator.simulation.sampling import clifford_distribution
from hybridloop.emulator.simulation.simulator import (
    QUARTER_TURNS,
    LruCache,
    SimulationMethod,
    Simulator,
    choose_method,
)
from tests.emulator.http_helpers import ASYMMETRIC_QIR
from tests.emulator.simulation.reservations import Reservations

HALF_TURN = 1.5707963267948966

clifford_gates = st.one_of(
    st.tuples(st.sampled_from(["h", "s", "sdg", "x", "y", "z", "sx"]), st.integers(0, 4)),
    st.tuples(st.sampled_from(["rx", "ry", "rz"]), st.integers(0, 4), st.integers(-4, 4)),
    st.tuples(st.sampled_from(["cx", "cz", "swap", "cy"]), st.permutations(range(5))),
)


def ghz(width: int) -> Program:
    instructions = [Instruction("h", (0,)), *(Instruction("cx", (q, q + 1)) for q in range(width - 1))]
    instructions += [Instruction(MEASURE, (q,), result=q) for q in range(width)]
    return Program(tuple(instructions), OutputList(()), width, width)


@settings(max_examples=60)
@given(st.lists(clifford_gates, max_size=30), st.permutations(range(5)), st.integers(1, 5))
def test_outcomes_of_a_clifford_circuit_agree_with_its_state_vector(
    gates: list[Any], order: list[int], width: int
) -> None:
    circuit = QuantumCircuit(5)
    for name, where, *more in gates:
        if isinstance(where, list):
            getattr(circuit, name)(where[0], where[1])
        elif more:
            getattr(circuit, name)(more[0] * HALF_TURN, where)
        else:
            getattr(circuit, name)(where)
    measured = order[:width]
    outcomes, free_bits = clifford_distribution(circuit, measured)
    expected = Statevector(circuit).probabilities(measured)
    np.testing.assert_allclose(expected[outcomes], 0.5**free_bits, atol=1e-9)
    assert expected[outcomes].sum() == pytest.approx(1)


def test_a_ghz_state_of_56_qubits_runs_by_stabilizers_and_one_of_29_is_exact() -> None:
    wide = Simulator().run(ghz(56), shots=400, seed=1, exact=False)
    assert set(wide.outcomes) == {0, 2**56 - 1}
    # five standard deviations: 5·sqrt(400/4) = 50
    assert abs(wide.counts[0] - 200) < 50
    widest = Simulator().run(ghz(108), shots=20, seed=1, exact=False)
    assert set(widest.outcomes) <= {0, 2**108 - 1}
    exact = Simulator().run(ghz(29), shots=101, seed=1, exact=True)
    assert dict(zip(exact.outcomes, exact.counts, strict=True)) == {0: 51, 2**29 - 1: 50}
    assert Simulator().distribution(ghz(29)) == ([0, 2**29 - 1], [0.5, 0.5])


def test_a_distribution_with_too_many_outcomes_is_refused_before_it_is_computed() -> None:
    spread = [Instruction("h", (q,)) for q in range(28)] + [Instruction(MEASURE, (q,), result=q) for q in range(28)]
    with pytest.raises(JobInputError, match=r"2\^28"):
        Simulator().distribution(Program(tuple(spread), OutputList(()), 28, 28))


@pytest.mark.parametrize(
    ("instructions", "noise", "method"),
    [
        (ghz(20).instructions, "ideal", SimulationMethod.STATEVECTOR),
        (ghz(21).instructions, "ideal", SimulationMethod.STABILIZER),
        ((Instruction("t", (0,)), *ghz(21).instructions), "ideal", SimulationMethod.STATEVECTOR),
        ((Instruction("rx", (0,), (HALF_TURN,)), *ghz(21).instructions), "ideal", SimulationMethod.STABILIZER),
        ((Instruction("rx", (0,), (HALF_TURN + 1e-6,)), *ghz(21).instructions), "ideal", SimulationMethod.STATEVECTOR),
        (ghz(8).instructions, "noisy", SimulationMethod.DENSITY_MATRIX),
        (ghz(9).instructions, "noisy", SimulationMethod.STABILIZER),
        ((Instruction("t", (0,)), *ghz(9).instructions), "noisy", SimulationMethod.STATEVECTOR),
    ],
)  # fmt: skip
def test_gates_width_and_noise_decide_the_simulation_method(
    instructions: tuple[Instruction, ...], noise: str, method: SimulationMethod
) -> None:
    assert choose_method(instructions, exact=False, noisy=noise == "noisy").method is method


def test_memory_is_reserved_before_it_is_allocated() -> None:
    reserved: list[int] = []

    def refuse(size: int, seconds: float) -> int:
        reserved.append(size)
        raise JobInputError("InvalidInputData", "too large")

    program = Program((Instruction("t", (0,)), *ghz(12).instructions), OutputList(()), 12, 12)
    with pytest.raises(JobInputError, match="too large"):
        Simulator(refuse).run(program, shots=1, seed=1, exact=False)
    assert reserved == [(16 + 40) * 2**12]


def task(target: str = "rigetti.sim.qvm", sampling_value: str = "a", **params: Any) -> SimulationTask:
    entry = load_catalogue().find(target)
    assert entry is not None
    return SimulationTask(entry, "qir.v1", "microsoft.quantum-results.v2", {"shots": 50, **params}, 0, sampling_value)


def test_an_equal_input_is_simulated_once_and_a_repeat_gives_the_same_bytes() -> None:
    simulated = Reservations()
    runner = JobRunner(Simulator(simulated))
    first = runner.run(task(), ASYMMETRIC_QIR)
    assert runner.run(task(), ASYMMETRIC_QIR) == first
    other_draw = runner.run(task(sampling_value="b"), ASYMMETRIC_QIR)
    assert (len(simulated), other_draw == first) == (1, False)
    fresh = JobRunner(Simulator())
    assert fresh.run(task(sampling_value="b"), ASYMMETRIC_QIR) == other_draw
    runner.run(task(), ASYMMETRIC_QIR.replace(b"double 2.498091544796509", b"double 0.3"))
    assert len(simulated) == 2


def test_each_noise_model_has_its_own_distribution_of_the_same_input() -> None:
    simulated = Reservations()
    runner = JobRunner(Simulator(simulated))
    models = ("ideal", "aria-1", "harmony")
    results = [
        runner.run(task("ionq.simulator", shots=5000, noise={"model": model}), ASYMMETRIC_QIR)[0] for model in models
    ]
    assert len(simulated) == 3
    assert len(set(results)) == 3
    assert json.loads(results[0])["Results"][0]["Histogram"][0]["Count"] == 500


def test_counts_do_not_depend_on_earlier_runs_of_an_exact_target() -> None:
    simulator = Simulator()
    simulator.run(ghz(24), shots=50, seed=1, exact=True, key=b"ghz")
    afterwards = simulator.run(ghz(24), shots=50, seed=1, exact=False, key=b"ghz")
    assert afterwards == Simulator().run(ghz(24), shots=50, seed=1, exact=False)


def test_the_least_recently_used_value_is_evicted_first() -> None:
    cache: LruCache[str] = LruCache(10)
    for name in "abc":
        cache.put(name.encode(), name, 3)
    assert cache.get(b"a") == "a"
    cache.put(b"d", "d", 3)
    assert [cache.get(name.encode()) for name in "abcd"] == ["a", None, "c", "d"]
    cache.put(b"e", "too large", 11)
    assert (cache.get(b"e"), cache.get(b"a")) == (None, "a")
    cache.put(b"a", "again", 10)
    assert [cache.get(name.encode()) for name in "acd"] == ["again", None, None]


@pytest.mark.parametrize("name", QUARTER_TURNS)
@pytest.mark.parametrize("quarters", [-1, 0, 1, 2, 3, 4, 5])
def test_a_wide_clifford_circuit_may_have_rotations_by_quarter_turns(name: str, quarters: int) -> None:
    turn = Instruction(name, (1,), (quarters * HALF_TURN,))
    basis = [Instruction("h", (1,)), Instruction("s", (1,))]
    back = replace(turn, angles=(-turn.angles[0],))
    program = ghz(24)
    head, tail = program.instructions[:24], program.instructions[24:]  # the rotation, then it is taken back
    turned = replace(program, instructions=(*basis, turn, back, *reversed_basis(basis), *head, *tail))
    outcomes = Simulator().run(turned, shots=200, seed=2, exact=False)
    assert set(outcomes.outcomes) == {0, 2**24 - 1}
    small = QuantumCircuit(1)
    small.h(0)
    small.s(0)
    getattr(small, name)(quarters * HALF_TURN, 0)
    chance = float(Statevector(small).probabilities()[1])
    one = replace(program, instructions=(*basis, turn, *tail, *(Instruction("h", (q,)) for q in range(2, 24))))
    counted = Simulator().run(one, shots=2000, seed=2, exact=False)
    ones = sum(count for outcome, count in zip(counted.outcomes, counted.counts, strict=True) if outcome >> 1 & 1)
    assert ones / 2000 == pytest.approx(chance, abs=0.06)


def reversed_basis(basis: list[Instruction]) -> list[Instruction]:
    inverse = {"h": "h", "s": "sdg"}
    return [replace(gate, name=inverse[gate.name]) for gate in reversed(basis)]
