"""Q# programs and Cirq circuits in sessions, through the unmodified SDK."""

from __future__ import annotations

from typing import Any

import pytest
from qdk import qsharp

from tests.conftest import Emulator

# Ry by 2.498… makes a qubit 1 in 9 of 10 shots
ASYMMETRIC = """
operation Asymmetric() : (Result, Result[]) {
    use qubits = Qubit[3];
    X(qubits[1]);
    Ry(2.498091544796509, qubits[2]);
    (MResetZ(qubits[0]), [MResetZ(qubits[1]), MResetZ(qubits[2])])
}
"""
TARGETS = ("ionq.simulator", pytest.param("rigetti.sim.qvm", marks=pytest.mark.slow), "quantinuum.sim.h2-1e")
KEYS = ("low", "middle", "high")


def compile_qsharp(source: str, name: str, profile: Any) -> Any:
    qsharp.init(target_profile=profile)
    qsharp.eval(source)
    return qsharp.compile(f"{name}()")


@pytest.mark.parametrize("target", TARGETS)
def test_a_q_sharp_program_gives_its_own_output_in_a_session(emulator: Emulator, target: str) -> None:
    noisy = target.startswith("quantinuum.")
    profile = qsharp.TargetProfile.Adaptive_RI if noisy else qsharp.TargetProfile.Base
    program = compile_qsharp(ASYMMETRIC, "Asymmetric", profile)
    workspace = emulator.workspace()
    target_client = workspace.get_targets(target)
    with target_client.open_session(name="Q#") as session:
        job = target_client.submit(program, "asymmetric", shots=100)
        histogram = {key: entry["count"] for key, entry in job.get_results_histogram().items()}
    assert sum(histogram.values()) == 100
    ones, zeros = histogram["(0, [1, 1])"], histogram.get("(0, [1, 0])", 0)
    if target == "ionq.simulator":
        assert (ones, zeros) == (90, 10)
    # drawn: five standard deviations of 100 shots, 5·sqrt(100·0.9·0.1) = 15; noise strikes 0.5 of 100 on average
    assert abs(ones - 90) <= 15 + 8 * noisy
    assert ones + zeros >= 100 - 8 * noisy
    session.refresh()
    assert session.details.status == "Succeeded"
    assert [item.id for item in workspace.list_session_jobs(session.id)] == [job.id]


# counts, branches on counts, xor of results, and outputs of all types; each qubit is 0 or 1 with the same chance
ORDINARY = """
operation Counted() : Int {
    use qubits = Qubit[3];
    mutable ones = 0;
    for qubit in qubits { H(qubit); if MResetZ(qubit) == One { set ones += 1; } }
    return ones;
}
operation BranchOnCount() : (Int, Result) {
    use target = Qubit();
    let ones = Counted();
    if ones >= 2 { X(target); }
    return (ones, MResetZ(target));
}
operation Xor() : Bool {
    use (a, b) = (Qubit(), Qubit());
    H(a);
    CNOT(a, b);
    X(b);
    return (MResetZ(a) == One) != (MResetZ(b) == One);
}
operation Mixed() : (Int, Bool, Result[], (Int, Int[])) {
    use (a, b) = (Qubit(), Qubit());
    H(a);
    let (first, second) = (MResetZ(a), MResetZ(b));
    mutable number = 7;
    if first == One { set number = -3; }
    return (number, first == One, [first, second], (number * 2, [number, number + 1]));
}
"""
UNTIL_ONE = """
operation UntilOne() : Int {
    use qubit = Qubit();
    mutable tries = 0;
    repeat { H(qubit); set tries += 1; } until MResetZ(qubit) == One;
    return tries;
}
"""


