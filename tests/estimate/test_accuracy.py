"""Cost and error of chemical accuracy in plans: against plans of the same runs, density matrices, and a noisy run."""

from __future__ import annotations

import html
import itertools
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Operator, Pauli, SparsePauliOp, Statevector

from hybridloop.algorithms.circuits.basis import to_basis
from hybridloop.azure.targets import find_target, known_targets
from hybridloop.azure.targets.error_rates import NO_ERRORS, ErrorRates, error_rates
from hybridloop.azure.targets.provider_options import target_with_options
from hybridloop.compiler.programs import describe_pub
from hybridloop.data import load_table
from hybridloop.descriptions import ALGORITHMS
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.simulation.noise import noise_models
from hybridloop.estimate.accuracy import NoiseShifts, noise_shifts
from hybridloop.estimate.accuracy_table import AccuracyRow
from hybridloop.estimate.ideal_sampler import shared_steps
from hybridloop.estimate.plan import Plan
from hybridloop.estimate.planner import plan_run
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import MitigationName, ProblemText, RunSettings
from hybridloop.tasks.keepalive.rules import KeepAliveMode, KeepAliveSettings
from hybridloop.tasks.session import open_run_session
from hybridloop.tasks.session_options import SessionOptions
from tests.conftest import Emulator
from tests.preparation_helpers import prepared
from tests.price_helpers import known

H2 = ProblemText(name="h2")
EMULATED, MACHINE, HELIOS = "quantinuum.sim.h2-1e", "ionq.qpu.forte-1", "quantinuum.qpu.helios-1"
SIMULATOR, CEPHEUS = "rigetti.sim.qvm", "rigetti.qpu.cepheus-1-108q"
PAULI_SUM = json.dumps({"terms": {"ZZ": 1.0, "XI": 0.5}})
TARGETS = [EMULATED, MACHINE, HELIOS, SIMULATOR, CEPHEUS]
READOUT, EXTRAPOLATED = (MitigationName.READOUT,), (MitigationName.READOUT, MitigationName.ZNE_LINEAR)
POINT = [0.11]  # radians: near the minimum
RATES = ErrorRates(one_qubit=2e-4, two_qubit=4e-3, readout=2e-3)


def settings_of(algorithm: str, **settings: Any) -> RunSettings:
    return ALGORITHMS[algorithm].settings(seed=7, **settings)


def rows_of(plan: Plan) -> dict[str, AccuracyRow]:
    return {row.target: row for row in known(plan.accuracy).rows}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_run("vqe", H2, settings_of("vqe"), compare=TARGETS)


def test_the_cost_of_chemical_accuracy_is_that_of_the_run_with_the_default_precision(plan: Plan) -> None:
    rows = rows_of(plan)
    compared = {row.target: row for row in plan.comparison}
    assert list(rows) == TARGETS
    for name in (EMULATED, SIMULATOR, CEPHEUS):
        bare, row = known(rows[name].bare), compared[name]
        assert (bare.price, bare.shots, bare.hours) == (row.expected, row.shots, row.hours)
    assert known(rows[MACHINE].bare).price == compared[MACHINE].unmitigated
    mitigated = known(rows[MACHINE].mitigated)
    assert (mitigated.price, mitigated.mitigation) == (compared[MACHINE].expected, ("debias",))


def test_no_energy_is_called_accurate_that_noise_shifts_or_may_shift(plan: Plan) -> None:
    rows = rows_of(plan)
    reached = {
        name: tuple(None if each is None else each.reached for each in (row.bare, row.mitigated))
        for name, row in rows.items()
    }
    assert reached == {
        EMULATED: (False, True),
        MACHINE: (False, None),  # what debiasing leaves is not published
        HELIOS: (False, True),
        SIMULATOR: (True, None),  # it has no noise to mitigate
        CEPHEUS: (None, None),  # no error rates are published
    }
    # two gates of strength 0.00245 move the energy by 0.8 hartree each, and two readouts of 0.0016 by 0.77
    expected = 2 * 0.00245 * 0.8 + 2 * 0.0016 * 0.77
    assert known(known(rows[EMULATED].bare).error) == pytest.approx(expected, rel=0.2)
    assert known(known(rows[EMULATED].mitigated).error) < 0.3e-3
    assert known(rows[HELIOS].bare).price is None


