"""Invalid job inputs: the job fails with a code and a message, and the submission is never an HTTP error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, Caller

WIDE = ASYMMETRIC_QIR.replace(b'"required_num_qubits"="3"', b'"required_num_qubits"="33"')
DECLARED = b"".join(
    b"declare void @__quantum__%s\n" % function
    for function in (
        b"qis__ry__body(double, %Qubit*)",
        b"qis__x__body(%Qubit*)",
        b"qis__m__body(%Qubit*, %Result*)",
        b"rt__array_record_output(i64, i8*)",
        b"rt__result_record_output(%Result*, i8*)",
    )
)
BRANCH = (
    ASYMMETRIC_QIR.replace(
        b"  call void @__quantum__qis__x__body",
        b"  %r = call i1 @__quantum__rt__read_result(%Result* null)\n  br i1 %r, label %a, label %b\na:\n"
        b"  call void @__quantum__qis__x__body(%Qubit* null)\n  br label %b\nb:\n  call void @__quantum__qis__x__body",
    )
    + DECLARED
    + b"declare i1 @__quantum__rt__read_result(%Result*)\n"
)
UNKNOWN = ASYMMETRIC_QIR.replace(b"qis__x__body", b"qis__warp__body")
AFTER_MEASUREMENT = ASYMMETRIC_QIR.replace(
    b"  call void @__quantum__rt__array",
    b"  call void @__quantum__qis__x__body(%Qubit* null)\n  call void @__quantum__rt__array",
)
BARRIER = ASYMMETRIC_QIR.replace(b"block_0:\n", b"block_0:\n  call void @__quantum__qis__barrier__body()\n")
IONQ = {"target": "ionq.simulator", "inputDataFormat": "ionq.circuit.v1", "outputDataFormat": "ionq.quantum-results.v1"}
NOISE = {"noise": {"model": "warp-1"}}
SEED = {"noise": {"model": "aria-1", "seed": "seven"}}
MS = b'{"qubits":2,"gateset":"native","circuit":[{"gate":"ms","targets":[0,1],"phases":[0,0]}]}'
WORD = b'{"qubits":2,"circuit":[{"gate":"%s","target":0}]}'


QUIL = {"inputDataFormat": "rigetti.quil.v1", "outputDataFormat": "rigetti.quil-results.v1"}
QASM = {
    "target": "quantinuum.sim.h2-1e",
    "inputDataFormat": "honeywell.openqasm.v1",
    "outputDataFormat": "honeywell.quantum-results.v1",
}
DIGITS = b"9" * 5000  # above what Python reads as one whole number
HEAD = b'OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; creg c[1]; '
TURN = b'{"qubits":1,"circuit":[{"gate":"rx","target":0,"rotation":%s}]}'
PHASE = b'{"qubits":1,"gateset":"native","circuit":[{"gate":"gpi","target":0,"phase":1.7e308}]}'
MANY_QUBITS = WIDE.replace(b'"33"', b'"%s"' % DIGITS)
LONG_INDEX = ASYMMETRIC_QIR.replace(b"(i64 1 ", b"(i64 %s " % DIGITS)
LONG_ARRAY = ASYMMETRIC_QIR.replace(b"(i64 3", b"(i64 %s" % DIGITS)


def submit(emulator: Emulator, data: bytes, **more: Any) -> dict[str, Any]:
    caller = Caller(emulator)
    return caller.ended(caller.submit(data, **more))


@pytest.mark.parametrize(
    ("code", "message", "data", "more"),
    [
        ("QIRPreProcessingFailed", "one entry point", b"not QIR at all", {}),
        ("QIRPreProcessingFailed", "base profile", BRANCH, {}),
        ("QIRPreProcessingFailed", "warp", UNKNOWN, {}),
        ("QIRPreProcessingFailed", "after its measurement", AFTER_MEASUREMENT, {}),
        ("QATTransformationFailed", "barriers", BARRIER, {"target": "ionq.simulator"}),
        ("InvalidInputData", "33 qubits", WIDE, {}),
        ("InvalidProperty", "not 0", ASYMMETRIC_QIR, {"inputParams": {"shots": 0}}),
        ("InvalidProperty", "not -5", ASYMMETRIC_QIR, {"inputParams": {"shots": -5}}),
        ("InvalidProperty", "10000", ASYMMETRIC_QIR, {"inputParams": {"shots": 10_001}}),
        ("InvalidProperty", "whole number", ASYMMETRIC_QIR, {"inputParams": {"shots": "many"}}),
        ("InvalidProperty", "whole number", ASYMMETRIC_QIR, {"inputParams": {"shots": True}}),
        ("CannotTranslateOutputData", "my.format", ASYMMETRIC_QIR, {"outputDataFormat": "my.format"}),
        ("CannotTranslateInputData", "my.format", ASYMMETRIC_QIR, {"inputDataFormat": "my.format"}),
        ("CannotTranslateInputData", "ionq.circuit.v1", ASYMMETRIC_QIR, {**IONQ, "target": "rigetti.sim.qvm"}),
        ("InvalidInputData", "warp-1", ASYMMETRIC_QIR, {"target": "ionq.simulator", "inputParams": NOISE}),
        ("InvalidInputData", "none", ASYMMETRIC_QIR, {"inputParams": NOISE}),
        ("InvalidInputData", "noise", ASYMMETRIC_QIR, {"target": "ionq.simulator", "inputParams": {"noise": "aria-1"}}),
        ("InvalidInputData", "seed", ASYMMETRIC_QIR, {"target": "ionq.simulator", "inputParams": SEED}),
        ("InvalidInputData", "ionq.circuit.v1", b"{", IONQ),
        ("InvalidInputData", "warp", WORD % b"warp", IONQ),
        ("InvalidInputData", "qubit", b'{"qubits":2,"circuit":[{"gate":"x","target":2}]}', IONQ),
        ("InvalidInputData", "ms is not a native gate", MS, {**IONQ, "target": "ionq.qpu.forte-1"}),
        ("InvalidInputData", "30 qubits", json.dumps({"qubits": 30, "circuit": []}).encode(), IONQ),
        ("InvalidInputData", "number", TURN % (b"1" * 401), IONQ),
        ("InvalidInputData", "finite", PHASE, IONQ),
        ("InvalidInputData", "finite", HEAD + b"rx(1e999) q[0];", QASM),
        ("InvalidInputData", "finite", HEAD + b"rx(sin(1e999)) q[0];", QASM),
        ("InvalidInputData", "finite", HEAD + b"u2(1.7e308,1.7e308) q[0];", QASM),
        ("CompilationError", "divide by zero", HEAD + b"gate g(a) q {rx(1/a) q;} g(0) q[0];", QASM),
        ("CompilationError", "undefined", HEAD + b"gate g(a) q {rx(ln(a)) q;} if(c==1) g(0) q[0];", QASM),
        ("CompilationError", "ten digits", HEAD + b"qreg r[%s];" % DIGITS, QASM),
        ("CompilationError", "ten digits", HEAD + b"x q[%s];" % DIGITS, QASM),
        ("CompilationError", "ten digits", b"OPENQASM %s.0; qreg q[1];" % DIGITS, QASM),
        ("CompilationError", "ten digits", HEAD + b"qreg r // size\n [ // next\n4294967290];", QASM),
        ("CompilationError", "4096", HEAD + b"creg d[2000]; creg e[2096];", QASM),
        ("InvalidInputData", "number", b"DECLARE ro BIT[%s]" % DIGITS, QUIL),
        ("InvalidInputData", "number", b"DECLARE ro BIT\nMEASURE 0 ro[%s]" % DIGITS, QUIL),
        ("InvalidInputData", "number", MANY_QUBITS, {}),
        ("InvalidInputData", "number", LONG_INDEX, {}),
        ("InvalidInputData", "number", LONG_ARRAY, {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_an_invalid_job_or_a_number_out_of_range_fails_with_a_code_and_a_message(
    emulator: Emulator, code: str, message: str, data: bytes, more: dict[str, Any]
) -> None:
    job = submit(emulator, data, **more)
    assert job["status"] == "Failed"
    assert job["errorData"]["code"] == code
    assert message in job["errorData"]["message"]
    assert job["costEstimate"] is None


def test_more_qubits_than_memory_fails_before_it_allocates(emulator: Emulator) -> None:
    t = "  call void @__quantum__qis__t__body(%Qubit* inttoptr (i64 {0} to %Qubit*))\n"
    wide = ASYMMETRIC_QIR.replace(b"block_0:\n", ("block_0:\n" + "".join(map(t.format, range(50)))).encode())
    job = submit(emulator, wide, target="quantinuum.qpu.h2-1")
    assert (job["status"], job["errorData"]["code"]) == ("Failed", "InvalidInputData")
    assert "GiB" in job["errorData"]["message"]


def test_a_job_without_its_input_blob_fails(emulator: Emulator) -> None:
    caller = Caller(emulator)
    reply = caller.call(
        "PUT", "/jobs/no-input", {"providerId": "rigetti", "target": "rigetti.sim.qvm", "inputDataFormat": "qir.v1"}
    )
    assert (reply.status, reply.json()["status"]) == (200, "Waiting")
    assert caller.ended("no-input")["errorData"]["code"] == "InvalidInputData"
