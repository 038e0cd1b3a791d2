"""Translate a circuit's structure to the basis gates, with constant angles merged into as few gates as they need.

In a circuit with parameters, an angle that depends on none is a constant. It merges with the one-qubit gates beside it,
and into the offset of an angle that is free, for which one rotation stays: no value of a parameter changes the
structure. Constants that are left over are slots as free angles are. That costs no gate, measured bases of an ansatz
that differ in constants share a compilation, and errors of rounding change no fingerprint.

In a circuit without parameters each angle is free, because other libraries bind parameters before they run a circuit.
Only the fixed angles within Qiskit's standard gates, such as the quarter turns of XXPlusYYGate, are constants there. In
other composite gates they can't be distinguished from bound ones.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression, ParameterVector

from hybridloop.algorithms.circuits.basis import to_basis
from hybridloop.algorithms.circuits.gate_names import BASIS
from hybridloop.compiler.circuit_structure import AngleMap, CircuitStructure, angle_map, gate_of
from hybridloop.compiler.one_qubit_runs import FreeRotation, merge_run

_SELF_INVERSE = frozenset({"cx", "cz", "swap"})
_SYMMETRIC = frozenset({"cz", "swap"})  # their qubits may be exchanged
_IN_BASIS = frozenset(BASIS)

Constants = tuple[float | None, ...]
"""The constant of each slot of a structure; None for a free one."""


@dataclass(frozen=True, slots=True)
class _Angle:
    """An angle: its constant plus the factors of free slots."""

    constant: float
    factors: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class _Gate:
    """A gate, measurement or reset on bits, as in an `Instruction`, with its angles."""

    name: str
    bits: tuple[int, ...]
    angles: tuple[_Angle, ...] = ()

    @property
    def qubits(self) -> tuple[int, ...]:
        return self.bits[:1] if self.name == "measure" else self.bits


@dataclass(frozen=True, slots=True, eq=False)
class _Merged:
    """A structure in the basis gates; angle `columns[i]` takes `factors[i]` times slot `rows[i]` of the given one."""

    structure: CircuitStructure
    constant: NDArray[np.float64]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    factors: NDArray[np.float64]


def merge_constants(structure: CircuitStructure, angles: AngleMap) -> tuple[CircuitStructure, AngleMap]:
    """Return the structure in the basis gates, with constants merged, and its angles as a function of the parameters.

    The unitary is the same up to a global phase. A structure that keeps its gates is returned as it is.
    """
    if structure.keeps_gates:
        return structure, angles
    if not np.all(np.isfinite(angles.constant)):
        return structure, angles  # refused when its angles are known
    free = {*np.flatnonzero(angles.matrix.any(axis=0)).tolist(), *(index for index, _ in angles.nonaffine)}
    if not angles.parameters:
        free = {*range(structure.num_angles)}
    constants = [None if slot in free else value for slot, value in enumerate(angles.constant.tolist())]
    merged = _merge(structure, tuple(constants))
    return merged.structure, _composed(angles, merged)


def _composed(angles: AngleMap, merged: _Merged) -> AngleMap:
    """Return the merged structure's angles as a function of the parameters."""
    matrix, constant = np.zeros((len(angles.parameters), len(merged.constant))), merged.constant.copy()
    np.add.at(matrix.T, merged.columns, merged.factors[:, None] * angles.matrix.T[merged.rows])
    np.add.at(constant, merged.columns, merged.factors * angles.constant[merged.rows])
    expressions, nonaffine = dict(angles.nonaffine), dict[int, ParameterExpression]()
    for row, column, factor in zip(merged.rows.tolist(), merged.columns.tolist(), merged.factors.tolist(), strict=True):
        if row in expressions:
            affine = float(constant[column])
            for parameter, slope in zip(angles.parameters, matrix[:, column].tolist(), strict=True):
                affine = affine + slope * parameter if slope else affine
            nonaffine[column] = nonaffine.get(column, affine) + factor * expressions[row]
    return AngleMap(angles.parameters, matrix, constant, tuple(sorted(nonaffine.items(), key=itemgetter(0))))


