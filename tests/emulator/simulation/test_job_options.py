"""Options of providers at the service: error rates, stabilizer simulation, optimization levels, native gates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hybridloop.emulator.model.program import MEASURE, RESET, Instruction, JobInputError, OutputList, Program
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.settings import GateCompiler
from hybridloop.emulator.simulation.execute import JobRunner
from hybridloop.emulator.simulation.noise import NOT_SIMULATED, SIMULATED, Noise, noise_models, with_error_params
from hybridloop.emulator.simulation.protocol import SimulationTask, optimization_level
from hybridloop.emulator.simulation.simulator import Simulator
from tests.conftest import Emulator
from tests.emulator.http_helpers import Caller

H2 = "quantinuum.sim.h2-1e"
CEPHEUS = "rigetti.qpu.cepheus-1-108q"
QUIL = {"inputDataFormat": "rigetti.quil.v1", "outputDataFormat": "rigetti.quil-results.v1"}
_QUBIT = "%Qubit* inttoptr (i64 {0} to %Qubit*)"


def qir(*calls: str, measured: int, width: int = 0) -> bytes:
    """Return a program of calls such as `cx 0 1` or `ry=0.3 0`, whose first qubits are measured."""
    lines = []
    for call in calls:
        name, *qubits = call.split()
        name, _, angle = name.partition("=")
        operands = ([f"double {angle}"] if angle else []) + [_QUBIT.format(qubit) for qubit in qubits]
        lines.append(f"call void @__quantum__qis__{name}__body({', '.join(operands)})")
    results = [f"%Result* inttoptr (i64 {bit} to %Result*)" for bit in range(measured)]
    lines += [f"call void @__quantum__qis__m__body({_QUBIT.format(bit)}, {results[bit]})" for bit in range(measured)]
    lines += [f"call void @__quantum__rt__array_record_output(i64 {measured}, i8* null)"]
    lines += [f"call void @__quantum__rt__result_record_output({results[bit]}, i8* null)" for bit in range(measured)]
    facts = f'"entry_point" "qir_profiles"="base_profile" "required_num_qubits"="{width or measured}"'
    body = "\n".join(f"  {line}" for line in lines)
    return f"define i64 @main() #0 {{\nblock:\n{body}\n  ret i64 0\n}}\nattributes #0 = {{ {facts} }}\n".encode()


FOLDED = qir("h 0", *["cx 0 1"] * 9, measured=2)
BELL = qir("h 0", "cx 0 1", measured=2)


class Jobs:
    """Jobs of one workspace, by their inputParams."""

    def __init__(self, emulator: Emulator, target: str) -> None:
        self.caller = Caller(emulator)
        self.target = target

    def end(self, data: bytes, shots: int = 1000, more: dict[str, Any] = {}, **params: Any) -> Any:  # noqa: B006
        """Return the ended job; names of parameters have a hyphen for each underscore."""
        given = {name.replace("_", "-"): value for name, value in params.items()}
        job = self.caller.submit(data, target=self.target, inputParams={"shots": shots, **given}, **more)
        return self.caller.ended(job)

    def counts(self, data: bytes, shots: int = 1000, **params: Any) -> dict[str, int]:
        job = self.end(data, shots, **params)
        assert job["status"] == "Succeeded", job["errorData"]
        histogram = self.caller.result(job["id"])["Results"][0]["Histogram"]
        return {"".join(map(str, row["Outcome"])): row["Count"] for row in histogram}

    def credits(self, data: bytes, **params: Any) -> float:
        (event,) = self.end(data, **params)["costEstimate"]["events"]
        return float(event["amountBilled"])

    def refusal(self, data: bytes, **params: Any) -> str:
        job = self.end(data, **params)
        assert job["status"] == "Failed"
        return str(job["errorData"]["message"])


def test_error_params_replace_rates_and_scale_them() -> None:
    noise = noise_models()["quantinuum-h2"]
    assert with_error_params(noise, {}).one_qubit == pytest.approx(noise.one_qubit)
    replaced = with_error_params(noise, {"p1": 0.03, "p2": 0.15, "p_meas": [0.01, 0.02], "p_init": 0.05})
    assert replaced == Noise(pytest.approx(0.04), pytest.approx(0.16), 0.01, 0.02, 0.05)  # type: ignore[arg-type]
    scaled = with_error_params(replaced, {"scale": 2, "p2_scale": 0.5, "meas_scale": 0, "init_scale": 3})
    expected = (0.08, 0.16, 0.0, 0.0, 0.3)
    flips = (scaled.one_qubit, scaled.two_qubit, scaled.readout, scaled.readout_of_one, scaled.preparation)
    assert flips == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"p3": 0.1}, "'p3' is unknown; it takes p1, p2, p_init, p_meas, init_scale, meas_scale"),
        ({"p_crosstalk_meas": 0.1}, "'p_crosstalk_meas' is not simulated by this service"),
        ({"p1": 1.5}, "'p1' must be a probability, not 1.5"),
        ({"p1": "small"}, "'p1' must be a probability, not 'small'"),
        ({"p_meas": [0.1]}, "`p_meas` must be one probability, or those of a 0 and of a 1"),
        ({"scale": -1}, "'scale' must be a number from 0 on"),
        (0.1, "must be an object"),
    ],
)
def test_unknown_and_invalid_error_params_are_refused(rates: object, message: str) -> None:
    assert not NOT_SIMULATED & set(SIMULATED)
    with pytest.raises(JobInputError, match=message.replace("[", r"\[")):
        with_error_params(noise_models()["quantinuum-h2"], rates)


@pytest.mark.parametrize("resets", [0, 1])
def test_preparations_and_measurements_flip(resets: int) -> None:
    noise = Noise(0.0, 0.0, 0.0, 0.25, preparation=0.1)
    reset = [Instruction("x", (0,)), Instruction(RESET, (0,))] * resets
    program = Program((*reset, Instruction("id", (0,)), Instruction(MEASURE, (0,), result=0)), OutputList(()), 1, 1)
    outcomes = Simulator().run(program, shots=40_000, seed=1, exact=False, noise=noise)
    ones = dict(zip(outcomes.outcomes, outcomes.counts, strict=True))[1] / 40_000
    # one preparation counts, the last; five standard deviations: 5·sqrt(0.075·0.925/4e4) = 0.0066
    assert ones == pytest.approx(0.1 * 0.75, abs=0.0066)


def test_error_params_and_the_error_model_change_a_jobs_counts(emulator: Emulator) -> None:
    jobs = Jobs(emulator, H2)
    flipped = jobs.counts(BELL, error_params={"scale": 0, "p_meas": 1})
    assert set(flipped) == {"00", "11"}  # both bits of each shot
    worse = jobs.counts(BELL, error_params={"p2": 0.5})
    # strength 0.5·16/15 leaves 01 and 10 with half of it; five standard deviations: 5·sqrt(.2/1000)
    assert (worse["01"] + worse["10"]) / 1000 == pytest.approx(0.5 * 8 / 15, abs=5 * np.sqrt(0.2 / 1000))
    clean = jobs.counts(FOLDED, 10_000, error_model=False)
    noisy = jobs.counts(FOLDED, 10_000)
    assert set(clean) == {"00", "11"} < set(noisy)
    assert "p1, p2, p_init" in jobs.refusal(BELL, error_params={"p9": 0.1})
    assert "its error-model is off" in jobs.refusal(BELL, error_params={"p1": 0.1}, error_model=False)
    assert "it is no emulator" in Jobs(emulator, "quantinuum.qpu.h2-1").refusal(BELL, error_params={"p1": 0.1})


def test_the_stabilizer_simulator_takes_56_qubits_and_clifford_gates_alone(emulator: Emulator) -> None:
    jobs = Jobs(emulator, H2)
    wide = qir("h 0", *[f"cx {qubit} {qubit + 1}" for qubit in range(55)], measured=56)
    assert "needs 56 qubits and quantinuum.sim.h2-1e has 32" in jobs.refusal(wide)
    counts = jobs.counts(wide, 20, simulator="stabilizer", error_model=False)
    assert set(counts) <= {"0" * 56, "1" * 56}
    assert len(jobs.counts(wide, 200, simulator="stabilizer")) > 2  # with noise
    turned = qir("ry=0.3 0", measured=1)
    assert "Clifford circuits only, and ry(0.3) is none" in jobs.refusal(turned, simulator="stabilizer")
    assert jobs.counts(turned, simulator="state-vector")
    assert "state-vector or stabilizer, not 'fast'" in jobs.refusal(turned, simulator="fast")
    too_wide = qir("h 0", measured=1, width=57)
    assert "57 qubits and quantinuum.sim.h2-1e has 56 with these options" in jobs.refusal(
        too_wide, simulator="stabilizer"
    )


def test_the_stabilizer_simulator_takes_programs_with_branches(emulator: Emulator) -> None:
    jobs = Jobs(emulator, H2)
    branch = f"""%Result = type opaque
