"""Compilation of PUBs: once per structure, and every filled template equals a compilation at that point."""

import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.circuit.library import efficient_su2
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.basis import to_basis
from hybridloop.compiler.circuit_structure import extract_structure
from hybridloop.compiler.programs import CompiledPerPoint, PubCompiler
from hybridloop.compiler.qir_template import build_template, compile_qir
from hybridloop.errors import ProgramError

DOUBLE = re.compile(r"(?<=double )[^,\s)]+")


def assert_same_program(text: str, other: str) -> None:
    """Assert equal text, with angles equal modulo 2π within 1e-9."""
    assert DOUBLE.sub("", text) == DOUBLE.sub("", other)
    differences = [
        (float(a) - float(b)) % math.tau for a, b in zip(DOUBLE.findall(text), DOUBLE.findall(other), strict=True)
    ]
    assert all(min(gap, math.tau - gap) < 1e-9 for gap in differences)


def measured(circuit: QuantumCircuit) -> QuantumCircuit:
    circuit.measure_all()
    return circuit


def test_a_filled_template_equals_a_compilation_also_at_angles_that_compilers_simplify() -> None:
    circuit = measured(efficient_su2(2, reps=1))
    special = [0.0, math.pi, -0.25, 7.5, 1e-5, -math.pi / 2, math.tau, 2.0]
    structure, angles = extract_structure(circuit)
    template = build_template(structure, "Base")
    for shift in range(0, 8, 3):
        point = np.roll(special, shift)
        filled = template.fill(angles(point[None, :]))[0].decode()
        compiled = compile_qir(to_basis(circuit).assign_parameters(point), "Base")
        assert_same_program(filled, compiled)


def test_doubles_have_the_format_that_llvm_requires() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("a"), 0)
    circuit.measure(0, 0)
    pub = SamplerPub.coerce((circuit, [[1e-5], [3e-17], [1.0]]), 10)
    for payload in PubCompiler("Base").compile_pub(pub).payloads:
        (text,) = DOUBLE.findall(payload.decode())
        assert re.fullmatch(r"-?\d+\.\d*(e-?\d+)?", text), text


def test_many_points_and_bound_circuits_of_one_structure_are_compiled_once() -> None:
    compiler = PubCompiler("Base")
    circuit = measured(efficient_su2(2, reps=1))
    points = np.random.default_rng(3).uniform(-9, 9, (5, 8))
    late = compiler.compile_pub(SamplerPub.coerce((circuit, points), 10))
    for point, payload in zip(points, late.payloads, strict=True):
        early = compiler.compile_pub(SamplerPub.coerce(circuit.assign_parameters(point), 10))
        assert_same_program(early.payloads[0].decode(), payload.decode())
    assert compiler.num_compiled == 1


def test_only_measured_bits_are_recorded_and_the_description_lists_them() -> None:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "a"), ClassicalRegister(3, "b"))
    circuit.x(1)
    circuit.measure(1, 4)
    circuit.measure(2, 0)
    program = PubCompiler("Base").compile_pub(SamplerPub.coerce(circuit, 10))
    assert (program.description.measured, program.description.num_clbits) == ((0, 4), 5)
    assert program.payloads[0].decode().count("call void @__quantum__rt__result_record_output") == 2


def test_a_circuit_with_control_flow_is_compiled_per_point_with_a_warning() -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(2, 2)
    circuit.rx(theta, 0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    compiler = PubCompiler("Adaptive_RI")
    with pytest.warns(CompiledPerPoint):
        program = compiler.compile_pub(SamplerPub.coerce((circuit, [[0.1], [0.2]]), 10))
    assert len(set(program.payloads)) == 2


def test_a_circuit_that_the_profile_can_not_express_is_refused_with_its_name_and_the_way_out() -> None:
    circuit = QuantumCircuit(1, 1, name="feedback")
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    circuit.measure(0, 0)
    words = r"feedback.*such as a branch, is not in that profile.*hybridloop targets"
    with pytest.warns(CompiledPerPoint), pytest.raises(ProgramError, match=words):
        PubCompiler("Base").compile_pub(SamplerPub.coerce(circuit, 10))


def test_a_circuit_without_measurements_and_an_infinite_angle_are_refused() -> None:
    unmeasured = QuantumCircuit(1)
    with pytest.raises(ProgramError, match="has no measurement"):
        PubCompiler("Base").compile_pub(SamplerPub.coerce(unmeasured, 10))
    rotation = QuantumCircuit(1, 1)
    rotation.rx(Parameter("a"), 0)
    rotation.measure(0, 0)
    with pytest.raises(ProgramError, match="finite"):
        PubCompiler("Base").compile_pub(SamplerPub.coerce((rotation, [[math.inf]]), 10))


def test_the_compilers_telemetry_is_off() -> None:
    script = (
        "from qiskit import QuantumCircuit; from hybridloop.compiler.qir_template import compile_qir;"
        "circuit = QuantumCircuit(1, 1); circuit.measure(0, 0); compile_qir(circuit, 'Base');"
        "from qdk import telemetry; print(telemetry.TELEMETRY_ENABLED)"
    )
    environ = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True)
    assert done.stdout.split() == ["False"], done.stderr
