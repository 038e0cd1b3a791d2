"""Echo and pulse targets, and answers that the SDK's own tests expect, through the unmodified SDK."""

from __future__ import annotations

import json
from typing import Any

import pytest
from azure.quantum import Job, Workspace
from azure.quantum.target.pasqal import Pasqal, PasqalTarget
from azure.quantum.target.quantinuum import Quantinuum
from azure.quantum.target.rigetti import Rigetti
from qdk import qsharp

from tests.conftest import Emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, sdk_job

ECHO_PROVIDER = "Microsoft.Test.FirstParty"
PAIR = """
operation Pair() : (Result, Int) {
    use (a, b) = (Qubit(), Qubit());
    X(a);
    CNOT(a, b);
    mutable ones = 0;
    if MResetZ(b) == One { set ones += 3; }
    return (MResetZ(a), ones);
}
"""
BELL_QUIL = b"DECLARE ro BIT[2]\nX 0\nCNOT 0 1\nMEASURE 0 ro[0]\nMEASURE 1 ro[1]\n"
BELL_IONQ = {"qubits": 2, "circuit": [{"gate": "h", "target": 0}, {"gate": "cnot", "control": 0, "target": 1}]}


def ended(job: Job) -> Job:
    job.wait_until_completed()
    return job


def failure(job: Job) -> str:
    assert ended(job).details.status == "Failed"
    return f"{job.details.error_data.code}: {job.details.error_data.message}"


@pytest.fixture(scope="module")
def workspace(emulator: Emulator) -> Workspace:
    return emulator.workspace()


def test_echo_quantinuum_runs_q_sharp_in_a_session_and_answers_as_quantinuum(workspace: Workspace) -> None:
    qsharp.init(target_profile=qsharp.TargetProfile.Adaptive_RI)
    qsharp.eval(PAIR)
    program = qsharp.compile("Pair()")
    target = Quantinuum(workspace=workspace, name="echo-quantinuum", provider_id=ECHO_PROVIDER)
    with target.open_session(job_failure_policy="Continue") as session:
        job = target.submit(program, name="pair", shots=3, output_data_format="honeywell.qir.v1")
        assert json.loads(ended(job).download_data(job.details.output_data_uri)) == {"c0": ["1"] * 3, "c1": ["3"] * 3}
        assert "/rawOutputData" in job.details.output_data_uri
        other = target.submit(program, name="other", shots=3, output_data_format="microsoft.quantum-results.v2")
        assert other.get_results() == {"(1, 3)": 1.0}
        unknown = target.submit(program, name="unknown", shots=3, output_data_format="invalid_output_format")
        assert failure(unknown).startswith("CannotTranslateOutputData: ")
    openqasm = sdk_job(
        workspace, b"OPENQASM 2.0;", "echo-quantinuum", provider_id=ECHO_PROVIDER,
        input_data_format="honeywell.openqasm.v1", output_data_format="honeywell.quantum-results.v1",
    )  # fmt: skip
    assert "qir.v1" in failure(openqasm)
    session.refresh()
    assert session.details.provider_id == ECHO_PROVIDER.lower()


@pytest.mark.parametrize("target", ["rigetti.sim.qvm", "ionq.simulator", "quantinuum.sim.h2-1sc"])
def test_qir_with_the_first_version_of_microsofts_results_is_read_by_the_sdk(workspace: Workspace, target: str) -> None:
    """As a public script sends it: the shots and a single entry point in the parameters."""
    job = Job.from_input_data(
        workspace=workspace,
        name="qir-demo",
        provider_id=target.partition(".")[0],
        target=target,
        input_data=ASYMMETRIC_QIR,
        input_data_format="qir.v1",
        output_data_format="microsoft.quantum-results.v1",
        content_type="qir.v1",
        input_params={"shots": 100, "entryPoint": "ENTRYPOINT__main", "arguments": []},
    )
    shares = ended(job).get_results()
    assert set(shares) == ({"[0, 0, 0]"} if target.endswith("sc") else {"[0, 1, 0]", "[0, 1, 1]"})
    assert sum(shares.values()) == pytest.approx(1.0)
    assert "/outputData" in job.details.output_data_uri


def test_a_loop_of_unknown_length_of_q_sharp_runs_on_helios_where_it_was_compiled_for_it(workspace: Workspace) -> None:
    source = """
        operation Main() : Int {
            use q = Qubit();
            mutable n = 0;
            repeat {
                H(q);
                set n += 1;
            } until MResetZ(q) == One;
            return n;
        }"""
    qsharp.init(target_profile=qsharp.TargetProfile.Adaptive)
    qsharp.eval(source)
    loops = Quantinuum(workspace=workspace, name="quantinuum.sim.helios-1e").submit(
        qsharp.compile("Main()"), name="loops", shots=400, output_data_format="microsoft.quantum-results.v2"
    )
    shares = ended(loops).get_results()
    assert abs(shares["1"] - 0.5) < 5 * 0.025
    assert min(map(int, shares)) == 1 < max(map(int, shares))
    qsharp.init(target_profile=qsharp.TargetProfile.Adaptive_RIF)
    with pytest.raises(qsharp.QSharpError, match="loop with a dynamic condition"):
        qsharp.eval(source)


@pytest.mark.claim("the SDK's own tests")
@pytest.mark.parametrize(
    ("target", "more", "data", "result"),
    [
        ("echo-ionq", {"input_data_format": "ionq.circuit.v1", "output_data_format": "ionq.quantum-results.v1"},
         json.dumps(BELL_IONQ).encode(), {"histogram": {"0": 0.5, "3": 0.5}}),
        ("echo-ionq", {"output_data_format": "ionq.quantum-results.v1", "input_params": {"shots": 10}}, ASYMMETRIC_QIR,
         {"histogram": {"2": 0.1, "3": 0.9}}),
        ("echo-rigetti", {"input_data_format": "rigetti.quil.v1", "output_data_format": "rigetti.quil-results.v1",
                          "input_params": {"shots": 2}}, BELL_QUIL, {"ro": [[1, 1], [1, 1]]}),
        ("echo-rigetti", {"output_data_format": "rigetti.quil-results.v1", "input_params": {"shots": 2}},
         ASYMMETRIC_QIR.replace(b"2.498091544796509", b"3.141592653589793"), {"ro": [[1, 1, 0], [1, 1, 0]]}),
    ],
)  # fmt: skip
def test_echo_targets_run_the_program_and_answer_in_the_providers_format(
    workspace: Workspace, target: str, more: dict[str, Any], data: bytes, result: Any
) -> None:
    job = ended(sdk_job(workspace, data, target, provider_id=ECHO_PROVIDER, **more))
    assert json.loads(job.download_data(job.details.output_data_uri)) == result


def test_all_targets_of_pasqal_are_offered_and_their_jobs_fail_in_words(workspace: Workspace) -> None:
    names = [target.value for target in PasqalTarget]
    assert {target.name for target in workspace.get_targets(provider_id="pasqal")} == set(names)
    jobs = [Pasqal(workspace=workspace, name=name).submit("{}", name="pulses", shots=10) for name in names]
    for job in jobs:
        assert "takes pulse sequences, and this service simulates gates alone" in failure(job)


def test_an_unknown_operator_in_quil_is_refused_in_the_words_of_the_qvm(workspace: Workspace) -> None:
    job = Rigetti(workspace=workspace, name="rigetti.sim.qvm").submit("a\n" + BELL_QUIL.decode(), name="quil")
    with pytest.raises(RuntimeError, match="could not be executed because the operator a is not known"):
        job.get_results()
