"""Programs of the checks: small circuits as QIR, and a Quil program with parameters."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

ANGLES = (0.6435, 1.1)  # of which no outcome's probability is simple
SHOTS = 1000


@cache
def rotated(profile: str, *, fresh: bool = False) -> bytes:
    """Return QIR of two rotations and a CNOT, from a template, or freshly compiled at the same angles."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.primitives.containers.sampler_pub import SamplerPub

    from hybridloop.algorithms.circuits.basis import to_basis
    from hybridloop.compiler.programs import PubCompiler
    from hybridloop.compiler.qir_template import compile_qir

    angles = (Parameter("a"), Parameter("b"))
    circuit = QuantumCircuit(2, 2)
    _append_rotations(circuit, *angles)
    circuit.measure([0, 1], [0, 1])
    values = np.array(ANGLES)
    if fresh:
        return compile_qir(to_basis(circuit.assign_parameters(values)), profile).encode()
    compiled = PubCompiler(profile).compile_pub(SamplerPub.coerce((circuit, values[None, :])))
    return bytes(compiled.payloads[0])


def _append_rotations(circuit: Any, first: Any, second: Any) -> None:
    circuit.ry(first, 0)
    circuit.ry(second, 1)
    circuit.cx(0, 1)
    circuit.rz(second, 1)
    circuit.h(1)


def probabilities() -> dict[str, float]:
    """Return the exact probabilities of the program's outcomes, highest bit first."""
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import Statevector

    circuit = QuantumCircuit(2)
    _append_rotations(circuit, *ANGLES)
    return dict(Statevector(circuit).probabilities_dict())


def folded(profile: str) -> bytes:
    """Return QIR of a rotation and a CNOT, folded at scale 3 as zero-noise extrapolation does."""
    from qiskit import QuantumCircuit
    from qiskit.primitives.containers.sampler_pub import SamplerPub

    from hybridloop.algorithms.circuits.basis import to_basis
    from hybridloop.algorithms.mitigation.folding import draw_paulis, fold_gates
    from hybridloop.compiler.programs import PubCompiler

    circuit = QuantumCircuit(2, 2)
    circuit.ry(ANGLES[0], 0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    source = to_basis(circuit)
    lengthened = fold_gates(source, 3, draw_paulis(source, np.random.default_rng(0)), 0)
    return bytes(PubCompiler(profile).compile_pub(SamplerPub.coerce((lengthened, None))).payloads[0])


def one_flipped(profile: str) -> bytes:
    """Return QIR that flips the first of three qubits and measures all."""
    from qiskit import QuantumCircuit

    from hybridloop.compiler.qir_template import compile_qir

    circuit = QuantumCircuit(3, 3)
    circuit.x(0)
    circuit.measure(range(3), range(3))
    return compile_qir(circuit, profile).encode()


def branched() -> bytes:
    """Return adaptive QIR whose second gate depends on a measurement."""
    from qiskit import QuantumCircuit

    from hybridloop.compiler.qir_template import compile_qir

    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], True)):
        circuit.x(1)
    circuit.measure(1, 1)
    return compile_qir(circuit, "Adaptive_RI").encode()


def with_barrier(qir: bytes) -> bytes:
    """Return the program with a barrier before its first gate."""
    name = b"@__quantum__qis__barrier__body()"
    head, gate, tail = qir.partition(b"  call void @__quantum__qis__ry__body")
    return head + b"  call void " + name + b"\n" + gate + tail + b"\ndeclare void " + name + b"\n"


def as_bitcode(qir: bytes) -> bytes:
    """Return the program as LLVM bitcode."""
    import pyqir

    return bytes(pyqir.Module.from_ir(pyqir.Context(), qir.decode()).bitcode)


QUIL = b"DECLARE ro BIT[1]\nDECLARE theta REAL[1]\nRX(theta[0]) 0\nMEASURE 0 ro[0]\n"
QUIL_FORMATS = {"inputDataFormat": "rigetti.quil.v1", "outputDataFormat": "rigetti.quil-results.v1"}


MANY = 25  # parameters


def quil_with(parameters: int) -> bytes:
    """Return Quil of so many rotations of one qubit, each with a parameter."""
    turns = "".join(f"RX(theta[{i}]) 0\n" for i in range(parameters))
    return f"DECLARE ro BIT[1]\nDECLARE theta REAL[{parameters}]\n{turns}MEASURE 0 ro[0]\n".encode()


def many_rows() -> dict[str, Any]:
    """Return 500 parameter sets of one shot each, of about as many bytes as a run sends at most in a job."""
    angles = np.random.default_rng(1).uniform(1.0, 3.0, (500, MANY))
    return {"shots": 1, "substitutions": {"theta": angles.tolist()}}


def quil_of(qubits: int) -> bytes:
    """Return Quil that flips and measures each of so many qubits."""
    flips = "".join(f"X {qubit}\n" for qubit in range(qubits))
    reads = "".join(f"MEASURE {qubit} ro[{qubit}]\n" for qubit in range(qubits))
    return f"DECLARE ro BIT[{qubits}]\n{flips}{reads}".encode()


def rows(angles: NDArray[np.float64] | list[float], shots: int, **more: Any) -> dict[str, Any]:
    """Return the parameters of a Quil job with one parameter set for each angle."""
    return {"shots": shots, "substitutions": {"theta": [[float(angle)] for angle in angles]}, **more}


HALF_TURN = math.pi