def test_the_cost_with_mitigation_is_about_that_of_its_own_plan(plan: Plan) -> None:
    mitigated = known(rows_of(plan)[EMULATED].mitigated)
    assert mitigated.mitigation == ("readout", "zne-linear")
    asked = settings_of("vqe", target=EMULATED, mitigation="readout,zne-linear", precision=1.4e-3)
    own = plan_run("vqe", H2, asked, compare=[EMULATED])
    # half the precision takes a quarter of the shots, but not of the calibration's
    least, calibration = own.shots.expected, 120_000
    assert 4 * (least - calibration) == pytest.approx(mitigated.shots - calibration, rel=0.25)
    derived = known(rows_of(own)[EMULATED].mitigated)  # by one dry run at the precision of chemical accuracy
    assert derived.shots == pytest.approx(mitigated.shots, rel=0.15)
    assert known(derived.price) == pytest.approx(known(mitigated.price), rel=0.15)


def test_the_table_of_an_active_space_says_whose_energy_is_accurate() -> None:
    settings = settings_of("vqe", active_space="2,2", target=EMULATED)
    text = str(plan_run("vqe", ProblemText(name="lih-frozen-core"), settings, compare=[EMULATED]))
    assert "Chemical accuracy, 1.6 mHa from the exact energy of the active space: cost" in text
    assert "  accurate in space  " in text
    assert "\naccurate in space: 95 % of such energies" in text
    assert "mHa above the exact energy of the active space\n" in text


def test_sqd_stands_beside_with_the_error_of_its_subspace_and_no_promise(plan: Plan) -> None:
    assert all(row.bound is None for row in rows_of(plan).values())
    assert "sqd: not planned, as h2 has 4 determinants" in str(plan)
    plan = plan_run("sqd", H2, settings_of("sqd", max_subspace=1, target=MACHINE), compare=[MACHINE, EMULATED])
    accuracy, rows = known(plan.accuracy), rows_of(plan)
    assert (accuracy.algorithm, accuracy.bound) == ("vqe", "sqd")
    assert known(accuracy.bound_error) == pytest.approx(0.0203, abs=1e-4)  # Hartree-Fock's determinant
    assert "by ideal samples 20.31 mHa above the exact energy (1 of 4 determinants)" in str(plan)
    assert "up to 50 subspaces of at most 1 of 4 determinants are diagonalized on this machine" in str(plan)
    for row in plan.comparison:
        bound = known(rows[row.target].bound)
        assert (bound.jobs, bound.shots, bound.price) == (row.jobs, row.shots, row.expected)
        assert known(rows[row.target].bare).shots > 10 * bound.shots
    # m + shots × (one-qubit gates × p1 + two-qubit gates × p2), with debiasing
    (circuit,) = plan.circuits
    price = 168.195 + 10_000 * (0.0001645 * (circuit.one_qubit or 0) + 0.001121 * (circuit.two_qubit or 0))
    assert known(known(rows[MACHINE].bound).price) == pytest.approx(price)


def test_adapt_has_no_error_mitigation_of_its_own() -> None:
    asked = settings_of("adapt", target=EMULATED, max_operators=1)
    plan = plan_run("adapt", H2, asked, compare=[EMULATED, MACHINE])
    rows = rows_of(plan)
    assert known(plan.accuracy).algorithm == "adapt"
    assert (rows[EMULATED].mitigated, rows[MACHINE].mitigated is None) == (None, False)
    assert 2e-3 < known(known(rows[EMULATED].bare).error) < 12e-3
    assert "adapt: without noise, the dry run's state is " in str(plan)


@pytest.mark.parametrize(
    ("algorithm", "problem"),
    [("qaoa", ProblemText(name="ring-8")), ("levels", H2), ("vqe", ProblemText(name="own", text=PAULI_SUM))],
)
def test_problems_without_electrons_and_many_energies_have_no_such_cost(algorithm: str, problem: ProblemText) -> None:
    plan = plan_run(algorithm, problem, settings_of(algorithm, target="ionq.simulator"), compare=["ionq.simulator"])
    assert len(plan.comparison) == 1
    assert plan.accuracy is None
    assert "Chemical accuracy" not in str(plan)


