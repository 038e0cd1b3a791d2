"""Arithmetic of LLVM's instructions on Python's numbers: integers of a width, doubles and comparisons.

An integer is signed, of one bit it is 0 or 1. What LLVM leaves undefined, as division by zero, raises ArithmeticError.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import pyqir

Compute = Callable[..., int | float]


def wrap(value: int, width: int) -> int:
    """Return the value as a signed integer of `width` bits; of one bit, as 0 or 1.

    >>> wrap(200, 8), wrap(3, 1)
    (-56, 1)
    """
    value &= (1 << width) - 1
    return value - (1 << width) if width > 1 and value >> (width - 1) else value


def _unsigned(value: int, width: int) -> int:
    return value & ((1 << width) - 1)


def _quotient(a: int, b: int) -> int:
    """Divide and round towards zero, as LLVM does; Python rounds down."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _shift_left(a: int, b: int, width: int) -> int:
    return a << b if b < width else 0


def integer_operation(opcode: pyqir.Opcode, width: int) -> Compute | None:
    """Return the function of a binary instruction on integers of `width` bits; None if it is no such instruction."""
    code, u = pyqir.Opcode, _unsigned
    operations: dict[pyqir.Opcode, Callable[[int, int], int]] = {
        code.ADD: operator.add,
        code.SUB: operator.sub,
        code.MUL: operator.mul,
        code.AND: operator.and_,
        code.OR: operator.or_,
        code.XOR: operator.xor,
        code.SDIV: _quotient,
        code.SREM: lambda a, b: a - b * _quotient(a, b),
        code.UDIV: lambda a, b: u(a, width) // u(b, width),
        code.UREM: lambda a, b: u(a, width) % u(b, width),
        code.SHL: lambda a, b: _shift_left(a, u(b, width), width),
        code.LSHR: lambda a, b: u(a, width) >> u(b, width),
        code.ASHR: lambda a, b: a >> u(b, width),
    }
    compute = operations.get(opcode)
    return None if compute is None else lambda a, b: wrap(compute(a, b), width)


def _divide(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def _remainder(a: float, b: float) -> float:
    return math.nan if b == 0 or math.isinf(a) else math.fmod(a, b)


FLOAT_OPERATIONS: dict[pyqir.Opcode, Compute] = {
    pyqir.Opcode.FADD: operator.add,
    pyqir.Opcode.FSUB: operator.sub,
    pyqir.Opcode.FMUL: operator.mul,
    pyqir.Opcode.FDIV: _divide,
    pyqir.Opcode.FREM: _remainder,
    pyqir.Opcode.FNEG: operator.neg,
}


def conversion(opcode: pyqir.Opcode, source_width: int, width: int) -> Compute | None:
    """Return the function of a conversion between these widths (0: a double); None if it is no conversion."""
    code = pyqir.Opcode
    conversions: dict[pyqir.Opcode, Compute] = {
        code.ZEXT: lambda a: wrap(_unsigned(a, source_width), width),
        code.SEXT: lambda a: wrap(-a if source_width == 1 else a, width),
        code.TRUNC: lambda a: wrap(a, width),
        code.FP_TO_SI: lambda a: wrap(int(a), width),
        code.FP_TO_UI: lambda a: wrap(int(a), width),
        code.SI_TO_FP: lambda a: float(-a if source_width == 1 else a),
        code.UI_TO_FP: lambda a: float(_unsigned(a, source_width)),
        code.INT_TO_PTR: lambda a: a,
        code.FREEZE: lambda a: a,
    }
    return conversions.get(opcode)


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "EQ": operator.eq, "NE": operator.ne, "GT": operator.gt, "GE": operator.ge, "LT": operator.lt, "LE": operator.le
}  # fmt: skip


def integer_comparison(predicate: pyqir.IntPredicate, width: int) -> Compute:
    """Return the function of `icmp` on integers of `width` bits."""
    name = str(predicate).rpartition(".")[2]
    compare = _COMPARISONS[name[-2:]]
    if name[0] == "U":
        return lambda a, b: int(compare(_unsigned(a, width), _unsigned(b, width)))
    if width == 1 and name[0] == "S":
        return lambda a, b: int(compare(-a, -b))
    return lambda a, b: int(compare(a, b))


def float_comparison(predicate: pyqir.FloatPredicate) -> Compute:
    """Return the function of `fcmp`: ordered comparisons are false, unordered ones true, if a number is NaN."""
    name = str(predicate).rpartition(".")[2]
    if name in ("TRUE", "FALSE"):
        return lambda a, b: int(name == "TRUE")
    if name in ("ORD", "UNO"):
        return lambda a, b: int((math.isnan(a) or math.isnan(b)) == (name == "UNO"))
    compare, unordered = _COMPARISONS[name[1:]], name[0] == "U"
    return lambda a, b: int(unordered if math.isnan(a) or math.isnan(b) else compare(a, b))
