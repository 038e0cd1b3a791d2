"""Programs: one compilation a structure, and every filled text is what a fresh compilation would give."""

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

from hybridloop.errors import ProgramError
from hybridloop.sessions.programs import CompiledPerPoint, Programs
from hybridloop.sessions.qir import build_template, compile_qir, to_basis
from hybridloop.sessions.structure import lift

DOUBLE = re.compile(r"(?<=double )[^,\s)]+")


def assert_same_program(text: str, other: str) -> None:
    """Same text, angles equal modulo a turn within 1e-9."""
    assert DOUBLE.sub("", text) == DOUBLE.sub("", other)
    apart = [(float(a) - float(b)) % math.tau for a, b in zip(DOUBLE.findall(text), DOUBLE.findall(other), strict=True)]
    assert all(min(gap, math.tau - gap) < 1e-9 for gap in apart)


def measured(circuit: QuantumCircuit) -> QuantumCircuit:
    circuit.measure_all()
    return circuit


def test_a_filled_template_is_a_fresh_compilation_also_at_the_angles_that_compilers_treat_specially() -> None:
    circuit = measured(efficient_su2(2, reps=1))
    special = [0.0, math.pi, -0.25, 7.5, 1e-5, -math.pi / 2, math.tau, 2.0]
    lifted = lift(circuit)
    template = build_template(lifted.structure, "Base")
    for shift in range(0, 8, 3):
        point = np.roll(special, shift)
        filled = template.fill(lifted.angles(point[None, :]))[0].decode()
        fresh = compile_qir(to_basis(circuit).assign_parameters(point), "Base")
        assert_same_program(filled, fresh)


def test_doubles_are_written_as_llvm_reads_them() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("a"), 0)
    circuit.measure(0, 0)
    pub = SamplerPub.coerce((circuit, [[1e-5], [3e-17], [1.0]]), 10)
    for payload in Programs("Base").prepare(pub).payloads:
        (text,) = DOUBLE.findall(payload.decode())
        assert re.fullmatch(r"-?\d+\.\d*(e-?\d+)?", text), text


def test_many_points_and_circuits_bound_beforehand_are_compiled_once() -> None:
    programs = Programs("Base")
    circuit = measured(efficient_su2(2, reps=1))
    points = np.random.default_rng(3).uniform(-9, 9, (5, 8))
    late = programs.prepare(SamplerPub.coerce((circuit, points), 10))
    for point, payload in zip(points, late.payloads, strict=True):
        early = programs.prepare(SamplerPub.coerce(circuit.assign_parameters(point), 10))
        assert_same_program(early.payloads[0].decode(), payload.decode())
    assert programs.structures == 1


def test_only_measured_bits_are_recorded_and_the_program_says_which_they_are() -> None:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(2, "a"), ClassicalRegister(3, "b"))
    circuit.x(1)
    circuit.measure(1, 4)
    circuit.measure(2, 0)
    program = Programs("Base").prepare(SamplerPub.coerce(circuit, 10))
    assert (program.description.measured, program.description.num_clbits) == ((0, 4), 5)
    assert program.payloads[0].decode().count("call void @__quantum__rt__result_record_output") == 2


def test_a_circuit_with_control_flow_is_compiled_per_point_and_says_so() -> None:
    theta = Parameter("theta")
    circuit = QuantumCircuit(2, 2)
    circuit.rx(theta, 0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    programs = Programs("Adaptive_RI")
    with pytest.warns(CompiledPerPoint):
        program = programs.prepare(SamplerPub.coerce((circuit, [[0.1], [0.2]]), 10))
    assert len(set(program.payloads)) == 2


def test_what_the_profile_has_no_word_for_is_refused_with_the_circuits_name() -> None:
    circuit = QuantumCircuit(1, 1, name="feedback")
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    circuit.measure(0, 0)
    with pytest.warns(CompiledPerPoint), pytest.raises(ProgramError, match="feedback"):
        Programs("Base").prepare(SamplerPub.coerce(circuit, 10))


def test_a_circuit_without_measurements_and_an_infinite_angle_are_refused() -> None:
    bare = QuantumCircuit(1)
    with pytest.raises(ProgramError, match="measures nothing"):
        Programs("Base").prepare(SamplerPub.coerce(bare, 10))
    turning = QuantumCircuit(1, 1)
    turning.rx(Parameter("a"), 0)
    turning.measure(0, 0)
    with pytest.raises(ProgramError, match="finite"):
        Programs("Base").prepare(SamplerPub.coerce((turning, [[math.inf]]), 10))


def test_the_compilers_telemetry_is_off() -> None:
    script = (
        "from qiskit import QuantumCircuit; from hybridloop.sessions.qir import compile_qir;"
        "circuit = QuantumCircuit(1, 1); circuit.measure(0, 0); compile_qir(circuit, 'Base');"
        "from qdk import telemetry; print(telemetry.TELEMETRY_ENABLED)"
    )
    quiet = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    done = subprocess.run([sys.executable, "-c", script], env=quiet, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False"], done.stderr
