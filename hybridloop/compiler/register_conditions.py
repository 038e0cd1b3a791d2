"""Conditions on classical registers as conditions on their bits, for Q#'s compiler.

The compiler reads bit 0 of a register as its highest bit, Qiskit and OpenQASM 2 as its lowest.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Clbit, ControlFlowOp, SwitchCaseOp
from qiskit.circuit.classical import expr

from hybridloop.errors import ProgramError

COMPUTES = "a condition computes with", "compare it with a number, or test its bits one by one"
SWITCHES = "a switch reads", "write an if_test((register, value)) for each of its cases"


def with_bit_conditions(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit in which no condition reads a register of several bits as a number.

    Comparisons with a number become those of each bit. Raises ProgramError for any other use of such a register.
    """
    if not any(isinstance(item.operation, ControlFlowOp) for item in circuit.data):
        return circuit
    converted = circuit.copy_empty_like()
    for item in circuit.data:
        operation = item.operation
        if isinstance(operation, ControlFlowOp):
            operation = operation.replace_blocks([with_bit_conditions(block) for block in operation.blocks])
            if getattr(operation, "condition", None) is not None:
                operation.condition = _of_bits(operation.condition, circuit.name)
            if isinstance(operation, SwitchCaseOp):
                _check_no_number(operation.target, circuit.name, SWITCHES)
        converted.append(operation, item.qubits, item.clbits, copy=False)
    return converted


def _of_bits(condition: Any, name: str) -> Any:
    """Return a condition of Qiskit, a pair or an expression, as one on bits."""
    if isinstance(condition, tuple):
        register, value = condition
        return condition if isinstance(register, Clbit) else _equals(register, int(value))
    if isinstance(condition, expr.Unary) and condition.op is expr.Unary.Op.LOGIC_NOT:
        return expr.logic_not(_of_bits(condition.operand, name))
    if isinstance(condition, expr.Binary):
        if condition.op in (expr.Binary.Op.LOGIC_AND, expr.Binary.Op.LOGIC_OR):
            join = expr.logic_and if condition.op is expr.Binary.Op.LOGIC_AND else expr.logic_or
            return join(_of_bits(condition.left, name), _of_bits(condition.right, name))
        sides = condition.left, condition.right
        for register, value in (sides, sides[::-1]):
            if isinstance(value, expr.Value) and isinstance(getattr(register, "var", None), ClassicalRegister):
                if condition.op is expr.Binary.Op.EQUAL:
                    return _equals(register.var, int(value.value))
                if condition.op is expr.Binary.Op.NOT_EQUAL:
                    return expr.logic_not(_equals(register.var, int(value.value)))
    _check_no_number(condition, name)
    return condition


def _equals(register: ClassicalRegister, value: int) -> expr.Expr:
    """Return the condition that a register has a value, whose lowest bit is that of bit 0."""
    if value >> len(register):  # too large: never equal
        return expr.logic_and(register[0], expr.logic_not(register[0]))
    bits = [expr.lift(bit) if value >> place & 1 else expr.logic_not(bit) for place, bit in enumerate(register)]
    return reduce(expr.logic_and, bits)


def _check_no_number(node: Any, name: str, said: tuple[str, str] = COMPUTES) -> None:
    """Raise ProgramError, with what is `said`, if an expression, bit or register reads several bits as a number."""
    read = [node] if isinstance(node, ClassicalRegister) else []
    if isinstance(node, expr.Expr):
        read = [variable.var for variable in expr.iter_vars(node)]
    for register in read:
        if isinstance(register, ClassicalRegister) and len(register) > 1:
            raise ProgramError(name, f"{said[0]} the register {register.name!r}: {said[1]}")