@functools.lru_cache(maxsize=512)
def _merge(structure: CircuitStructure, constants: Constants) -> _Merged:
    """Merge a structure's constants; kept, because each round describes its circuits."""
    gates = [*_ordered(_translated(structure, constants), structure.num_qubits)]
    if any(len(bits) > 1 and name not in _IN_BASIS and name != "measure" for name, bits, _ in structure.instructions):
        # composite gates may cancel as a whole, as two Toffoli gates do
        whole = [*_ordered(_translated_whole(structure, constants), structure.num_qubits)]
        gates = min(gates, whole, key=_entangling)
    instructions = tuple((gate.name, gate.bits, len(gate.angles)) for gate in gates)
    angles = [angle for gate in gates for angle in gate.angles]
    entries = [(row, column, factor) for column, angle in enumerate(angles) for row, factor in angle.factors]
    rows, columns, factors = zip(*entries, strict=True) if entries else ((), (), ())
    return _Merged(
        replace(structure, instructions=instructions),
        np.array([angle.constant for angle in angles], np.float64),
        np.array(rows, np.intp),
        np.array(columns, np.intp),
        np.array(factors, np.float64),
    )


def _translated(structure: CircuitStructure, constants: Constants) -> Iterator[_Gate]:
    """Yield the gates in the basis, in the structure's order, so that circuits begin alike as they did before."""
    first = 0
    for name, bits, count in structure.instructions:
        given = constants[first : first + count]
        if name in _IN_BASIS or name in ("measure", "reset"):
            gates: Sequence[_Gate] = (_Gate(name, tuple(range(len(bits))), tuple(_angles(given))),)
        else:
            gates = _definition(name, given)
        for gate in gates:
            angles = (_Angle(each.constant, tuple((first + i, f) for i, f in each.factors)) for each in gate.angles)
            yield _Gate(gate.name, tuple(bits[i] for i in gate.bits), tuple(angles))
        first += count


def _translated_whole(structure: CircuitStructure, constants: Constants) -> Iterator[_Gate]:
    """Yield the gates of Qiskit's translation of the circuit, whose order may be another."""
    symbols = ParameterVector("slot", len(constants))
    translated = to_basis(structure.circuit([symbols[i] if each is None else each for i, each in enumerate(constants)]))
    angles = _affine([angle for item in translated.data for angle in item.params], symbols)
    index = {bit: i for i, bit in enumerate(translated.qubits)}
    clbit = dict(zip(translated.clbits, structure.measured, strict=True))
    for item in translated.data:
        bits = (*(index[qubit] for qubit in item.qubits), *(clbit[each] for each in item.clbits))
        yield _Gate(item.name, bits, tuple(next(angles) for _ in item.params))


def _affine(expressions: Sequence[float | ParameterExpression], symbols: ParameterVector) -> Iterator[_Angle]:
    """Yield angles of a translation, which are affine functions of the symbols of free slots."""
    found = angle_map(expressions, tuple(symbols))
    assert not found.nonaffine  # angles of standard gates stay affine functions
    for column, constant in zip(found.matrix.T, found.constant.tolist(), strict=True):
        yield _Angle(constant, tuple((int(i), float(column[i])) for i in np.flatnonzero(column)))


def _entangling(gates: Sequence[_Gate]) -> int:
    return sum(len(gate.bits) > 1 and gate.name != "measure" for gate in gates)


def _angles(constants: Constants) -> Iterator[_Angle]:
    for slot, value in enumerate(constants):
        yield _Angle(0.0, ((slot, 1.0),)) if value is None else _Angle(value)


