"""How programs are simulated: Clifford ones at any width, equal ones once, and never beyond the memory."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from hybridloop.emulator.execute import Runner
from hybridloop.emulator.methods import Method, plan_of
from hybridloop.emulator.program import MEASURE, Operation, Program, RecordedList, Unrunnable
from hybridloop.emulator.recent import Recent
from hybridloop.emulator.simulate import Simulator
from hybridloop.emulator.stabilizers import clifford_distribution
from hybridloop.emulator.targets import load_catalogue
from hybridloop.emulator.task import Task
from tests.emulator.calls import ASYMMETRIC_QIR

HALF_TURN = 1.5707963267948966

clifford_gates = st.one_of(
    st.tuples(st.sampled_from(["h", "s", "sdg", "x", "y", "z", "sx"]), st.integers(0, 4)),
    st.tuples(st.sampled_from(["rx", "ry", "rz"]), st.integers(0, 4), st.integers(-4, 4)),
    st.tuples(st.sampled_from(["cx", "cz", "swap", "cy"]), st.permutations(range(5))),
)


def ghz(width: int) -> Program:
    operations = [Operation("h", (0,)), *(Operation("cx", (q, q + 1)) for q in range(width - 1))]
    operations += [Operation(MEASURE, (q,), result=q) for q in range(width)]
    return Program(tuple(operations), RecordedList(()), width, width)


@settings(max_examples=60, deadline=None)
@given(st.lists(clifford_gates, max_size=30), st.permutations(range(5)), st.integers(1, 5))
def test_a_clifford_circuits_outcomes_are_those_of_its_state_vector(
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


def test_a_distribution_that_nobody_could_read_is_refused_before_it_is_made() -> None:
    spread = [Operation("h", (q,)) for q in range(28)] + [Operation(MEASURE, (q,), result=q) for q in range(28)]
    with pytest.raises(Unrunnable, match=r"2\^28"):
        Simulator().distribution(Program(tuple(spread), RecordedList(()), 28, 28))


@pytest.mark.parametrize(
    ("operations", "noise", "method"),
    [
        (ghz(20).operations, "ideal", Method.STATEVECTOR),
        (ghz(21).operations, "ideal", Method.STABILIZER),
        ((Operation("t", (0,)), *ghz(21).operations), "ideal", Method.STATEVECTOR),
        ((Operation("rx", (0,), (HALF_TURN,)), *ghz(21).operations), "ideal", Method.STABILIZER),
        ((Operation("rx", (0,), (HALF_TURN + 1e-6,)), *ghz(21).operations), "ideal", Method.STATEVECTOR),
        (ghz(8).operations, "noisy", Method.DENSITY_MATRIX),
        (ghz(9).operations, "noisy", Method.STABILIZER),
        ((Operation("t", (0,)), *ghz(9).operations), "noisy", Method.STATEVECTOR),
    ],
)  # fmt: skip
def test_the_method_follows_from_the_gates_the_width_and_the_noise(
    operations: tuple[Operation, ...], noise: str, method: Method
) -> None:
    assert plan_of(operations, exact=False, noisy=noise == "noisy").method is method


def test_memory_is_asked_for_before_it_is_taken() -> None:
    asked: list[int] = []

    def refuse(needed: int) -> None:
        asked.append(needed)
        raise Unrunnable("InvalidInputData", "too large")

    program = Program((Operation("t", (0,)), *ghz(12).operations), RecordedList(()), 12, 12)
    with pytest.raises(Unrunnable, match="too large"):
        Simulator(refuse).run(program, shots=1, seed=1, exact=False)
    assert asked == [(16 + 40) * 2**12]


def task(target: str = "rigetti.sim.qvm", sampling_value: str = "a", **params: Any) -> Task:
    found = load_catalogue().find(target)
    assert found is not None
    return Task(found, "qir.v1", "microsoft.quantum-results.v2", {"shots": 50, **params}, 0, sampling_value)


def test_an_equal_input_is_simulated_once_and_a_repeat_gives_the_same_bytes() -> None:
    simulated: list[int] = []
    runner = Runner(Simulator(simulated.append))
    first = runner.run(task(), ASYMMETRIC_QIR)
    assert runner.run(task(), ASYMMETRIC_QIR) == first
    other_draw = runner.run(task(sampling_value="b"), ASYMMETRIC_QIR)
    assert (len(simulated), other_draw == first) == (1, False)
    fresh = Runner(Simulator())
    assert fresh.run(task(sampling_value="b"), ASYMMETRIC_QIR) == other_draw
    runner.run(task(), ASYMMETRIC_QIR.replace(b"double 2.498091544796509", b"double 0.3"))
    assert len(simulated) == 2


def test_the_same_input_with_and_without_noise_is_not_mistaken_for_one() -> None:
    simulated: list[int] = []
    runner = Runner(Simulator(simulated.append))
    models = ("ideal", "aria-1", "harmony")
    results = [
        runner.run(task("ionq.simulator", shots=5000, noise={"model": model}), ASYMMETRIC_QIR)[0] for model in models
    ]
    assert len(simulated) == 3
    assert len(set(results)) == 3
    assert json.loads(results[0])["Results"][0]["Histogram"][0]["Count"] == 500


def test_what_a_target_answers_does_not_depend_on_what_another_was_asked_before() -> None:
    simulator = Simulator()
    simulator.run(ghz(24), shots=50, seed=1, exact=True, key=b"ghz")
    afterwards = simulator.run(ghz(24), shots=50, seed=1, exact=False, key=b"ghz")
    assert afterwards == Simulator().run(ghz(24), shots=50, seed=1, exact=False)


def test_what_was_used_least_lately_is_forgotten_first() -> None:
    kept: Recent[str] = Recent(10)
    for name in "abc":
        kept.put(name.encode(), name, 3)
    assert kept.get(b"a") == "a"
    kept.put(b"d", "d", 3)
    assert [kept.get(name.encode()) for name in "abcd"] == ["a", None, "c", "d"]
    kept.put(b"e", "too large", 11)
    assert (kept.get(b"e"), kept.get(b"a")) == (None, "a")
    kept.put(b"a", "again", 10)
    assert [kept.get(name.encode()) for name in "acd"] == ["again", None, None]
