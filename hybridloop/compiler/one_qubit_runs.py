"""Merge runs of one-qubit gates: constant gates go into each other and into offsets of rotations with a free angle.

Between two rotations about axes b and b', any constant gate is a rotation about b', one about an axis perpendicular to
both, and one about b (P. Davenport, NASA TN D-7257, 1973; Euler angles where b' = b). The outer ones are offsets of the
rotations beside them, so that one gate is left, or none. A rotation may change its axis, as h·rz(θ)·h = rx(θ) does.
Gates are unit quaternions (w, x, y, z), which stand for w - i (xX + yY + zZ) up to a global phase.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Quaternion = tuple[float, float, float, float]
Axis = int  # 1, 2, 3: x, y, z, the places in a quaternion
Constant = tuple[str, float | None]  # name, and angle in radians where it has one


@dataclass(frozen=True, slots=True)
class FreeRotation:
    """Rotation `name` by `offset` plus the run's free angle of this number."""

    name: str
    number: int
    offset: float


Merged = tuple[Constant | FreeRotation, ...]

_AXES: tuple[Axis, ...] = (1, 2, 3)
_NAMES = ("", "rx", "ry", "rz")
_END = 0  # in place of an axis: no rotation is there
_SAME = 1e-10  # of a quaternion's components: what is nearer to a shorter run is that
_EXACT_RAD = 1e-12  # an angle this near to an eighth of a turn is that
_ONE: Quaternion = (1.0, 0.0, 0.0, 0.0)
_H: Quaternion = (0.0, math.sqrt(0.5), 0.0, math.sqrt(0.5))
_TURNS = {
    "x": (1, 1.0),
    "y": (2, 1.0),
    "z": (3, 1.0),
    "s": (3, 0.5),
    "sdg": (3, -0.5),
    "t": (3, 0.25),
    "tdg": (3, -0.25),
}
_BETWEEN: list[tuple[Axis, ...]] = [
    *((), (3,), (2,), (1,)),  # z first: the most targets have it for free
    *itertools.permutations((3, 2, 1), 2),
    (3, 2, 3),
]


@functools.lru_cache(maxsize=4096)
def merge_run(run: tuple[Constant, ...]) -> Merged:
    """Return gates of the basis on one qubit, in their order in time, as the fewest for all values of free angles.

    A rotation without an angle is free: it stays one rotation, by its angle and an offset. Global phases are left out.
    A run that can't be shorter is returned as it is.
    """
    given = tuple(_numbered(run))
    constants, axes = _part(run)
    merged = _with_free(constants, axes) if axes else _constant(constants[0])
    return merged if len(merged) < len(given) else given


def _numbered(run: Sequence[Constant]) -> Iterator[Constant | FreeRotation]:
    numbers = itertools.count()
    for name, angle in run:
        yield FreeRotation(name, next(numbers), 0.0) if _is_free(name, angle) else (name, angle)


def _is_free(name: str, angle: float | None) -> bool:
    return angle is None and name in _NAMES


def _part(run: Sequence[Constant]) -> tuple[list[Quaternion], list[Axis]]:
    """Return the constant gates before, between and after the free rotations, and the axes of these."""
    constants, axes = [_ONE], list[Axis]()
    for name, angle in run:
        if _is_free(name, angle):
            axes.append(_NAMES.index(name))
            constants.append(_ONE)
        else:
            constants[-1] = _product(_quaternion(name, angle), constants[-1])
    return constants, axes


@dataclass(frozen=True, slots=True)
class _Path:
    """Gates up to a free rotation about `axis`, which has its `offset` by what was before it."""

    axis: Axis
    changes: int  # of axes
    gates: Merged
    offset: float

    @property
    def rank(self) -> tuple[int, int]:
        return len(self.gates), self.changes


def _with_free(constants: Sequence[Quaternion], axes: Sequence[Axis]) -> Merged:
    """Return the shortest path over the axes that the free rotations may have."""
    paths = [_Path(_END, 0, (), 0.0)]
    for number, axis in enumerate(axes):
        extended = [[_extend(path, constants, axes, number, new) for path in paths] for new in _AXES]
        paths = [min(each, key=lambda path: path.rank) for each in extended]
        paths.sort(key=lambda path: path.axis != axis)
    ends = [_extend(path, constants, axes, len(axes), _END) for path in paths]
    return min(ends, key=lambda path: path.rank).gates


def _extend(path: _Path, constants: Sequence[Quaternion], axes: Sequence[Axis], number: int, axis: Axis) -> _Path:
    """Add the constant gate before a free rotation to a path, and the rotation, turned about another axis.

    A rotation about its own axis is one about the other axis between a quarter turn and its inverse.
    """
    gate, changes, before = constants[number], path.changes, path.gates
    if path.axis != _END:
        gate = _product(gate, _quarter_turn(path.axis, axes[number - 1]))
    if axis != _END:
        gate = _product(_inverse(_quarter_turn(axis, axes[number])), gate)
        changes += axis != axes[number]
    offset, between, rest = _factors(gate, axis, path.axis)
    if path.axis != _END:
        before = (*before, FreeRotation(_NAMES[path.axis], number - 1, _rounded(path.offset + rest)))
    return _Path(axis, changes, (*before, *between), offset)


