"""`session.run` with programs of all languages: one order of bits, one journal, values of Q#, and bounds of prices."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from azure.quantum import Workspace
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr

import hybridloop as hl
from hybridloop.budget.caps import Caps
from hybridloop.compiler.languages.from_pennylane import circuit_from_pennylane
from hybridloop.errors import InputError, ReplayDiverged
from hybridloop.journal import Journal
from hybridloop.journal.held_run import hold_run
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import find_target
from tests.compiler.languages.program_helpers import COUNTED, COUNTING
from tests.conftest import Emulator
from tests.session_helpers import open_run_session
from tests.tasks.conftest import add_run

SHOTS = 200
ANGLE = 2.498091544796509  # its qubit is 1 in 9 of 10 shots

QSHARP = f"""
operation Tilted(angle : Double) : Result[] {{
    use q = Qubit[3];
    X(q[0]);
    Ry(angle, q[1]);
    CNOT(q[1], q[2]);
    MResetEachZ(q)
}}
operation Main() : Result[] {{ Tilted({ANGLE}) }}
"""
OPENQASM_2 = f"""OPENQASM 2.0;
include "qelib1.inc";
qreg q[3];
creg c[3];
x q[0];
ry({ANGLE}) q[1];
cx q[1],q[2];
measure q -> c;
"""
OPENQASM_3 = f"""OPENQASM 3.0;
include "stdgates.inc";
qubit[3] q;
bit[3] c;
x q[0];
ry({ANGLE}) q[1];
cx q[1], q[2];
c = measure q;
"""
HEADER_2, HEADER_3 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n', 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
TILTED = f"ry({ANGLE}) q[0];"
BRANCH_2 = f"qreg q[2]; creg c[2]; creg d[1]; {TILTED} measure q[0] -> c[0]; measure q[1] -> c[1];"
ROTATED = "qreg q[2]; creg c[2]; {} measure q -> c;"
SAME_PROGRAMS = {  # by what they use: a program that was refused or read differently, and the same in OpenQASM 2
    "uint": (
        f"{HEADER_3}uint[4] n = 1; qubit[3] q; for uint i in [0:n] {{ ry({ANGLE}) q[i]; }} bit[3] c = measure q;",
        f"{HEADER_2}qreg q[3]; creg c[3]; ry({ANGLE}) q[0]; ry({ANGLE}) q[1]; measure q -> c;",
    ),
    "const": (
        f"{HEADER_3}const uint n = 3; const float a = {ANGLE} / 2; qubit[n] q; bit[n] c;\n"
        "ry(2 * a) q[n - 2]; c = measure q;",
        f"{HEADER_2}qreg q[3]; creg c[3]; ry({ANGLE}) q[1]; measure q -> c;",
    ),
    "if and else on a bit": (
        f"{HEADER_3}qubit[2] q; bit[2] c; {TILTED} c[0] = measure q[0];\n"
        "if (c[0] == 1) { x q[1]; } else { h q[1]; } c[1] = measure q[1];",
        f"{HEADER_2}qreg q[2]; creg c[1]; creg d[1]; {TILTED} measure q[0] -> c[0]; "
        "if (c == 1) x q[1]; if (c == 0) h q[1]; measure q[1] -> d[0];",
    ),
    "if and else on a register, with uint": (
        f"{HEADER_3}uint one = 1; qubit[2] q; {TILTED} bit[2] c = measure q;\n"
        "if (c == one) { x q[1]; } else { h q[1]; }\nbit d = measure q[1];",
        f"{HEADER_2}{BRANCH_2} if (c == 1) x q[1]; if (c == 0) h q[1]; measure q[1] -> d[0];",
    ),
    "nothing included": (
        f"OPENQASM 3.0; qubit[2] q; bit[2] c; {TILTED} cx q[0], q[1]; c = measure q;",
        f"{HEADER_2}qreg q[2]; creg c[2]; {TILTED} cx q[0], q[1]; measure q -> c;",
    ),
    "nothing included in version 2": (
        f"OPENQASM 2.0; qreg q[2]; creg c[2]; {TILTED} cx q[0], q[1]; measure q -> c;",
        f"{HEADER_2}qreg q[2]; creg c[2]; {TILTED} cx q[0], q[1]; measure q -> c;",
    ),
    "Quantinuum's library": (
        'OPENQASM 2.0; include "hqslib1.inc";'
        + ROTATED.format(f"U1q({ANGLE}, 0.3) q[0]; h q[1]; ZZ q[0], q[1]; h q[1];"),
        HEADER_2 + ROTATED.format(f"ry({ANGLE}) q[0]; h q[1]; rzz(pi/2) q[0], q[1]; h q[1];"),
    ),
}
# an X on the last qubit where the first, measured before, is 1
BRANCHING = """
operation Main() : (Result, Result[]) {
    use q = Qubit[3];
    X(q[0]);
    let first = MResetZ(q[0]);
    if first == One { X(q[2]); }
    (first, [MResetZ(q[1]), MResetZ(q[2])])
}
"""


def test_a_program_of_pennylane_that_is_broadcast_is_named_so() -> None:
    import pennylane as qml

    @qml.qnode(qml.device("default.qubit", wires=1))  # type: ignore[untyped-decorator]  # PennyLane has no types
    def node(angle: Any) -> Any:
        qml.RX(angle, wires=0)
        return qml.counts()

    with pytest.raises(InputError, match=r"node is broadcast over 2 values of an angle.*Give a list"):
        circuit_from_pennylane(functools.partial(node, np.array([0.1, 0.2])))


def all_languages(tmp_path: Path) -> dict[str, Any]:
    """Return one circuit in all languages."""
    import cirq
    import pennylane as qml
    from qdk import Context, TargetProfile

    qiskit = QuantumCircuit(3, 3)
    qiskit.x(0)
    qiskit.ry(ANGLE, 1)
    qiskit.cx(1, 2)
    qiskit.measure(range(3), range(3))

    first, second, third = cirq.LineQubit.range(3)
    gates = cirq.X(first), cirq.ry(ANGLE).on(second), cirq.CNOT(second, third)

    @qml.qnode(qml.device("default.qubit", wires=3))  # type: ignore[untyped-decorator]  # PennyLane has no types
    def node(angle: float) -> Any:
        qml.X(0)
        qml.RY(angle, wires=1)
        qml.CNOT(wires=[1, 2])
        return qml.counts()

    context = Context(target_profile=TargetProfile.Base)
    context.eval(QSHARP)
    tilted = context.code.Tilted
    compiled = context.compile(tilted, ANGLE)
    vars(context.code).clear()  # no circle: the interpreter must be dropped in the thread that made it
    path = tmp_path / "program.qs"
    path.write_text(QSHARP)
    return {
        "Qiskit": qiskit,
        "Cirq": cirq.Circuit(*gates, cirq.measure(first, second, third, key="m")),
        "PennyLane": functools.partial(node, ANGLE),
        "OpenQASM 2": OPENQASM_2,
        "OpenQASM 3": OPENQASM_3,
        "Q#": hl.qsharp(QSHARP, f"Tilted({ANGLE})"),
        "Q# file": path,
        "Q# callable": functools.partial(tilted, ANGLE),
        "compiled Q#": compiled,
        "QIR": str(compiled),
    }


@pytest.mark.parametrize("target", ["rigetti.sim.qvm", pytest.param("quantinuum.sim.h2-1e", marks=pytest.mark.slow)])
def test_one_circuit_in_all_languages_gives_the_same_counts_in_one_session(
    workspace: Workspace, tmp_path: Path, target: str
) -> None:
    programs = all_languages(tmp_path)
    with open_run_session(workspace, target, seed=1) as session:
        jobs = session.run(list(programs.values()), shots=SHOTS, seed=7)
        other = session.run(programs["Cirq"], shots=SHOTS, seed=7)
        by_place = session.run([programs["Cirq"], programs["QIR"]], shots=SHOTS)
    counts = {language: job.counts for language, job in zip(programs, jobs, strict=True)}
    expected = counts["Qiskit"]
    assert counts == dict.fromkeys(programs, expected)
    assert other.counts == expected
    assert by_place[0].counts != by_place[1].counts  # each by its own place
    # the first qubit is 1, and the others are 1 together in 9 of 10 shots: five standard deviations are 21; noise: 2 %
    assert abs(expected["111"] - 180) <= 21 + 4 * (target != "rigetti.sim.qvm")
    assert expected["111"] + expected["001"] >= SHOTS - 4 * (target != "rigetti.sim.qvm")
    values = jobs[5].values
    assert values == {tuple(int(bit) for bit in reversed(bits)): number for bits, number in expected.items()}
    with pytest.raises(InputError, match=r"is a circuit.*job\.counts"):
        assert jobs[0].values


def test_values_of_q_sharp_are_read_packed_into_the_journal_and_replayed(
    workspace: Workspace, journal: Journal, emulator: Emulator
) -> None:
    program, target = hl.qsharp(COUNTING, "Count()"), "quantinuum.sim.h2-1e"
    uid = add_run(journal, target=target, seed=5)
    emulator.admin("faults", {"rules": [{"fault": "job-fails", "code": "TransientFailure", "times": 1}]})
    with hold_run(journal, uid) as run, open_run_session(workspace, target, run=run) as session:
        job = session.run(program, shots=50)
        counts, values = job.counts, job.values
        assert session.retried == 1
        listed = session.jobs()[-1]
        assert listed.counts == {bits.replace(" ", ""): number for bits, number in counts.items()}
    # noise strikes 1 of 100 shots or fewer: 10 of 50 have other values once in 10^7 runs
    assert values[COUNTED] >= 40
    assert sum(values.values()) == sum(counts.values()) == 50
    most = max(counts, key=counts.__getitem__)  # the first value of the tuple is the last register
    assert most == f"011 1 1 {2**64 - 3:064b}"
    assert (job.circuit.num_qubits, job.circuit.num_clbits) == (3, 69)
    with hold_run(journal, uid) as run, open_run_session(workspace, target, run=run) as session:
        again = session.run(program, shots=50)
        assert (again.counts, again.values, again.id) == (counts, values, job.id)
        assert session.replayed == 1
    with hold_run(journal, uid) as run, open_run_session(workspace, target, run=run) as session:
        with pytest.raises(ReplayDiverged, match="other gates"):
            session.run(hl.qsharp(COUNTING.replace("- 5", "- 4"), "Count()"), shots=50)


def test_an_interrupted_run_resumes_a_program_with_the_same_bytes_and_samples(
    workspace: Workspace, journal: Journal, emulator: Emulator
) -> None:
    program, target = hl.qsharp(BRANCHING), "quantinuum.sim.h2-1e"
    with open_run_session(workspace, target, seed=5) as session:
        unbroken = session.run(program, shots=500, seed=7).counts
    uid = add_run(journal, target=target, seed=5)
    emulator.admin("faults", {"rules": [{"fault": "job-fails", "code": "TransientFailure", "times": 1}]})

    def interrupted() -> None:
        with hold_run(journal, uid) as run, open_run_session(workspace, target, run=run) as session:
            session.run(program, shots=500, seed=7)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with hold_run(journal, uid) as run, open_run_session(workspace, target, run=run) as session:
        assert session.run(program, shots=500, seed=7).counts == unbroken
    assert max(unbroken, key=unbroken.__getitem__) == "10 1"


def test_shots_above_the_targets_limit_are_parted_into_jobs_with_different_samples(workspace: Workspace) -> None:
    source = """operation Main() : (Int, Result) {
        use q = Qubit[2];
        Ry(2.498091544796509, q[0]);
        let first = MResetZ(q[0]);
        (first == One ? 3 | -3, MResetZ(q[1]))
    }"""
    few = replace(find_target("quantinuum.sim.h2-1e"), max_shots=150)
    with open_run_session(workspace, few) as session:
        job = session.run(hl.qsharp(source), shots=300, seed=7)
        halves = session.run(hl.qsharp(source), shots=150, seed=7)
        assert len(job.round.jobs_of(0)) == 2
        assert sum(job.values.values()) == 300
        assert job.values[3, 0] > halves.values[3, 0]
        assert job.values != {value: 2 * number for value, number in halves.values.items()}


def test_the_price_of_a_program_counts_each_branch_and_is_what_the_service_bills_at_most(workspace: Workspace) -> None:
    with open_run_session(
        workspace, "quantinuum.sim.h2-1e", SessionOptions(caps=Caps(max_cost={"eHQC": 20.0}))
    ) as session:
        assert session.run(hl.qsharp(BRANCHING), shots=500).counts
        estimated, billed = session.meter.estimated["eHQC"], session.cost["eHQC"]
    # 5 + 500·(2 gates on one qubit + 5·(3 prepared, 3 measured, 3 reset))/5000
    assert estimated == pytest.approx(9.7)
    assert 5.0 < billed <= estimated


@pytest.mark.parametrize(
    ("program", "target", "message"),
    [
        (hl.qsharp(COUNTING, "Count()"), "rigetti.sim.qvm", "line 7: cannot use a dynamic bool.*profile Base"),
        (OPENQASM_3.replace("[3]", "[60]"), "quantinuum.sim.h2-1e", "60 qubits"),
        ([OPENQASM_2, "no program"], "rigetti.sim.qvm", "'no program' is no program"),
    ],
    ids=["profile", "qubits", "list"],
)
def test_a_program_that_the_target_does_not_run_is_refused_before_anything_is_submitted(
    workspace: Workspace, program: Any, target: str, message: str
) -> None:
    with open_run_session(workspace, target) as session:
        with pytest.raises(InputError, match=message):
            session.run(program)
        assert session.num_jobs == 0


@pytest.mark.filterwarnings("ignore::hybridloop.algorithms.circuits.openqasm_includes.StandardGatesAdded")
def test_openqasm_of_each_kind_gives_the_distribution_of_the_same_program_in_version_2(workspace: Workspace) -> None:
    options = SessionOptions(provider_options={"error-model": False})
    programs = [program for pair in SAME_PROGRAMS.values() for program in pair]
    with open_run_session(workspace, "quantinuum.sim.h2-1e", options, seed=1) as session:
        counts = [
            {bits.replace(" ", ""): number for bits, number in job.counts.items()}
            for job in session.run(programs, shots=SHOTS, seed=7)
        ]
    for name, given, expected in zip(SAME_PROGRAMS, counts[::2], counts[1::2], strict=True):
        for bits in {*given, *expected}:
            # five standard deviations of a difference of two counts: 5·sqrt(2·200·1/4) = 50
            assert abs(given.get(bits, 0) - expected.get(bits, 0)) <= 50, (name, given, expected)


@pytest.mark.parametrize(("value", "flips"), [(1, True), (2, False), (5, False)])
def test_a_condition_on_a_register_has_its_first_bit_lowest(workspace: Workspace, value: int, *, flips: bool) -> None:
    qiskit = QuantumCircuit(QuantumRegister(3, "q"), ClassicalRegister(2, "c"), ClassicalRegister(1, "d"))
    qiskit.x(0)
    qiskit.measure([0, 1], [0, 1])
    with qiskit.if_test(expr.equal(qiskit.cregs[0], value) if value < 4 else (qiskit.cregs[0], value)):
        qiskit.x(2)
    qiskit.measure(2, 2)
    measured = "qreg q[3]; creg c[2]; creg d[1]; x q[0]; measure q[0] -> c[0]; measure q[1] -> c[1];"
    version_2 = f"{HEADER_2}{measured} if (c == {value}) x q[2]; measure q[2] -> d[0];"
    version_3 = (
        f"{HEADER_3}uint n = {value}; qubit[3] q; bit[2] c; x q[0]; c = measure q[0:1];\n"
        "if (n == c) x q[2];\nbit[1] d; d[0] = measure q[2];"
    )
    with open_run_session(
        workspace, "quantinuum.sim.h2-1e", SessionOptions(provider_options={"error-model": False})
    ) as session:
        jobs = session.run([qiskit, version_2, version_3], shots=5)
    assert [job.counts for job in jobs] == [{f"{int(flips)} 01": 5}] * 3


@pytest.mark.parametrize(
    ("body", "numbers"),
    [
        ("uint[4] n = 3; qubit[2] q; bit[2] c; for uint i in [1:n] { rx(0.4) q[0]; } cx q[0], q[1]; c = measure q;", 1),
        (
            f"qubit[2] q; bit[2] c; {TILTED} c[0] = measure q[0]; "
            "if (c[0] == 1) { ry(0.6) q[1]; } else { h q[1]; } c[1] = measure q[1];",
            0,
        ),
        (f"qubit[1] q; bit a = 0; {TILTED} a = measure q[0]; if (a == 0) {{ h q[0]; }} bit b = measure q[0];", 0),
    ],
)
def test_compiled_openqasm_gives_the_distribution_that_qdk_itself_gives(
    workspace: Workspace, body: str, numbers: int
) -> None:
    from qdk.openqasm import OutputSemantics, run

    shots = run(HEADER_3 + body, SHOTS, output_semantics=OutputSemantics.OpenQasm, as_bitstring=True, seed=2)
    values = [shot[numbers:] if isinstance(shot, tuple) else (shot,) for shot in shots]
    expected = Counter("".join(map(str, value))[::-1] for value in values)
    options = SessionOptions(provider_options={"error-model": False})
    with open_run_session(workspace, "quantinuum.sim.h2-1e", options) as session:
        counts = session.run(HEADER_3 + body, shots=SHOTS, seed=7).counts
    given = Counter({bits.replace(" ", ""): number for bits, number in counts.items()})
    # five standard deviations of a difference of two counts: 5·sqrt(2·200·1/4) = 50
    assert all(abs(given[bits] - expected[bits]) <= 50 for bits in {*given, *expected}), (given, expected)
