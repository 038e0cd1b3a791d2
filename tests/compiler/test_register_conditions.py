"""Conditions on registers: the same circuit with conditions on bits, or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr
from qiskit_aer import AerSimulator

from hybridloop.compiler.register_conditions import with_bit_conditions
from hybridloop.errors import ProgramError

Condition = Callable[[ClassicalRegister], Any]


def branching(condition: Condition, value: int) -> QuantumCircuit:
    """Return a circuit whose last bit is the condition's truth for a register of three bits with the value."""
    register = ClassicalRegister(3, "c")
    circuit = QuantumCircuit(QuantumRegister(4, "q"), register, ClassicalRegister(1, "d"))
    for qubit in range(3):
        if value >> qubit & 1:
            circuit.x(qubit)
    circuit.measure(range(3), range(3))
    with circuit.if_test((register[0], value & 1)), circuit.if_test(condition(register)):
        circuit.x(3)
    circuit.measure(3, 3)
    return circuit


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (lambda register: (register, 4), {4}),
        (lambda register: (register, 9), set()),
        (lambda register: (register[2], 1), {4, 5, 6, 7}),
        (lambda register: expr.equal(register, 1), {1}),
        (lambda register: expr.logic_not(expr.equal(6, register)), {0, 1, 2, 3, 4, 5, 7}),
        (lambda register: expr.logic_or(expr.not_equal(register, 3), register[1]), set(range(8))),
    ],
)
def test_each_condition_holds_for_the_same_values(condition: Condition, holds: set[int]) -> None:
    for value in range(8):
        converted = with_bit_conditions(branching(condition, value))
        (outcome,) = AerSimulator().run(converted, shots=1).result().get_counts()
        assert outcome == f"{int(value in holds)} {value:03b}"


def test_a_condition_that_computes_with_a_register_is_refused() -> None:
    with pytest.raises(ProgramError, match=r"computes with the register 'c': compare it with a number"):
        with_bit_conditions(branching(lambda register: expr.less(register, 2), 0))
    circuit = QuantumCircuit(1, 2)
    with circuit.switch(circuit.cregs[0]) as case, case(1):
        circuit.x(0)
    with pytest.raises(ProgramError, match=r"a switch reads the register 'c': write an if_test\(\(register, value\)\)"):
        with_bit_conditions(circuit)