def _constant(gate: Quaternion) -> Merged:
    if all(abs(value) < _SAME for value in _product(_H, gate)[1:]):
        return (("h", None),)
    return _factors(gate, _END, _END)[1]


def _factors(gate: Quaternion, after: Axis, before: Axis) -> tuple[float, tuple[Constant, ...], float]:
    """Return a gate as a rotation about `after`, the fewest gates, and a rotation about `before`."""
    for between in _BETWEEN:
        axes = [axis for axis, _ in itertools.groupby((after, *between, before)) if axis != _END]
        if len(axes) > 3 or len(axes) < len(between) + (after != _END) + (before not in (_END, after)):
            continue
        if (angles := _angles(gate, axes)) is not None:
            offset = angles.pop(0) if after != _END else 0.0
            rest = angles.pop() if len(angles) > len(between) else 0.0
            gates = [(_NAMES[axis], _rounded(angle)) for axis, angle in zip(between, angles, strict=True)]
            return offset, tuple(reversed(gates)), rest
    raise AssertionError("three rotations are any gate")


def _angles(gate: Quaternion, axes: Sequence[Axis]) -> list[float] | None:
    """Return the angles of rotations whose product is the gate, the last one first in time; None if there are none.

    Axes beside each other differ. Three of them have angles for any gate.
    """
    match axes:
        case []:
            return [] if all(abs(value) < _SAME for value in gate[1:]) else None
        case [axis]:
            is_around = all(abs(gate[other]) < _SAME for other in _AXES if other != axis)
            return [2.0 * math.atan2(gate[axis], gate[0])] if is_around else None
        case [axis, other]:
            third, sign = 6 - axis - other, _sign(axis, other)
            cosines = (gate[0], gate[axis]), (gate[other], sign * gate[third])  # times those of the other angle
            cosine, sine = max(cosines, key=lambda pair: math.hypot(*pair))
            first = 2.0 * math.atan2(sine, cosine)
            rest = _angles(_product(_rotation(axis, -first), gate), [other])
            return None if rest is None else [first, *rest]
        case _:
            return _three_angles(gate, axes[0], axes[1], axes[2])


def _three_angles(gate: Quaternion, axis: Axis, middle: Axis, last: Axis) -> list[float]:
    """Return Euler angles, or Davenport's where the first axis differs from the last."""
    if axis != last:
        quarter = _sign(middle, axis) * math.pi / 2.0  # it turns the first axis to the last
        first, second, third = _three_angles(_product(gate, _rotation(middle, quarter)), axis, middle, axis)
        return [first, second - quarter, third]
    third_axis, sign = 6 - axis - middle, _sign(axis, middle)
    along, across = (gate[0], gate[axis]), (gate[middle], sign * gate[third_axis])
    half_sum, half_difference = (
        math.atan2(sine, cosine) if math.hypot(cosine, sine) > _SAME else 0.0 for cosine, sine in (along, across)
    )
    second = 2.0 * math.atan2(math.hypot(*across), math.hypot(*along))
    return [half_sum + half_difference, second, half_sum - half_difference]


def _quaternion(name: str, angle: float | None) -> Quaternion:
    if angle is not None:
        return _rotation(_NAMES.index(name), angle)
    if name == "h":
        return _H
    axis, half_turns = _TURNS[name]
    return _rotation(axis, math.pi * half_turns)


def _rotation(axis: Axis, angle: float) -> Quaternion:
    values = [math.cos(angle / 2.0), 0.0, 0.0, 0.0]
    values[axis] = math.sin(angle / 2.0)
    return values[0], values[1], values[2], values[3]


def _quarter_turn(axis: Axis, onto: Axis) -> Quaternion:
    """Return the quarter turn that has an axis become another one, or none where it is the same."""
    if axis == onto:
        return _ONE
    third = 6 - axis - onto
    return _rotation(third, _sign(third, axis) * math.pi / 2.0)


def _sign(axis: Axis, other: Axis) -> float:
    """Return the sign of the vector product of two different axes."""
    return 1.0 if other == axis % 3 + 1 else -1.0


def _inverse(gate: Quaternion) -> Quaternion:
    return gate[0], -gate[1], -gate[2], -gate[3]


def _product(a: Quaternion, b: Quaternion) -> Quaternion:
    return (
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
        a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
        a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    )


def _rounded(angle: float) -> float:
    """Return an angle modulo a turn, in (-π, π]; eighths of a turn without errors of rounding."""
    wrapped = math.remainder(angle, math.tau)
    eighths = round(4.0 * wrapped / math.pi)
    exact = math.pi / 4.0 * (4 if eighths == -4 else eighths)
    return exact if abs(math.remainder(wrapped - exact, math.tau)) < _EXACT_RAD else wrapped