@functools.lru_cache(maxsize=1024)
def _definition(name: str, constants: Constants) -> tuple[_Gate, ...]:
    """Return the basis gates of a standard gate; free slots are those of the gate."""
    symbols = ParameterVector("slot", len(constants))
    gate = gate_of(name, [symbols[i] if value is None else value for i, value in enumerate(constants)])
    circuit = QuantumCircuit(gate.num_qubits)
    circuit.append(gate, range(gate.num_qubits))
    translated = to_basis(circuit)
    index = {qubit: i for i, qubit in enumerate(translated.qubits)}
    angles = _affine([angle for item in translated.data for angle in item.params], symbols)
    return tuple(
        _Gate(item.name, tuple(index[qubit] for qubit in item.qubits), tuple(next(angles) for _ in item.params))
        for item in translated.data
    )


Run = list[_Gate]


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A gate on several qubits, a measurement or a reset, with the runs of one-qubit gates beside it, by qubit."""

    gate: _Gate
    before: dict[int, Run]
    after: dict[int, Run] = field(default_factory=dict)  # at the end of the circuit alone


def _ordered(gates: Iterable[_Gate], num_qubits: int) -> Iterator[_Gate]:
    """Merge the runs of one-qubit gates, and remove pairs of equal gates between which nothing is left.

    A run stands before the gate that ends it, so that circuits which differ in their ends begin with the same gates.
    """
    runs: list[Run] = [[] for _ in range(num_qubits)]
    last: list[list[_Step]] = [[] for _ in range(num_qubits)]  # steps by qubit
    steps: dict[_Step, None] = {}  # in their order
    for gate in gates:
        qubits = gate.qubits
        if len(gate.bits) == 1 and gate.name != "reset":
            runs[qubits[0]].append(gate)
        elif _cancels(gate, last, runs):
            twin = last[qubits[0]][-1]
            del steps[twin]
            for qubit in qubits:
                last[qubit].pop()
                runs[qubit] = twin.before[qubit]
        else:
            step = _Step(gate, {qubit: runs[qubit] for qubit in qubits})
            steps[step] = None
            for qubit in qubits:
                last[qubit].append(step)
                runs[qubit] = []
    for qubit, run in enumerate(runs):
        if last[qubit]:
            last[qubit][-1].after[qubit] = run
        else:
            yield from _merged_run(run)
    for step in steps:
        for run in step.before.values():
            yield from _merged_run(run)
        yield step.gate
        for run in step.after.values():
            yield from _merged_run(run)


def _cancels(gate: _Gate, last: Sequence[Sequence[_Step]], runs: Sequence[Run]) -> bool:
    """Return whether a gate is the inverse of the last step of its qubits, with nothing between them."""
    before = last[gate.qubits[0]][-1:]
    if gate.name not in _SELF_INVERSE or not before or before[0].gate.name != gate.name:
        return False
    bits = before[0].gate.bits
    if bits != gate.bits and not (gate.name in _SYMMETRIC and set(bits) == set(gate.bits)):
        return False
    return last[gate.qubits[1]][-1] is before[0] and not any(_merged_run(runs[qubit]) for qubit in gate.qubits)


def _merged_run(run: Run) -> list[_Gate]:
    """Return a run of gates on one qubit with as few gates as its free angles allow."""
    free = [gate.angles[0] for gate in run if gate.angles and not _is_constant(gate)]
    key = tuple((gate.name, gate.angles[0].constant if _is_constant(gate) else None) for gate in run)
    gates = []
    for each in merge_run(key):
        if isinstance(each, FreeRotation):
            angle = free[each.number]
            gates.append(_Gate(each.name, run[0].bits, (replace(angle, constant=angle.constant + each.offset),)))
        else:
            name, value = each
            gates.append(_Gate(name, run[0].bits, () if value is None else (_Angle(value),)))
    return gates


def _is_constant(gate: _Gate) -> bool:
    """Return whether a gate on one qubit is a rotation by a constant angle."""
    return bool(gate.angles) and not gate.angles[0].factors
