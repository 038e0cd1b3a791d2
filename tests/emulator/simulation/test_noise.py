"""Noise against density matrices in plain NumPy, and the choice of a job's noise model."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.emulator.model.program import MEASURE, RESET, Instruction, JobInputError, OutputList, Program
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.simulation.noise import Noise, noise_models, select_noise
from hybridloop.emulator.simulation.simulator import SimulationMethod, Simulator, apply_readout_flips, choose_method
from tests.conftest import Emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, Caller

STRONG = Noise(one_qubit=0.1, two_qubit=0.2, readout=0.05)
GATES = {
    "h": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "cx": np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]),  # control is the lower bit
}


def program(*instructions: Instruction, measured: int) -> Program:
    ends = tuple(Instruction(MEASURE, (qubit,), result=qubit) for qubit in range(measured))
    return Program((*instructions, *ends), OutputList(()), measured, measured)


GHZ = program(Instruction("h", (0,)), Instruction("cx", (0, 1)), Instruction("cx", (1, 2)), measured=3)


def depolarized_probabilities(circuit: Program, noise: Noise) -> NDArray[np.float64]:
    """Probabilities from density matrices in NumPy: rho -> (1 - r) rho + r (I/d on the qubits), then readout flips."""
    size = 2**circuit.num_results
    rho = np.zeros((size, size), dtype=complex)
    rho[0, 0] = 1
    for instruction in circuit.instructions:
        if instruction.name != MEASURE:
            gate = embedded(GATES[instruction.name], instruction.qubits, circuit.num_results)
            rho = gate @ rho @ gate.conj().T
            strength = noise.one_qubit if len(instruction.qubits) == 1 else noise.two_qubit
            rho = (1 - strength) * rho + strength * mixed(rho, instruction.qubits, circuit.num_results)
    probabilities = np.real(np.diag(rho))
    for qubit in range(circuit.num_results):
        flipped = probabilities[np.arange(size) ^ (1 << qubit)]
        probabilities = (1 - noise.readout) * probabilities + noise.readout * flipped
    return probabilities


def embedded(gate: NDArray[Any], qubits: tuple[int, ...], width: int) -> NDArray[Any]:
    matrix = np.zeros((2**width, 2**width), dtype=complex)
    mask = sum(1 << qubit for qubit in qubits)
    for column in range(2**width):
        inner = sum((column >> qubit & 1) << k for k, qubit in enumerate(qubits))
        for row in range(len(gate)):
            target = column & ~mask | sum((row >> k & 1) << qubit for k, qubit in enumerate(qubits))
            matrix[target, column] += gate[row, inner]
    return matrix


def mixed(rho: NDArray[Any], qubits: tuple[int, ...], width: int) -> NDArray[Any]:
    """The state with these qubits replaced by the maximally mixed one: the mean over all Paulis on them."""
    paulis = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]
    for qubit in qubits:
        rho = sum(p @ rho @ p.conj().T for p in (embedded(pauli, (qubit,), width) for pauli in paulis)) / 4
    return rho


def test_noisy_probabilities_of_a_small_circuit_agree_with_density_matrices() -> None:
    measured = Simulator().run(GHZ, shots=200_000, seed=3, exact=False, noise=STRONG)
    expected = depolarized_probabilities(GHZ, STRONG)
    frequencies = np.zeros(8)
    frequencies[list(measured.outcomes)] = np.array(measured.counts) / 200_000
    # at most five standard deviations of a frequency in 200,000 shots: 5·sqrt(1/4/2e5) = 0.0056
    np.testing.assert_allclose(frequencies, expected, atol=0.0056)


@pytest.mark.parametrize("first", ["h", "t"])
def test_shot_by_shot_noise_agrees_with_density_matrices(first: str) -> None:
    # the reset forces shot-by-shot simulation; with t it is not a Clifford circuit
    parts = [
        Instruction(first, (3,)),
        Instruction(MEASURE, (3,), result=3),
        Instruction(RESET, (3,)),
        Instruction("x", (3,)),
    ]
    circuit = Program((*parts, *GHZ.instructions), OutputList(()), 4, 4)
    setup = choose_method(circuit.instructions, exact=False, noisy=True)
    assert setup.method is (SimulationMethod.STABILIZER if first == "h" else SimulationMethod.STATEVECTOR)
    measured = Simulator().run(circuit, shots=20_000, seed=5, exact=False, noise=STRONG)
    frequencies = np.zeros(8)
    for outcome, count in zip(measured.outcomes, measured.counts, strict=True):
        frequencies[outcome & 7] += count / 20_000
    # five standard deviations: 5·sqrt(1/4/2e4) = 0.018
    np.testing.assert_allclose(frequencies, depolarized_probabilities(GHZ, STRONG), atol=0.018)


def test_a_gate_on_three_qubits_carries_the_noise_of_its_two_neighbouring_pairs() -> None:
    only_pairs = Noise(one_qubit=0.0, two_qubit=0.2, readout=0.0)
    toffoli = program(Instruction("ccx", (0, 1, 2)), measured=3)
    measured = Simulator().run(toffoli, shots=100_000, seed=1, exact=False, noise=only_pairs)
    frequency = dict(zip(measured.outcomes, measured.counts, strict=True))[0] / 100_000
    # 000 stays so through pair (0, 1) and then (1, 2): 0.8·0.8 + 0.8·0.2/4 + 0.2·0.8/4 + 0.2·0.2/8
    assert frequency == pytest.approx(0.64 + 0.04 + 0.04 + 0.005, abs=5 * np.sqrt(0.2 / 1e5))


def test_readout_flips_keep_the_sum_and_mix_neighbours() -> None:
    probabilities = apply_readout_flips(np.array([1.0, 0.0, 0.0, 0.0]), 0.1, 0.3)
    np.testing.assert_allclose(probabilities, [0.81, 0.09, 0.09, 0.01])
    probabilities = apply_readout_flips(np.array([0.0, 1.0, 0.0, 0.0]), 0.1, 0.3)  # bit 0 is the one
    np.testing.assert_allclose(probabilities, [0.27, 0.63, 0.03, 0.07])


@pytest.mark.parametrize(("name", "one", "two"), [("aria-1", 0.0005, 0.0133), ("quantinuum-h2", 5e-5, 1.84e-3 * 4 / 3)])
def test_published_rates_become_strengths(name: str, one: float, two: float) -> None:
    noise = noise_models()[name]
    assert (noise.one_qubit, noise.two_qubit) == pytest.approx((one, two))


def test_every_model_names_its_source_and_every_target_a_known_model() -> None:
    table = json.loads(resources.files("hybridloop.emulator.simulation").joinpath("noise.json").read_text())
    assert all(entry["source"] for entry in table["models"].values())
    for _, target in load_catalogue().targets.values():
        assert {target.noise, *target.noise_models} - {None} <= set(table["models"])


def test_inputparams_choose_a_jobs_noise() -> None:
    targets = load_catalogue()
    simulator, emulator = targets.find("ionq.simulator"), targets.find("quantinuum.sim.h2-1e")
    assert simulator is not None
    assert emulator is not None
    assert select_noise(simulator, {}) == (None, None)
    assert select_noise(simulator, {"noise": {"model": "ideal"}}) == (None, None)
    assert select_noise(simulator, {"noise": {"model": "aria-1", "seed": 7}}) == (noise_models()["aria-1"], 7)
    assert select_noise(emulator, {})[0] == noise_models()["quantinuum-h2"]
    assert select_noise(emulator, {"error-model": False})[0] is None
    with pytest.raises(JobInputError, match="aria-1"):
        select_noise(emulator, {"noise": {"model": "aria-1"}})


@pytest.mark.parametrize("options", [{}, {"seed": 7}])
@pytest.mark.parametrize("name", ["ionq.qpu.forte-1", "quantinuum.qpu.h2-1", "quantinuum.sim.h2-1e", "rigetti.sim.qvm"])
def test_a_noise_object_without_a_model_keeps_the_targets_noise(name: str, options: dict[str, int]) -> None:
    target = load_catalogue().find(name)
    assert target is not None
    assert select_noise(target, {"noise": options}) == (select_noise(target, {})[0], options.get("seed"))


@pytest.mark.parametrize("name", ["ionq.qpu.forte-1", "quantinuum.qpu.h2-1", "quantinuum.sim.h2-1e", "rigetti.sim.qvm"])
def test_only_ionqs_simulator_accepts_the_model_ideal(name: str) -> None:
    target = load_catalogue().find(name)
    assert target is not None
    with pytest.raises(JobInputError, match="it has none"):
        select_noise(target, {"noise": {"model": "ideal"}})


def test_only_emulators_can_turn_the_error_model_off() -> None:
    targets = [target for _, target in load_catalogue().targets.values() if target.noise is not None]
    turned_off = {target.id for target in targets if select_noise(target, {"error-model": False})[0] is None}
    assert turned_off == {f"quantinuum.sim.{name}" for name in ("h2-1e", "h2-2e", "helios-1e")}


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


def test_ionqs_noise_is_sampled_and_repeatable_by_its_seed(emulator: Emulator) -> None:
    results = [noisy(emulator, model="aria-1", seed=7)["histogram"] for _ in range(2)]
    assert results[0] == results[1] != noisy(emulator, model="aria-1", seed=8)["histogram"]
    # 40 gates of r = 0.0133 leave 00 with the probability 1/4 + 3/4·(1 - r)^40 = 0.69; five deviations of 1000 shots
    assert results[0]["0"] == pytest.approx(0.25 + 0.75 * (1 - 0.0133) ** 40, abs=5 * np.sqrt(0.22 / 1000))
    assert noisy(emulator, model="ideal")["histogram"] == {"0": 1.0}


def test_a_syntax_checker_returns_zeros_and_still_refuses_an_invalid_program(emulator: Emulator) -> None:
    caller = Caller(emulator)
    checked = caller.result(caller.submit(target="quantinuum.sim.h2-1sc"))
    histogram = checked["Results"][0]["Histogram"]
    assert histogram == [{"Outcome": [0, 0, 0], "Display": "[0, 0, 0]", "Count": 100}]
    refused = caller.submit(ASYMMETRIC_QIR.replace(b"qis__x__body", b"qis__warp__body"), target="quantinuum.sim.h2-1sc")
    assert caller.ended(refused)["errorData"]["code"] == "QIRPreProcessingFailed"
