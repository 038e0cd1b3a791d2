"""Lifting: bound circuits of a program, compiled at a few points, as one circuit with parameters."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Operator

from hybridloop.compiler.languages.lifting import NotLiftable, lift
from hybridloop.errors import InputError

GATES = get_standard_gate_name_mapping()
TURN = 2.0 * math.pi
ROTATIONS = ("rx", "ry", "rz", "rxx", "rzz", "p", "cp")  # one turn is a global phase, or none
CONTROLLED = ("crx", "cry", "crz")
FACTORS = st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5, -0.125, 3.0, math.pi]) | st.floats(-20.0, 20.0)


@st.composite
def programs(draw: st.DrawFn) -> tuple[Callable[[NDArray[np.float64]], list[QuantumCircuit]], int]:
    """Draw gates whose angles are affine in n angles: scaled, shared, negated, offset, and written modulo a turn."""
    n, names = draw(st.integers(1, 3)), st.sampled_from([*ROTATIONS, *CONTROLLED])
    gates = draw(
        st.lists(st.tuples(names, st.lists(FACTORS, min_size=n, max_size=n), st.floats(-9.0, 9.0)), max_size=5)
    )
    gates += [("rx", row.tolist(), draw(st.floats(-4.0, 4.0))) for row in np.eye(n)]  # every angle has an effect
    origin = draw(st.sampled_from([0.0, -math.pi]))

    def compile_points(points: NDArray[np.float64]) -> list[QuantumCircuit]:
        circuits = []
        for point in points:
            circuit = QuantumCircuit(2)
            for place, (name, factors, offset) in enumerate(gates):
                angle = float(np.dot(factors, point) + offset)
                period = 2 * TURN if name in CONTROLLED else TURN
                gate = type(GATES[name])((angle - origin) % period + origin)
                circuit.append(gate, [0, 1][: gate.num_qubits] if place % 2 else [1, 0][: gate.num_qubits])
                circuit.cx(0, 1)
            circuits.append(circuit)
        return circuits

    return compile_points, n


@settings(max_examples=30)
@given(programs(), st.integers(0, 1000))
def test_a_lifted_circuit_agrees_with_compilations_at_points_that_it_has_not_seen(
    program: tuple[Callable[[NDArray[np.float64]], list[QuantumCircuit]], int], seed: int
) -> None:
    compile_points, n = program
    lifted = lift(compile_points, n, "drawn")
    assert [parameter.name for parameter in lifted.parameters] == [f"angle[{place}]" for place in range(n)]
    points = np.random.default_rng(seed).uniform(-7.0, 7.0, (2, n))
    for point, compiled in zip(points, compile_points(points), strict=True):
        bound = lifted.assign_parameters(point)
        ours, theirs = Operator(bound).data, Operator(compiled).data
        phase = np.vdot(theirs, ours) / 4.0
        assert np.abs(ours - phase * theirs).max() <= 1e-9


def test_simple_factors_and_constants_are_exact_and_the_same_in_every_lift() -> None:
    def compile_points(points: NDArray[np.float64]) -> list[QuantumCircuit]:
        return [drawn((2.0 * a - b / 3.0 + math.pi / 4 + 1e-14) % TURN, (0.137 - b) % TURN) for a, b in points]

    def drawn(*angles: float) -> QuantumCircuit:
        circuit = QuantumCircuit(1)
        for angle in angles:
            circuit.rx(angle, 0)
        return circuit

    first, second = (str(item.params[0]) for item in lift(compile_points, 2, "exact").data)
    assert first == str(math.pi / 4) + " + 2*angle[0] - 0.3333333333333333*angle[1]"
    assert second == "0.137 - angle[1]"
    assert qasm3.dumps(lift(compile_points, 2, "exact")) == qasm3.dumps(lift(compile_points, 2, "exact"))


def test_factors_near_simple_ones_are_within_the_tolerance() -> None:
    def compile_points(points: NDArray[np.float64]) -> list[QuantumCircuit]:
        circuits = [QuantumCircuit(1) for _ in points]
        for circuit, point in zip(circuits, points, strict=True):
            for angle in (*point, (1.0 - 0.9e-10) * point.sum()):
                circuit.rx(angle % TURN, 0)
        return circuits

    lifted = lift(compile_points, 12, "near")
    assert len(lifted.data) == 13


@pytest.mark.parametrize(
    ("angle", "reason"),
    [
        (abs, "gate 1, rx on 0, is no affine function"),
        (lambda a: a * a, "no affine function"),
        (lambda a: a if a < 4.0 else 1.0, "no affine function"),
        (math.sin, "no affine function"),
    ],
)
def test_other_functions_of_an_angle_are_refused_with_the_gate(angle: Callable[[float], float], reason: str) -> None:
    def compile_points(points: NDArray[np.float64]) -> list[QuantumCircuit]:
        circuits = []
        for (value,) in points:
            circuits.append(QuantumCircuit(1))
            circuits[-1].rx(angle(value), 0)
        return circuits

    with pytest.raises(NotLiftable, match=reason):
        lift(compile_points, 1, "curved")


@pytest.mark.parametrize("bound", [-4.7, -1.0, 0.0, 3.0, 4.7])
def test_gates_that_depend_on_the_size_of_any_angle_are_found(bound: float) -> None:
    def compile_points(points: NDArray[np.float64]) -> list[QuantumCircuit]:
        circuits = []
        for first, second in points:
            circuit = QuantumCircuit(1)
            circuit.rx(first, 0)
            circuit.ry(second, 0)
            if second > bound:
                circuit.z(0)
            circuits.append(circuit)
        return circuits

    with pytest.raises(NotLiftable, match="its gates change with the angles: there are 2 or 3"):
        lift(compile_points, 2, "branch")


def test_an_angle_that_only_decides_is_not_taken_for_one_without_effect() -> None:
    def compile_points(points: NDArray[np.float64]) -> list[QuantumCircuit]:
        circuits = []
        for first, second in points:
            circuits.append(QuantumCircuit(1))
            circuits[-1].rx(first, 0)
            if second > 0.0:
                circuits[-1].z(0)
        return circuits

    with pytest.raises(NotLiftable, match="its gates change with the angles: there are 1 or 2"):
        lift(compile_points, 2, "decides")


def test_an_angle_that_turns_no_gate_is_refused() -> None:
    def compile_points(points: NDArray[np.float64]) -> list[QuantumCircuit]:
        circuit = QuantumCircuit(1)
        circuit.h(0)
        return [circuit] * len(points)

    with pytest.raises(InputError, match=r"angle\[0\] of 1 angle"):
        lift(compile_points, 1, "idle")