def test_ordinary_q_sharp_programs_run_on_a_target_with_the_adaptive_profile(emulator: Emulator) -> None:
    target_client = emulator.workspace().get_targets("quantinuum.sim.h2-1e")
    options = {"shots": 400, "input_params": {"error-model": False}}
    jobs = {
        name: target_client.submit(compile_qsharp(ORDINARY, name, qsharp.TargetProfile.Adaptive_RI), name, **options)
        for name in ("BranchOnCount", "Xor", "Mixed")
    }
    histograms = {name: job.get_results_histogram() for name, job in jobs.items()}
    counts = {name: {key: row["count"] for key, row in rows.items()} for name, rows in histograms.items()}
    # five standard deviations of 400 shots: 5·sqrt(400·1/8·7/8) = 33, 5·sqrt(400·3/8·5/8) = 48, 5·sqrt(100) = 50
    assert set(counts["BranchOnCount"]) == {"(0, 0)", "(1, 0)", "(2, 1)", "(3, 1)"}
    assert abs(counts["BranchOnCount"]["(3, 1)"] - 50) <= 33
    assert abs(counts["BranchOnCount"]["(1, 0)"] - 150) <= 48
    assert counts["Xor"] == {"true": 400}
    assert set(counts["Mixed"]) == {
        "(7, false, [0, 0], (14, [7, 8]))",
        "(-3, true, [1, 0], (-6, [-3, -2]))",
    }
    assert abs(counts["Mixed"]["(7, false, [0, 0], (14, [7, 8]))"] - 200) <= 50
    # the SDK reads the values with their types
    assert histograms["Xor"]["true"]["outcome"] is True
    shots = jobs["Mixed"].get_results_shots()
    assert len(shots) == 400
    assert set(map(repr, shots)) == {"(7, False, [0, 0], (14, [7, 8]))", "(-3, True, [1, 0], (-6, [-3, -2]))"}


def test_a_loop_of_unknown_length_needs_a_wider_profile(emulator: Emulator) -> None:
    program = compile_qsharp(UNTIL_ONE, "UntilOne", qsharp.TargetProfile.Adaptive)
    job = emulator.workspace().get_targets("quantinuum.sim.h2-1e").submit(program, "loop", shots=10)
    job.wait_until_completed()
    assert job.details.error_data.code == "QIRPreProcessingFailed"
    assert "no loops" in job.details.error_data.message


@pytest.mark.parametrize("target", TARGETS[:2])
def test_a_program_that_branches_on_measurements_fails_on_a_target_with_the_base_profile(
    emulator: Emulator, target: str
) -> None:
    program = compile_qsharp(ORDINARY, "BranchOnCount", qsharp.TargetProfile.Adaptive_RI)
    job = emulator.workspace().get_targets(target).submit(program, "branching", shots=10)
    job.wait_until_completed()
    assert job.details.status == "Failed"
    assert job.details.error_data.code == "QIRPreProcessingFailed"
    assert "base profile" in job.details.error_data.message


@pytest.mark.parametrize("target", TARGETS)
def test_a_cirq_circuit_runs_in_a_session_and_each_measurement_key_has_its_bits(
    emulator: Emulator, target: str
) -> None:
    cirq = pytest.importorskip("cirq", reason="azure-quantum[cirq] is not installed")
    from azure.quantum.cirq import AzureQuantumService
    from azure.quantum.cirq.job import Job

    workspace = emulator.workspace()
    service = AzureQuantumService(workspace)
    low, middle, high = cirq.LineQubit.range(3)
    circuit = cirq.Circuit(
        cirq.X(middle),
        cirq.ry(2.498091544796509).on(low),
        # one qubit per key: for several, the SDK reads Quantinuum's strings from the wrong end
        *(cirq.measure(qubit, key=key) for qubit, key in ((low, "low"), (middle, "middle"), (high, "high"))),
    )
    target_client = service.get_target(name=target)
    with target_client.open_session(name="Cirq") as session:
        job = target_client.submit(program=circuit, name="asymmetric", repetitions=100)
        # for IonQ it is a job of Cirq's, for the others of the SDK
        result = job.results(param_resolver=cirq.ParamResolver({})) if isinstance(job, Job) else job.results()
    if not isinstance(result, cirq.Result):
        result = target_client._to_cirq_result(result=result, param_resolver=cirq.ParamResolver({}), seed=7)
    assert {key: bits.shape for key, bits in result.measurements.items()} == dict.fromkeys(KEYS, (100, 1))
    ones = {key: int(result.measurements[key].sum()) for key in KEYS}
    noise = 8 if target.startswith("quantinuum.") else 0
    assert ones["middle"] >= 100 - noise
    assert ones["high"] <= noise
    # drawn, on ionq.simulator by the client itself: five standard deviations, 5·sqrt(100·0.9·0.1) = 15, and noise
    assert abs(ones["low"] - 90) <= 15 + noise
    assert len(workspace.list_session_jobs(session.id)) == 1
