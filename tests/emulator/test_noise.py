"""Noise: against density matrices computed apart, and against what depolarizing noise must do."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.emulator.methods import Method, plan_of
from hybridloop.emulator.noise import Noise, noise_models, noise_of
from hybridloop.emulator.program import MEASURE, RESET, Operation, Program, RecordedList, Unrunnable
from hybridloop.emulator.simulate import Simulator, with_flips
from hybridloop.emulator.targets import load_catalogue
from tests.conftest import Emulator
from tests.emulator.calls import ASYMMETRIC_QIR, Caller

STRONG = Noise(one_qubit=0.1, two_qubit=0.2, readout=0.05)
GATES = {
    "h": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "cx": np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]),  # control is the lower bit
}


def program(*operations: Operation, measured: int) -> Program:
    ends = tuple(Operation(MEASURE, (qubit,), result=qubit) for qubit in range(measured))
    return Program((*operations, *ends), RecordedList(()), measured, measured)


GHZ = program(Operation("h", (0,)), Operation("cx", (0, 1)), Operation("cx", (1, 2)), measured=3)


def depolarized_chances(circuit: Program, noise: Noise) -> NDArray[np.float64]:
    """The chances by plain density matrices: rho -> (1 - r) rho + r (I/d on the qubits), then flips."""
    size = 2**circuit.num_results
    rho = np.zeros((size, size), dtype=complex)
    rho[0, 0] = 1
    for operation in circuit.operations:
        if operation.name != MEASURE:
            gate = embedded(GATES[operation.name], operation.qubits, circuit.num_results)
            rho = gate @ rho @ gate.conj().T
            strength = noise.one_qubit if len(operation.qubits) == 1 else noise.two_qubit
            rho = (1 - strength) * rho + strength * mixed(rho, operation.qubits, circuit.num_results)
    chances = np.real(np.diag(rho))
    for qubit in range(circuit.num_results):
        chances = (1 - noise.readout) * chances + noise.readout * chances[np.arange(size) ^ (1 << qubit)]
    return chances


def embedded(gate: NDArray[Any], qubits: tuple[int, ...], width: int) -> NDArray[Any]:
    whole = np.zeros((2**width, 2**width), dtype=complex)
    mask = sum(1 << qubit for qubit in qubits)
    for column in range(2**width):
        inner = sum((column >> qubit & 1) << k for k, qubit in enumerate(qubits))
        for row in range(len(gate)):
            target = column & ~mask | sum((row >> k & 1) << qubit for k, qubit in enumerate(qubits))
            whole[target, column] += gate[row, inner]
    return whole


def mixed(rho: NDArray[Any], qubits: tuple[int, ...], width: int) -> NDArray[Any]:
    """The state with these qubits replaced by the maximally mixed one: the mean over all Paulis on them."""
    paulis = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]
    for qubit in qubits:
        rho = sum(p @ rho @ p.conj().T for p in (embedded(pauli, (qubit,), width) for pauli in paulis)) / 4
    return rho


def test_a_small_circuits_noisy_chances_are_those_of_plain_density_matrices() -> None:
    measured = Simulator().run(GHZ, shots=200_000, seed=3, exact=False, noise=STRONG)
    expected = depolarized_chances(GHZ, STRONG)
    found = np.zeros(8)
    found[list(measured.outcomes)] = np.array(measured.counts) / 200_000
    # five standard deviations of a chance of 200,000 shots at most: 5·sqrt(1/4/2e5) = 0.0056
    np.testing.assert_allclose(found, expected, atol=0.0056)


@pytest.mark.parametrize("first", ["h", "t"])
def test_shot_by_shot_noise_agrees_with_density_matrices(first: str) -> None:
    # a reset in the middle keeps the distribution from being written; with t it is no Clifford circuit
    parts = [Operation(first, (3,)), Operation(MEASURE, (3,), result=3), Operation(RESET, (3,)), Operation("x", (3,))]
    whole = Program((*parts, *GHZ.operations), RecordedList(()), 4, 4)
    plan = plan_of(whole.operations, exact=False, noisy=True)
    assert plan.method is (Method.STABILIZER if first == "h" else Method.STATEVECTOR)
    measured = Simulator().run(whole, shots=20_000, seed=5, exact=False, noise=STRONG)
    found = np.zeros(8)
    for outcome, count in zip(measured.outcomes, measured.counts, strict=True):
        found[outcome & 7] += count / 20_000
    # five standard deviations: 5·sqrt(1/4/2e4) = 0.018
    np.testing.assert_allclose(found, depolarized_chances(GHZ, STRONG), atol=0.018)


def test_a_gate_on_three_qubits_carries_the_noise_of_its_two_neighbouring_pairs() -> None:
    only_pairs = Noise(one_qubit=0.0, two_qubit=0.2, readout=0.0)
    toffoli = program(Operation("ccx", (0, 1, 2)), measured=3)
    measured = Simulator().run(toffoli, shots=100_000, seed=1, exact=False, noise=only_pairs)
    kept = dict(zip(measured.outcomes, measured.counts, strict=True))[0] / 100_000
    # 000 stays so through pair (0, 1) and then (1, 2): 0.8·0.8 + 0.8·0.2/4 + 0.2·0.8/4 + 0.2·0.2/8
    assert kept == pytest.approx(0.64 + 0.04 + 0.04 + 0.005, abs=5 * np.sqrt(0.2 / 1e5))


def test_flips_keep_the_sum_and_mix_neighbours() -> None:
    chances = with_flips(np.array([1.0, 0.0, 0.0, 0.0]), 0.1)
    np.testing.assert_allclose(chances, [0.81, 0.09, 0.09, 0.01])


@pytest.mark.parametrize(("name", "one", "two"), [("aria-1", 0.0005, 0.0133), ("quantinuum-h2", 5e-5, 1.84e-3 * 4 / 3)])
def test_published_rates_become_strengths(name: str, one: float, two: float) -> None:
    noise = noise_models()[name]
    assert (noise.one_qubit, noise.two_qubit) == pytest.approx((one, two))


def test_every_model_names_its_source_and_every_target_a_known_model() -> None:
    table = json.loads(resources.files("hybridloop.emulator").joinpath("noise.json").read_text())
    assert all(entry["source"] for entry in table["models"].values())
    for _, target in load_catalogue().targets.values():
        assert {target.noise, *target.noise_models} - {None} <= set(table["models"])


def test_a_job_chooses_its_noise() -> None:
    targets = load_catalogue()
    simulator, emulator = targets.find("ionq.simulator"), targets.find("quantinuum.sim.h2-1e")
    assert simulator is not None
    assert emulator is not None
    assert noise_of(simulator, {}) == (None, None)
    assert noise_of(simulator, {"noise": {"model": "ideal"}}) == (None, None)
    assert noise_of(simulator, {"noise": {"model": "aria-1", "seed": 7}}) == (noise_models()["aria-1"], 7)
    assert noise_of(emulator, {})[0] == noise_models()["quantinuum-h2"]
    assert noise_of(emulator, {"error-model": False})[0] is None
    with pytest.raises(Unrunnable, match="aria-1"):
        noise_of(emulator, {"noise": {"model": "aria-1"}})


@pytest.mark.parametrize("asked", [{}, {"seed": 7}])
@pytest.mark.parametrize("name", ["ionq.qpu.forte-1", "quantinuum.qpu.h2-1", "quantinuum.sim.h2-1e", "rigetti.sim.qvm"])
def test_a_noise_object_without_a_model_leaves_a_target_its_own_noise(name: str, asked: dict[str, int]) -> None:
    target = load_catalogue().find(name)
    assert target is not None
    assert noise_of(target, {"noise": asked}) == (noise_of(target, {})[0], asked.get("seed"))


@pytest.mark.parametrize("name", ["ionq.qpu.forte-1", "quantinuum.qpu.h2-1", "quantinuum.sim.h2-1e", "rigetti.sim.qvm"])
def test_only_ionqs_simulator_is_asked_for_ideal(name: str) -> None:
    target = load_catalogue().find(name)
    assert target is not None
    with pytest.raises(Unrunnable, match="it has none"):
        noise_of(target, {"noise": {"model": "ideal"}})


def test_the_error_model_is_turned_off_on_emulators_alone() -> None:
    targets = [target for _, target in load_catalogue().targets.values() if target.noise is not None]
    turned_off = {target.id for target in targets if noise_of(target, {"error-model": False})[0] is None}
    assert turned_off == {"quantinuum.sim.h2-1e", "quantinuum.sim.h2-2e"}


def noisy(emulator: Emulator, **noise: Any) -> Any:
    caller = Caller(emulator)
    return caller.result(
        caller.submit(
            json.dumps({"qubits": 2, "circuit": [{"gate": "cnot", "control": 0, "target": 1}] * 40}).encode(),
            target="ionq.simulator",
            inputDataFormat="ionq.circuit.v1",
            outputDataFormat="ionq.quantum-results.v1",
            inputParams={"shots": 1000, "noise": noise},
        )
    )


def test_ionqs_noise_samples_and_its_seed_repeats_it(emulator: Emulator) -> None:
    results = [noisy(emulator, model="aria-1", seed=7)["histogram"] for _ in range(2)]
    assert results[0] == results[1] != noisy(emulator, model="aria-1", seed=8)["histogram"]
    # 40 gates of r = 0.0133 leave 00 with the chance 1/4 + 3/4·(1 - r)^40 = 0.69; five deviations of 1000 shots
    assert results[0]["0"] == pytest.approx(0.25 + 0.75 * (1 - 0.0133) ** 40, abs=5 * np.sqrt(0.22 / 1000))
    assert noisy(emulator, model="ideal")["histogram"] == {"0": 1.0}


def test_a_syntax_checker_answers_zeros_and_still_refuses_what_is_no_program(emulator: Emulator) -> None:
    caller = Caller(emulator)
    checked = caller.result(caller.submit(target="quantinuum.sim.h2-1sc"))
    histogram = checked["Results"][0]["Histogram"]
    assert histogram == [{"Outcome": [0, 0, 0], "Display": "[0, 0, 0]", "Count": 100}]
    refused = caller.submit(ASYMMETRIC_QIR.replace(b"qis__x__body", b"qis__warp__body"), target="quantinuum.sim.h2-1sc")
    assert caller.ended(refused)["errorData"]["code"] == "QIRPreProcessingFailed"
