"""Measurement groups by target: its prices, its published error rates, and the rule of a run's start."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.grouping import MeasurementCosts, choose_grouping, pauli_groupings
from hybridloop.algorithms.estimation.observable import Grouping, MeasurementGroup, observable
from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.preparation.choices.measurement_costs import choice_facts, measurement_costs
from hybridloop.settings import AnsatzName, ProblemText, Recorded
from hybridloop.targets import find_target
from hybridloop.targets.prices import price_of_job
from tests.preparation_helpers import prepare_vqe
from tests.value_helpers import known

H4 = ProblemText(name="h4")
MACHINES = ("quantinuum.qpu.h2-1", "ionq.qpu.aria-1", "rigetti.qpu.cepheus-1-108q")


def groups() -> tuple[MeasurementGroup, MeasurementGroup]:
    """Return a group with gates on two qubits, and one with gates on one qubit only."""
    prepared = prepare_vqe(H4, VqeSettings(grouping="fully-commuting", ansatz="uccsd"), 0)
    all_groups = prepared.energy.observable.groups
    entangled = max(all_groups, key=lambda group: group.two_qubit_gates)
    flat = next(group for group in observable(prepared.problem.hamiltonian).groups if "Y" in group.basis)
    return entangled, flat


@pytest.mark.parametrize("name", ["quantinuum.qpu.h2-1", "ionq.qpu.forte-1"])
def test_a_price_counts_the_gates_of_the_circuit_and_of_the_basis_change(name: str) -> None:
    target, circuit = find_target(name), QuantumCircuit(6)
    circuit.rx(0.1, 0)
    circuit.cx(0, 1)
    costs = measurement_costs(target, circuit, VqeSettings())
    for group in groups():
        measured = group.measurement_circuit(circuit).remove_final_measurements(inplace=False)
        two = int(measured.num_nonlocal_gates())
        counts = GateCounts(6, int(measured.size()) - two, two, 6)
        job, rest = (price_of_job(target, counts, shots).expected for shots in (10_000, 1))
        assert costs.cost(group, 20_001) == pytest.approx(2 * known(job) + known(rest))


def test_free_shots_and_those_without_a_price_count_as_shots() -> None:
    found = {}
    for name in ("rigetti.sim.qvm", "ionq.simulator", "quantinuum.sim.helios-1sc"):
        costs = measurement_costs(find_target(name), QuantumCircuit(6), VqeSettings())
        found[name] = costs.unit, costs.cost(groups()[0], 1234)
    assert found == {
        "rigetti.sim.qvm": ("shots (1,000 more for each job)", 2234.0),
        "ionq.simulator": ("jobs", 1.0),  # it rounds to the shots, and takes the most
        "quantinuum.sim.helios-1sc": ("shots", 1234.0),
    }


@pytest.mark.parametrize("name", ["quantinuum.qpu.h2-1", "ionq.qpu.aria-1", "rigetti.qpu.cepheus-1-108q"])
@pytest.mark.parametrize("gates", [1, 30, 300])
def test_a_job_has_the_shots_that_add_a_tenth_to_its_least_price(name: str, gates: int) -> None:
    target, circuit = find_target(name), QuantumCircuit(2)
    for _ in range(gates):
        circuit.rzz(0.1, 0, 1)
        circuit.rx(0.2, 0)
    for debias in (True, False) if target.debiases else (True,):
        least = measurement_costs(target, circuit, VqeSettings(debias=debias)).least_shots
        counts = GateCounts(2, gates, gates, 2)
        smallest = 500 if debias and target.debiases else 1  # of one that the provider mitigates
        first, at, above = (
            price_of_job(target, counts, shots, debias=debias).expected or 0.0 for shots in (smallest, least, least + 1)
        )
        assert smallest <= least <= target.max_shots
        assert at <= 1.1 * first
        assert above > 1.1 * first or least == target.max_shots


def test_where_shots_are_free_a_job_has_as_many_as_take_no_time_or_round_the_least() -> None:
    def least(name: str, qubits: int) -> int:
        return measurement_costs(find_target(name), QuantumCircuit(qubits), VqeSettings()).least_shots

    assert least("rigetti.sim.qvm", 6) == 1000
    assert least("rigetti.sim.qvm", 24) == int(1e9 / 2**24)  # each shot may be simulated
    assert least("ionq.simulator", 6) == 10_000  # the most of a job
    assert least("quantinuum.sim.helios-1sc", 6) == 1  # its price is unknown


def test_what_was_chosen_at_the_start_stands_where_prices_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare_vqe(H4, VqeSettings(search="measured"), 0)
    now = MeasurementCosts(lambda group, shots: (1.0 + group.two_qubit_gates) * shots, "shots", 0.0, least_shots=77)
    monkeypatch.setattr("hybridloop.preparation.choices.measurement_groups.measurement_costs", lambda *_: now)
    again = prepare_vqe(H4, VqeSettings(search="measured"), 0)
    resumed = prepare_vqe(H4, VqeSettings(search="measured"), 0, Recorded(first.groupings))
    assert again.groupings != first.groupings == resumed.groupings
    assert (first.energy.least_shots, again.energy.least_shots, resumed.energy.least_shots) == (1000, 77, 1000)
    assert resumed.search.settings.least_shots == first.search.settings.least_shots


def test_a_short_circuit_is_measured_with_further_gates_only_where_they_bring_no_noise() -> None:
    def chosen(target: str, ansatz: AnsatzName = AnsatzName.HARDWARE_EFFICIENT) -> Grouping:
        return prepare_vqe(H4, VqeSettings(target=target, ansatz=ansatz), 0).energy.grouping

    assert chosen("rigetti.sim.qvm") is Grouping.DOUBLE_FACTORIZATION
    assert {chosen(name) for name in MACHINES} == {Grouping.QUBIT_WISE}
    assert {chosen(name, AnsatzName.UCCSD) for name in MACHINES} == {Grouping.DOUBLE_FACTORIZATION}


def product_circuit(qubits: int) -> Ansatz:
    """Return a circuit without gates on two qubits."""
    circuit, angles = QuantumCircuit(qubits), ParameterVector("θ", qubits)
    for qubit, angle in enumerate(angles):
        circuit.ry(angle, qubit)
    return Ansatz("product", circuit, np.zeros(qubits), ((1,),) * qubits)


def test_a_circuit_without_noise_is_measured_without_gates_that_bring_it() -> None:
    neighbours = [(letter, [qubit, qubit + 1], 1.0) for qubit in range(3) for letter in ("XX", "YY", "ZZ")]
    of_paulis = pauli_groupings(SparsePauliOp.from_sparse_list(neighbours, 4), None)
    for error, expected in ((0.0, Grouping.FULLY_COMMUTING), (0.01, Grouping.QUBIT_WISE)):
        costs = MeasurementCosts(lambda _, shots: float(shots), "shots", error)
        choice = choose_grouping(of_paulis, product_circuit(4), None, costs, precision=0.01)
        assert choice.grouping is expected
        assert ("bring noise to circuits that have no such gates" in choice.why) == (error > 0.0)


def test_a_constant_needs_no_circuit() -> None:
    costs = MeasurementCosts(lambda _, shots: float(shots), "shots", 0.01)
    of_paulis = pauli_groupings(SparsePauliOp(["II"], [2.0]), None)
    choice = choose_grouping(of_paulis, product_circuit(2), None, costs, precision=0.01)
    assert (choice.observable.groups, choice.observable.constant) == ((), 2.0)


def test_targets_of_equal_facts_have_equal_choices() -> None:
    first, second, other = (
        choice_facts(find_target(name), VqeSettings())
        for name in ("quantinuum.qpu.h2-1", "quantinuum.qpu.h2-2", "quantinuum.sim.h2-1e")
    )
    assert first == second != other  # the emulator bills in its own unit


def test_double_factorization_is_refused_for_a_problem_without_orbitals() -> None:
    settings = VqeSettings(grouping="double-factorization")
    with pytest.raises(InputError, match="no molecule, and has no orbitals to rotate") as refused:
        prepare_vqe(ProblemText(name="exchange", text='{"terms": {"XX": 1.0, "ZZ": 1.0}}'), settings, 0)
    assert refused.value.field == "grouping"
