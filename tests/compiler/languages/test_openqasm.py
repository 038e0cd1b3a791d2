"""OpenQASM that Qiskit's readers do not take: compiled within bounds, or refused in words."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

from hybridloop.algorithms.circuits.openqasm_includes import StandardGatesAdded
from hybridloop.compiler.languages.convert import to_circuit
from hybridloop.errors import InputError

HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
LIBRARY = "qreg q[2]; U1q(0.7,0.3) q[0]; ZZ q[0],q[1]; Rz(0.2) q[1]; Rxxyyzz(0.3,0.5,0.7) q[0],q[1]; cs q[1],q[0];"


def library_gates() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.r(0.7, 0.3, 0)
    circuit.rzz(np.pi / 2, 0, 1)
    circuit.rz(0.2, 1)
    circuit.rxx(0.3, 0, 1)
    circuit.ryy(0.5, 0, 1)
    circuit.rzz(0.7, 0, 1)
    circuit.cs(1, 0)
    return circuit


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_quantinuums_library_has_the_gates_of_qiskit(version: str) -> None:
    text = f'OPENQASM {version};\ninclude "hqslib1.inc";\n{LIBRARY} creg c[1]; '
    text += "measure q[0] -> c[0];" if version == "2.0" else "c[0] = measure q[0];"
    circuit = to_circuit(text, "Base").remove_final_measurements(inplace=False)
    assert Operator(circuit).equiv(Operator(library_gates()))


@pytest.mark.parametrize(
    "text",
    [
        "OPENQASM 2.0; qreg q[2]; creg c[2]; h q[0]; cx q[0], q[1]; measure q -> c;",
        "OPENQASM 3.0; qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;",
        "OPENQASM 3.0; uint n = 1; gate g a { h a; } qubit[2] q; bit[2] c; g q[0]; cx q[0], q[n]; c = measure q;",
    ],
)
def test_a_text_that_includes_nothing_is_read_with_the_standard_gates_and_a_warning(text: str) -> None:
    with pytest.warns(StandardGatesAdded, match=r"program includes no gates.*write `include") as warned:
        circuit = to_circuit(text, "Base")
    assert dict(circuit.count_ops()) == {"h": 1, "cx": 1, "measure": 2}
    assert len(warned) == 1


@pytest.mark.filterwarnings("error")
def test_a_text_that_defines_its_gates_needs_no_standard_gates() -> None:
    circuit = to_circuit("OPENQASM 3.0; gate h a { U(pi, 0, pi) a; } qubit q; h q; bit c = measure q;", "Base")
    assert circuit.num_clbits == 1


def test_numbers_are_no_outputs_unless_the_text_declares_them() -> None:
    body = "uint n = 1;\nqubit[2] q;\nx q[n];\nbit[2] c = measure q;\nbit d = measure q[0];"
    bits = to_circuit(HEADER + body, "Adaptive_RI")
    assert [register.size for register in bits.cregs] == [2, 1]
    both = to_circuit(HEADER + f"output uint m; {body} m = n;", "Adaptive_RI")
    assert both.num_clbits == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('OPENQASM 3.0;\ninclude "/etc/passwd";\nbit c;', "line 2: Not Found.*include file: /etc/passwd"),
        ('OPENQASM 3.0;\nbit x = "//"; include "own.inc";', "line 2: .*own.inc"),
        ('OPENQASM 2.0;\ninclude "/etc/passwd";', "line 2 is no OpenQASM 2: unable to find '/etc/passwd'"),
        ("OPENQASM 3.0;\nqubit[1000000000] q;", "line 2 has a register of 10,000 bits or more"),
        ("OPENQASM 2.0;\nqreg q[99999999999999999999999];", "line 2 has a register of 10,000 bits or more"),
        ("OPENQASM 3.0;\nconst int n = 100000;\nqubit[n] q;\nfoo q[0];", "line 4: undefined symbol: foo"),
        (HEADER + "uint n = " + "(" * 20_000 + "1" + ")" * 20_000 + ";", "overflowed the compiler's stack"),
        (HEADER + "uint n = 1;\nqubit[2] q;\nbit[2] c;\nc[0] = measure q[n];", "Measure each bit that it declares"),
        (HEADER + 'uint n = 1;\nbit[2] c = "01";', "line 4: a string of bits is not taken"),
        (HEADER + "uint[2] n = 1;\nbit[2] c = n;", "line 4: a number is not taken as a register"),
        (
            HEADER + "qubit[2] q;\nbit[2] c = measure q;\nbit[2] d = c & c;",
            "line 5: a number is not taken as a register",
        ),
        (HEADER + "qubit[2] q;\nbit[2] c = measure q;\nif (c[0] == 1) x q[0];", "profile Base.*an Adaptive profile"),
        ('OPENQASM 2.0;\ninclude "hqslib1.inc";\nqreg q[1];\nU1q(1) q[0];', "line 4 .*'U1q' takes 2 parameters"),
        ("OPENQASM 2.0;\nqreg q[1];\nh q[0];\nfoo q[0];", "line 4 .*'foo' is not defined"),
    ],
)
def test_what_is_not_taken_is_refused_with_its_line_and_nothing_is_printed(
    text: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=message):
        to_circuit(text, "Base")
    assert capfd.readouterr() == ("", "")
