"""Puts gates of all input formats into circuits that Aer runs as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate, get_standard_gate_name_mapping

from hybridloop.emulator.program import Operation

NATIVE_TO_AER = frozenset(
    "x y z h s sdg t tdg sx sxdg id rx ry rz rxx ryy rzz swap cx cy cz ccx ccz cswap crx cry crz".split()
    + "p u u1 u2 u3 cp csx cu1 cu3".split()
)
NO_LABELS: Mapping[int, str] = {}


class Gates:
    """Qiskit's standard gates by name, IonQ's native ones, and any of them with more controls."""

    def __init__(self) -> None:
        self._standard = {name: gate.base_class for name, gate in get_standard_gate_name_mapping().items()}

    def append(
        self, circuit: QuantumCircuit, operation: Operation, where: Sequence[int], labels: Mapping[int, str] = NO_LABELS
    ) -> None:
        """Append the operation on the circuit's qubits `where`; controls come first. `labels` go by the width."""
        name = operation.name
        if name == "barrier":
            return
        label = labels.get(len(where))
        if name in NATIVE_TO_AER:
            kind = self._standard[name]
            gate = kind(*operation.angles) if label is None else kind(*operation.angles, label=label)
            # without the checks of `append`: the reader has made them
            circuit._append(gate, tuple(circuit.qubits[q] for q in where), ())
            return
        if name in IONQ_NATIVE:
            matrix = IONQ_NATIVE[name](*operation.angles)
        else:
            base = name.lstrip("c")
            matrix = controlled(self._standard[base](*operation.angles).to_matrix(), len(name) - len(base))
        circuit.append(UnitaryGate(matrix, label=label), list(where))


def controlled(matrix: NDArray[np.complex128], controls: int) -> NDArray[np.complex128]:
    """The matrix applied where all controls, which come first and are the least significant qubits, are 1."""
    whole = np.eye(len(matrix) << controls, dtype=np.complex128)
    ones = np.arange(len(matrix)) << controls | (1 << controls) - 1
    whole[np.ix_(ones, ones)] = matrix
    return whole


def gpi(phase: float) -> NDArray[np.complex128]:
    """IonQ's GPi; the phase in radians."""
    return np.array([[0, np.exp(-1j * phase)], [np.exp(1j * phase), 0]])


def gpi2(phase: float) -> NDArray[np.complex128]:
    """IonQ's GPi2; the phase in radians."""
    half = np.sqrt(0.5)
    return np.array([[half, -1j * half * np.exp(-1j * phase)], [-1j * half * np.exp(1j * phase), half]])


def ms(phase0: float, phase1: float, angle: float) -> NDArray[np.complex128]:
    """exp(-i·angle/2 · GPi(phase0) ⊗ GPi(phase1)), the first qubit the less significant one; angles in radians."""
    product = np.kron(gpi(phase1), gpi(phase0))
    matrix: NDArray[np.complex128] = np.cos(angle / 2) * np.eye(4) - 1j * np.sin(angle / 2) * product
    return matrix


def zz(angle: float) -> NDArray[np.complex128]:
    """exp(-i·angle/2 · Z ⊗ Z); the angle in radians."""
    same, other = np.exp(-0.5j * angle), np.exp(0.5j * angle)
    return np.diag([same, other, other, same])


# IonQ, "Getting started with native gates": https://docs.ionq.com/guides/getting-started-with-native-gates
IONQ_NATIVE: dict[str, Callable[..., NDArray[np.complex128]]] = {"gpi": gpi, "gpi2": gpi2, "ms": ms, "zz": zz}
