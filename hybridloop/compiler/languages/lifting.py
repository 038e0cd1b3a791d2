"""Lifting: a program that compiles to a bound circuit at any angles, as one circuit with parameters.

The program is compiled at n + 1 points close to each other. Its gates must be the same at all of them, and each angle
of the gates is fitted as an affine function of the n angles. Compilers write angles modulo a turn, so the steps between
the points are small: factors up to 60 are distinguished. The fit is then compared with compilations at other points, a
Latin hypercube: every angle has a value in each eighth of [-2π, 2π), so that decisions on its size or sign are seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression, ParameterVector

from hybridloop.compiler.circuit_structure import CircuitStructure, UnsupportedInstruction, extract_structure
from hybridloop.errors import InputError

Points = NDArray[np.float64]  # (points, angles), in radians
CompilePoints = Callable[[Points], Sequence[QuantumCircuit]]

TOLERANCE_RAD = 1e-9
_STEP_RAD = 0.0437
_HELD_OUT = 8
_SEED = 20  # the same points in every process, so that a program is lifted to the same text
_MAX_DENOMINATOR = 16
_CLEAN = 1e-11  # a fitted number this near to a simple one is that number; a fit is 2e-13 off
_TURN = 2.0 * math.pi
# controlled rotations change their sign after one turn, which is no global phase: their angles have two
_TWO_TURNS = frozenset({"crx", "cry", "crz", "cu", "cu3", "xx_minus_yy", "xx_plus_yy"})


class NotLiftable(Exception):
    """The program is no circuit with affine angles; the text is the reason, as a clause."""


def lift(compile_points: CompilePoints, angles: int | Sequence[Parameter], name: str) -> QuantumCircuit:
    """Return the circuit with parameters whose bound circuits `compile_points` returns, without its global phase.

    `angles` is their number, or the parameters in their order. `compile_points` is called twice, with n + 1 points and
    with 8. Raises NotLiftable, and InputError for an angle without effect.
    """
    parameters = list(ParameterVector("angle", angles)) if isinstance(angles, int) else list(angles)
    generator, n = np.random.default_rng(_SEED), len(parameters)
    first = generator.uniform(-math.pi, math.pi, n)
    near = np.vstack([first, first + _STEP_RAD * np.eye(n)])
    structure, values = _read(compile_points(near))
    periods = _periods(structure)
    matrix, constant = _fit(near, values, periods)

    eighths = generator.permuted(np.tile(np.arange(_HELD_OUT)[:, None], (1, n)), axis=0)
    held_out = (2.0 * (eighths + generator.uniform(size=(_HELD_OUT, n))) / _HELD_OUT - 1.0) * _TURN
    other, expected = _read(compile_points(held_out))
    if other != structure:
        raise NotLiftable(_difference(structure, other))
    misses = np.abs(_wrap(held_out @ matrix + constant - expected, periods)).max(axis=0, initial=0.0)
    if misses.max(initial=0.0) > TOLERANCE_RAD:
        gate = _gate_of_angle(structure, int(np.argmax(misses)))
        raise NotLiftable(f"an angle of {gate} is no affine function of the program's angles")
    _check_effects(matrix, parameters)
    expressions = [_expression(parameters, column, number) for column, number in zip(matrix.T, constant, strict=True)]
    circuit = structure.circuit(expressions)
    circuit.name = name
    return circuit


def _read(circuits: Sequence[QuantumCircuit]) -> tuple[CircuitStructure, NDArray[np.float64]]:
    """Return the circuits' common structure and their angles, shape (circuits, angles). Raises NotLiftable."""
    try:
        read = [extract_structure(circuit) for circuit in circuits]
    except UnsupportedInstruction as error:
        raise NotLiftable(f"it has {error}, which is no gate") from error
    structure = read[0][0]
    for other, _ in read:
        if other != structure:
            raise NotLiftable(_difference(structure, other))
    return structure, np.array([angles.constant for _, angles in read])


def _difference(one: CircuitStructure, other: CircuitStructure) -> str:
    for number, (first, second) in enumerate(zip(one.instructions, other.instructions, strict=False), start=1):
        if first != second:
            return f"its gates change with the angles: gate {number} is {_text(first)} or {_text(second)}"
    numbers = sorted({len(one.instructions), len(other.instructions)})
    return f"its gates change with the angles: there are {' or '.join(map(str, numbers))}"


def _text(instruction: tuple[str, tuple[int, ...], int]) -> str:
    return f"{instruction[0]} on {', '.join(map(str, instruction[1]))}"


def _gate_of_angle(structure: CircuitStructure, angle: int) -> str:
    for number, instruction in enumerate(structure.instructions, start=1):
        angle -= instruction[2]
        if angle < 0:
            return f"gate {number}, {_text(instruction)},"
    raise AssertionError("the angle is one of the structure's")


def _periods(structure: CircuitStructure) -> NDArray[np.float64]:
    turns = [2.0 if name in _TWO_TURNS else 1.0 for name, _, count in structure.instructions for _ in range(count)]
    return _TURN * np.array(turns)


def _wrap(angles: NDArray[np.float64], periods: NDArray[np.float64]) -> NDArray[np.float64]:
    wrapped: NDArray[np.float64] = np.remainder(angles + periods / 2, periods) - periods / 2
    return wrapped


def _fit(
    points: Points, values: NDArray[np.float64], periods: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return matrix (n, angles) and constant (angles,) of the affine function, with simple numbers made exact."""
    matrix = _cleaned(_wrap(values[1:] - values[0], periods) / _STEP_RAD)
    rest = values - points @ matrix
    constant = rest[0] + _wrap(rest - rest[0], periods).mean(axis=0)  # the mean of angles that differ by rounding
    return matrix, _cleaned(_wrap(constant, periods))


def _cleaned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values with those near a fraction, a fraction of π, or a short decimal made exactly that."""
    return np.array([_clean(value) for value in values.ravel().tolist()]).reshape(values.shape)


def _clean(value: float) -> float:
    for unit in (1.0, math.pi):
        simple = unit * float(Fraction(value / unit).limit_denominator(_MAX_DENOMINATOR))
        if abs(value - simple) < _CLEAN:
            return simple
    short = round(value, 6)
    return short if abs(value - short) < 1e-12 else value  # a given constant, such as 0.137


def _check_effects(matrix: NDArray[np.float64], parameters: Sequence[Parameter]) -> None:
    """Raise InputError for an angle on which no gate depends."""
    idle = [parameter.name for parameter, row in zip(parameters, matrix, strict=True) if not row.any()]
    if idle:
        problem = f"{', '.join(idle[:3])} of {len(parameters)} angle(s) turns no gate"
        raise InputError("num_angles", problem, "Give the number of angles that the program uses.")


def _expression(
    parameters: Sequence[Parameter], factors: NDArray[np.float64], constant: float
) -> ParameterExpression | float:
    terms = [
        p if factor == 1.0 else factor * p for p, factor in zip(parameters, factors.tolist(), strict=True) if factor
    ]
    total: ParameterExpression | float = float(constant)
    for number, term in enumerate(terms):
        total = term if not number and not constant else total + term
    return total