def test_the_text_is_compact_and_survives_json(plan: Plan) -> None:
    lines = str(plan).splitlines()
    ending = lines[next(n for n, line in enumerate(lines) if line.startswith("Chemical accuracy, 1.6 mHa")) :]
    assert max(map(len, ending)) <= 120
    assert [line.split()[0] for line in ending[2 : 2 + len(TARGETS)]] == TARGETS
    cells = {line.split()[0]: line for line in ending}
    assert "free, " in cells["rigetti.sim.qvm"]
    assert "unknown, " in cells["quantinuum.qpu.helios-1"]
    assert Plan.from_dict(json.loads(json.dumps(plan.as_dict(), allow_nan=False))) == plan
    assert Plan.from_dict({k: v for k, v in plan.as_dict().items() if k != "accuracy"}).accuracy is None
    assert ending[1] in html.unescape(plan._repr_html_())
    assert "Chemical accuracy" not in str(replace(plan, accuracy=None))


@pytest.fixture(scope="module")
def vqe() -> PreparedVqe:
    run = prepared("vqe", H2, VqeSettings(), 0)
    assert isinstance(run, PreparedVqe)
    return run


@pytest.fixture(scope="module")
def shifts(vqe: PreparedVqe) -> NoiseShifts:
    circuits = [group.measurement_circuit(vqe.ansatz.circuit) for group in vqe.energy.observable.groups]
    steps = shared_steps([describe_pub(SamplerPub.coerce((circuit, [POINT], 1))) for circuit in circuits])
    return known(noise_shifts(steps, vqe.problem.hamiltonian))


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


def test_a_circuit_that_takes_too_long_is_not_simulated() -> None:
    steps: Any = [None] * 10**6
    assert noise_shifts(steps, SparsePauliOp("Z" * 12)) is None


@pytest.mark.parametrize("name", known_targets())
def test_published_error_rates_are_those_of_the_local_service(name: str) -> None:
    target, emulated = find_target(name), known(load_catalogue().find(name))
    rates = error_rates(target)
    if target.checks_only or not target.is_noisy:
        assert rates == NO_ERRORS
    elif emulated.noise is None:
        assert rates is None
    else:
        noise, found = noise_models()[emulated.noise], known(rates)
        assert (found.one_qubit, found.two_qubit) == pytest.approx((noise.one_qubit, noise.two_qubit))
        assert found.readout == noise.readout


def test_a_simulated_noise_model_has_its_machine_s_error_rates() -> None:
    simulator = find_target("ionq.simulator")
    assert error_rates(simulator) == NO_ERRORS
    forte, harmony = ({"noise": {"model": name}} for name in ("forte-1", "harmony"))
    assert error_rates(target_with_options(simulator, forte), forte) == error_rates(find_target("ionq.qpu.forte-1"))
    assert error_rates(target_with_options(simulator, harmony), harmony) is None  # it has no published model
    assert load_table("error_rates")["models"].keys() <= noise_models().keys()


@pytest.mark.slow
def test_a_noisy_run_has_about_the_error_that_its_plan_expects(emulator: Emulator) -> None:
    noise = {"noise.model": "aria-1"}
    asked = settings_of("vqe", target="ionq.simulator", provider_options=noise, precision=3e-3, shots=500)
    expected = known(rows_of(plan_run("vqe", H2, asked, compare=["ionq.simulator"]))["ionq.simulator"].bare)
    assert not expected.reached
    run = prepared("vqe", H2, asked, 7)
    options = SessionOptions(provider_options=asked.options, keep_alive=KeepAliveSettings(KeepAliveMode.OFF))
    with open_run_session(emulator.workspace(), asked.target, options, seed=7) as session:
        outcome = run.measure(session.run_round, lambda _: None)
    error = outcome.value - known(run.facts.exact())
    assert error == pytest.approx(known(expected.error), abs=math.hypot(2.5 * 3e-3, 0.1 * error))
