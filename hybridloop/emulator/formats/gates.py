"""Gate library: append gates of all input formats to Qiskit circuits that Aer runs without transpiling.

The client has its own gate tables in `hybridloop.compiler`: the two share nothing, so that each tests the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import DiagonalGate, UnitaryGate, get_standard_gate_name_mapping

from hybridloop.emulator.model.program import Instruction

AER_GATES = frozenset(
    "x y z h s sdg t tdg sx sxdg id rx ry rz rxx ryy rzz swap cx cy cz ccx ccz cswap crx cry crz".split()
    + "p u u1 u2 u3 cp csx cu1 cu3".split()
)
MAX_AER_QUBITS = 3  # of a gate in AER_GATES
DIAGONAL = "diagonal"  # a block of diagonal gates, whose angles are all phases
NO_LABELS: Mapping[int, str] = {}


_STANDARD_GATES = get_standard_gate_name_mapping()
_GATE_CLASSES = {name: gate.base_class for name, gate in _STANDARD_GATES.items()}
# numbers of angles and qubits of Qiskit's standard gates
GATE_SIZES: dict[str, tuple[int, int]] = {n: (len(gate.params), gate.num_qubits) for n, gate in _STANDARD_GATES.items()}


def append_gate(
    circuit: QuantumCircuit, instruction: Instruction, qubits: Sequence[int], labels: Mapping[int, str] = NO_LABELS
) -> None:
    """Append a gate on the circuit's `qubits`, controls first; a barrier adds nothing.

    The gate is one of Qiskit's standard gates, one of them with added controls ("cch"), or a native gate of IonQ.
    `labels` are gate labels by the number of qubits. Aer finds a gate's noise by its label.
    """
    name = instruction.name
    if name == "barrier":
        return
    label = labels.get(len(qubits))
    if name in AER_GATES:
        gate_class = _GATE_CLASSES[name]
        gate = gate_class(*instruction.angles) if label is None else gate_class(*instruction.angles, label=label)
        # without the checks of `append`: the format's parser has made them
        circuit._append(gate, tuple(circuit.qubits[q] for q in qubits), ())
        return
    if name == DIAGONAL:
        circuit.append(DiagonalGate(np.exp(1j * np.array(instruction.angles)).tolist()), list(qubits))
        return
    # any other gate as a matrix
    if name in IONQ_NATIVE_GATES:
        matrix = IONQ_NATIVE_GATES[name](*instruction.angles)
    else:
        base = name.lstrip("c")
        matrix = _GATE_CLASSES[base](*instruction.angles).to_matrix()
        matrix = controlled_matrix(matrix, controls=len(name) - len(base))
    circuit.append(UnitaryGate(matrix, label=label), list(qubits))


def controlled_matrix(matrix: NDArray[np.complex128], controls: int) -> NDArray[np.complex128]:
    """Return the matrix of the controlled gate; controls come first, as the least significant qubits."""
    controlled = np.eye(len(matrix) << controls, dtype=np.complex128)
    ones = np.arange(len(matrix)) << controls | (1 << controls) - 1
    controlled[np.ix_(ones, ones)] = matrix
    return controlled


def gpi_matrix(phase: float) -> NDArray[np.complex128]:
    """Return the matrix of IonQ's GPi gate; the phase in radians."""
    return np.array([[0, np.exp(-1j * phase)], [np.exp(1j * phase), 0]])


def gpi2_matrix(phase: float) -> NDArray[np.complex128]:
    """Return the matrix of IonQ's GPi2 gate; the phase in radians."""
    half = np.sqrt(0.5)
    return np.array([[half, -1j * half * np.exp(-1j * phase)], [-1j * half * np.exp(1j * phase), half]])


def ms_matrix(phase0: float, phase1: float, angle: float) -> NDArray[np.complex128]:
    """Return the matrix of IonQ's MS (Mølmer-Sørensen) gate: exp(-i·angle/2 · GPi(phase0) ⊗ GPi(phase1)).

    The first qubit is the less significant one. Angles in radians.
    """
    product = np.kron(gpi_matrix(phase1), gpi_matrix(phase0))
    matrix: NDArray[np.complex128] = np.cos(angle / 2) * np.eye(4) - 1j * np.sin(angle / 2) * product
    return matrix


def zz_matrix(angle: float) -> NDArray[np.complex128]:
    """Return the matrix of IonQ's ZZ gate, exp(-i·angle/2 · Z ⊗ Z); the angle in radians."""
    equal, unequal = np.exp(-0.5j * angle), np.exp(0.5j * angle)
    return np.diag([equal, unequal, unequal, equal])


# IonQ, "Getting started with native gates": https://docs.ionq.com/guides/getting-started-with-native-gates
IONQ_NATIVE_GATES: dict[str, Callable[..., NDArray[np.complex128]]] = dict(
    gpi=gpi_matrix, gpi2=gpi2_matrix, ms=ms_matrix, zz=zz_matrix
)
