"""Expected bias by noise against exact density matrices, and error rates against those of the local service."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Operator, Pauli, SparsePauliOp, Statevector

from hybridloop.algorithms.circuits.basis import to_basis
from hybridloop.azure.error_rates import NO_ERRORS, ErrorRates, error_rates
from hybridloop.azure.provider_options import target_with_options
from hybridloop.azure.targets import find_target, known_targets
from hybridloop.compiler.programs import describe_pub
from hybridloop.data import load_table
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.simulation.noise import noise_models
from hybridloop.estimate.ideal_sampler import shared_steps
from hybridloop.estimate.noise_bias import NoiseShifts, noise_shifts
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import MitigationName, ProblemText
from tests.preparation_helpers import prepared

READOUT, EXTRAPOLATED = (MitigationName.READOUT,), (MitigationName.READOUT, MitigationName.ZNE_LINEAR)
POINT = [0.11]  # radians: near the minimum
RATES = ErrorRates(one_qubit=2e-4, two_qubit=4e-3, readout=2e-3)


@pytest.fixture(scope="module")
def vqe() -> PreparedVqe:
    run = prepared("vqe", ProblemText(name="h2"), VqeSettings(), 0)
    assert isinstance(run, PreparedVqe)
    return run


@pytest.fixture(scope="module")
def shifts(vqe: PreparedVqe) -> NoiseShifts:
    circuits = [group.measurement_circuit(vqe.ansatz.circuit) for group in vqe.energy.observable.groups]
    steps = shared_steps([describe_pub(SamplerPub.coerce((circuit, [POINT], 1))) for circuit in circuits])
    found = noise_shifts(steps, vqe.problem.hamiltonian)
    assert found is not None
    return found


def bound_circuit(vqe: PreparedVqe) -> QuantumCircuit:
    return to_basis(vqe.ansatz.circuit).assign_parameters(POINT)


def exact_energy(vqe: PreparedVqe, rates: ErrorRates, copies: int = 1) -> float:
    """Return the energy by a density matrix, each gate's noise applied `copies` times."""
    state: NDArray[np.complex128] = np.zeros((4, 4), complex)
    state[0, 0] = 1.0
    circuit = bound_circuit(vqe)
    for item in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        gate = Operator(np.eye(4)).compose(Operator(item.operation), qargs=qubits).data
        state = gate @ state @ gate.conj().T
        strength = rates.two_qubit if len(qubits) == 2 else rates.one_qubit
        for _ in range(copies):
            state = (1 - strength) * state + strength * depolarized(state, qubits)
    energy = 0.0
    for label, coefficient in vqe.problem.hamiltonian.to_list():
        weight = sum(letter != "I" for letter in label)
        mean = np.trace(Pauli(label).to_matrix() @ state).real
        energy += coefficient.real * (1.0 - 2.0 * rates.readout) ** weight * mean
    return float(energy)


def depolarized(state: NDArray[np.complex128], qubits: list[int]) -> NDArray[np.complex128]:
    total: NDArray[np.complex128] = np.zeros_like(state)
    for letters in itertools.product("IXYZ", repeat=len(qubits)):
        label = ["I", "I"]
        for qubit, letter in zip(qubits, letters, strict=True):
            label[1 - qubit] = letter
        matrix = Pauli("".join(label)).to_matrix()
        total = total + matrix @ state @ matrix.conj().T / 4 ** len(qubits)
    return total


def test_the_expected_bias_is_that_of_the_density_matrix(vqe: PreparedVqe, shifts: NoiseShifts) -> None:
    ideal = Statevector(bound_circuit(vqe)).expectation_value(vqe.problem.hamiltonian).real
    assert shifts.energy == pytest.approx(ideal, abs=1e-9)
    # 128 faults of each kind: their mean shift is known to about a tenth
    exact = exact_energy(vqe, RATES) - ideal
    assert shifts.bias(RATES) == pytest.approx(exact, rel=0.1)
    without_readout = exact_energy(vqe, ErrorRates(RATES.one_qubit, RATES.two_qubit, 0.0)) - ideal
    assert shifts.bias(RATES, READOUT) == pytest.approx(without_readout, rel=0.1)
    assert without_readout < 0.8 * exact
    assert shifts.bias(NO_ERRORS) == 0.0


def test_what_an_extrapolation_is_expected_to_leave_has_the_exact_size(vqe: PreparedVqe, shifts: NoiseShifts) -> None:
    rates = ErrorRates(4e-4, 1.5e-2, 0.0)
    ideal = exact_energy(vqe, NO_ERRORS)
    once, thrice = (exact_energy(vqe, rates, copies) - ideal for copies in (1, 3))
    exact = 1.5 * once - 0.5 * thrice
    assert 0.5 * exact < shifts.bias(rates, EXTRAPOLATED) < 2.0 * exact < 0.2 * once
    # extrapolation alone leaves the readout errors, which no folded gate amplifies
    read = ErrorRates(0.0, 0.0, 2e-3)
    assert shifts.bias(read, EXTRAPOLATED) == 0.0
    assert shifts.bias(read, EXTRAPOLATED[1:]) == pytest.approx(shifts.bias(read))


def test_noise_shifts_an_energy_no_further_than_to_the_mixed_state(vqe: PreparedVqe, shifts: NoiseShifts) -> None:
    mixed = float(np.trace(vqe.problem.hamiltonian.to_matrix()).real) / 4 - (shifts.energy or 0.0)
    assert shifts.mixed == pytest.approx(mixed)
    assert shifts.bias(ErrorRates(0.0, 1.0, 0.0)) < shifts.mixed
    by_gates = NoiseShifts.by_gates(one_qubit=400, two_qubit=2000, mixed=2.0)
    assert 1.6 < by_gates.bias(RATES) < 2.0
    assert by_gates.with_gates(2.0).bias(RATES, READOUT) > by_gates.bias(RATES, READOUT)


def test_a_circuit_that_takes_too_long_is_not_simulated() -> None:
    steps: Any = [None] * 10**6
    assert noise_shifts(steps, SparsePauliOp("Z" * 12)) is None


@pytest.mark.parametrize("name", known_targets())
def test_published_error_rates_are_those_of_the_local_service(name: str) -> None:
    target, emulated = find_target(name), load_catalogue().find(name)
    assert emulated is not None
    rates = error_rates(target)
    if target.checks_only or not target.is_noisy:
        assert rates == NO_ERRORS
    elif emulated.noise is None:
        assert rates is None
    else:
        noise = noise_models()[emulated.noise]
        assert rates is not None
        assert rates.one_qubit == pytest.approx(noise.one_qubit)
        assert rates.two_qubit == pytest.approx(noise.two_qubit)
        assert rates.readout == noise.readout


def test_a_simulated_noise_model_has_its_machine_s_error_rates() -> None:
    simulator = find_target("ionq.simulator")
    assert error_rates(simulator) == NO_ERRORS
    noisy = target_with_options(simulator, {"noise": {"model": "forte-1"}})
    assert error_rates(noisy, "forte-1") == error_rates(find_target("ionq.qpu.forte-1"))
    assert error_rates(noisy, "harmony") is None  # it has no published model
    assert load_table("error_rates")["models"].keys() <= noise_models().keys()
