"""Gate counts and depth of a compiled QIR program, counted as providers bill them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_CALL = re.compile(r"call void @__quantum__qis__(\w+?)__\w+\((.*)\)")
_DECLARED = re.compile(r'"required_num_qubits"="(\d+)"')
_QUBIT = re.compile(r"i64 (\d+) to %Qubit\*")
_NUMBER = re.compile(r"i64 (\d+) to")
_MEASUREMENTS = {"m": 0, "mz": 0, "mresetz": 1}  # name -> resets that come with it


@dataclass(frozen=True, slots=True)
class GateCounts:
    """Operations of one shot of a program; each declared qubit is prepared once.

    A gate on N > 2 qubits counts as 6 (N - 2) two-qubit gates, as IonQ bills it.
    """

    qubits: int
    one_qubit: int
    two_qubit: int
    measurements: int
    resets: int = 0


def gate_counts(qir: str) -> GateCounts:
    """Count the instructions of QIR text. They do not depend on the angles, so one count per template is enough.

    Both sides of a branch count: the targets' profiles have no loops, so the sum is an upper bound. All resets count,
    though the service may leave out some.
    """
    one_qubit = two_qubit = measurements = resets = 0
    for name, operands in _CALL.findall(qir):
        if name in _MEASUREMENTS:
            measurements += 1
            resets += _MEASUREMENTS[name]
        elif name == "reset":
            resets += 1
        else:
            width = operands.count(",") + 1 - operands.count("double ") if operands else 0
            one_qubit += width == 1
            two_qubit += 1 if width == 2 else 6 * max(0, width - 2)
    declared = _DECLARED.search(qir)
    qubits = int(declared[1]) if declared else 1 + max(map(int, _QUBIT.findall(qir)), default=-1)
    return GateCounts(qubits, one_qubit, two_qubit, measurements, resets)


def qir_depth(qir: str) -> int:
    """Return the depth of QIR text: layers of instructions on disjoint qubits; measurements count, as in Qiskit.

    >>> qir_depth("call void @__quantum__qis__h__body(%Qubit* null)")
    1
    """
    layers: dict[int, int] = {}
    for name, operands in _CALL.findall(qir):
        qubits = list(_qubits_of(name, operands))
        layer = 1 + max((layers.get(qubit, 0) for qubit in qubits), default=-1)
        layers |= dict.fromkeys(qubits, layer)
    return max(layers.values(), default=0)


def _qubits_of(name: str, operands: str) -> Iterator[int]:
    """Yield the qubit numbers of a call; the second operand of a measurement is its result."""
    pointers = [text for text in operands.split(",") if text.strip() and not text.strip().startswith("double")]
    for pointer in pointers[:1] if name in _MEASUREMENTS else pointers:
        number = _NUMBER.search(pointer)
        yield int(number[1]) if number else 0  # null