%Qubit = type opaque
define i64 @main() #0 {{
block:
  call void @__quantum__qis__h__body({_QUBIT.format(0)})
  call void @__quantum__qis__mz__body({_QUBIT.format(0)}, %Result* inttoptr (i64 0 to %Result*))
  %r = call i1 @__quantum__qis__read_result__body(%Result* inttoptr (i64 0 to %Result*))
  %s = xor i1 %r, true
  br i1 %s, label %yes, label %on
yes:
  call void @__quantum__qis__x__body({_QUBIT.format(1)})
  br label %on
on:
  call void @__quantum__qis__mz__body({_QUBIT.format(1)}, %Result* inttoptr (i64 1 to %Result*))
  call void @__quantum__rt__array_record_output(i64 2, i8* null)
  call void @__quantum__rt__result_record_output(%Result* inttoptr (i64 0 to %Result*), i8* null)
  call void @__quantum__rt__result_record_output(%Result* inttoptr (i64 1 to %Result*), i8* null)
  ret i64 0
}}
declare void @__quantum__qis__h__body(%Qubit*)
declare void @__quantum__qis__t__body(%Qubit*)
declare void @__quantum__qis__x__body(%Qubit*)
declare void @__quantum__qis__mz__body(%Qubit*, %Result*)
declare i1 @__quantum__qis__read_result__body(%Result*)
declare void @__quantum__rt__array_record_output(i64, i8*)
declare void @__quantum__rt__result_record_output(%Result*, i8*)
attributes #0 = {{ "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="40" }}
"""
    assert "needs 40 qubits and quantinuum.sim.h2-1e has 32" in jobs.refusal(branch.encode())
    assert set(jobs.counts(branch.encode(), 100, simulator="stabilizer", error_model=False)) == {"01", "10"}
    other = branch.replace("call void @__quantum__qis__h__", "call void @__quantum__qis__t__").encode()
    assert "the program has other gates" in jobs.refusal(other, simulator="stabilizer")


def test_an_optimization_level_changes_gates_and_with_them_the_bill(emulator: Emulator) -> None:
    jobs = Jobs(emulator, H2)
    as_sent = jobs.credits(FOLDED)
    # HQC = 5 + C·(N1 + 10·N2 + 5·(preparations + measurements))/5000: 9 gates on two qubits, and 1 of them
    assert as_sent == jobs.credits(FOLDED, **{"tket-opt-level": 0}) == pytest.approx(5 + (1 + 90 + 20) / 5)
    levels = [jobs.credits(FOLDED, **{"tket-opt-level": level}) for level in (1, 2, 3)]
    assert max(levels) < as_sent
    assert min(levels) >= 5 + (10 + 20) / 5
    off = jobs.credits(FOLDED, **{"tket-opt-level": 2, "no-opt": True})
    assert off == as_sent
    assert "must be 0, 1, 2 or 3, not 4" in jobs.refusal(FOLDED, **{"tket-opt-level": 4})
    assert "`no-opt` must be true or false" in jobs.refusal(FOLDED, **{"no-opt": 1})


@pytest.mark.parametrize(
    ("target", "params", "levels"),  # of a service that compiles nothing, unless a job turns it off, and always
    [
        (H2, {}, (0, 2, 2)),
        (H2, {"tket-opt-level": 0}, (0, 0, 2)),
        (H2, {"tket-opt-level": 3}, (3, 3, 2)),
        (H2, {"no-opt": True}, (0, 0, 2)),
        ("rigetti.sim.qvm", {"tket-opt-level": 3}, (0, 2, 2)),
        ("rigetti.sim.qvm", {"skipQuilc": True}, (0, 0, 2)),
        ("rigetti.sim.qvm", {"skipQuilc": False}, (0, 2, 2)),
    ],
)
def test_jobs_choose_if_their_program_is_optimized(
    target: str, params: dict[str, Any], levels: tuple[int, int, int]
) -> None:
    found = load_catalogue().find(target)
    assert found is not None
    assert tuple(optimization_level(compiler, found, params) for compiler in GateCompiler) == levels


def test_without_quilc_the_simulator_runs_a_program_as_it_is() -> None:
    target = load_catalogue().find("rigetti.sim.qvm")
    assert target is not None
    usages = []
    for skips in (False, True):
        params = {"shots": 10, "skipQuilc": skips}
        level = optimization_level(GateCompiler.AS_ASKED, target, params)
        task = SimulationTask(target, "qir.v1", "microsoft.quantum-results.v2", params, 0, "value", level)
        usages.append(JobRunner(Simulator()).run(task, FOLDED)[1].two_qubit)
    assert usages == [1, 9]


def test_the_noise_of_a_model_has_its_machines_qubits(emulator: Emulator) -> None:
    jobs = Jobs(emulator, "ionq.simulator")
    for model, qubits in (("aria-1", 25), ("harmony", 11)):
        message = jobs.refusal(qir("h 0", measured=1, width=qubits + 1), noise={"model": model})
        assert f"{qubits + 1} qubits and ionq.simulator has {qubits} with these options" in message
    assert "ionq.circuit.v1" in jobs.refusal(BELL, gateset="native")


def test_without_quilc_a_machine_takes_its_own_gates_alone(emulator: Emulator) -> None:
    jobs = Jobs(emulator, CEPHEUS)
    end = "MEASURE 0 ro[0]\n"
    bell = f"DECLARE ro BIT[1]\nH 0\nCNOT 0 1\n{end}".encode()
    native = f"DECLARE ro BIT[1]\nRX(pi/2) 0\nRZ(0.3) 0\nCZ 0 1\n{end}".encode()
    assert jobs.end(bell, 10, QUIL)["status"] == "Succeeded"
    assert jobs.end(native, 10, QUIL, skipQuilc=True)["status"] == "Succeeded"
    message = jobs.end(bell, 10, QUIL, skipQuilc=True)["errorData"]["message"]
    assert "h is no gate of rigetti.qpu.cepheus-1-108q, which has RX by quarter turns, RZ, CZ and ISWAP" in message
    assert "true or false" in jobs.end(native, 10, QUIL, skipQuilc="yes")["errorData"]["message"]
