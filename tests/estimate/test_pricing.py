"""Sizes of programs: counted in the basis gates, as the compiler translates them; and the text of a plan's range."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.circuits.custom import circuit_ansatz
from hybridloop.algorithms.circuits.gate_names import BASIS
from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.compiler.programs import describe_pub
from hybridloop.compiler.qir_template import compile_qir, placeholder_qir
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.estimate import pricing
from hybridloop.estimate.dry_run import dry_run
from hybridloop.estimate.figures import Money
from hybridloop.estimate.planner import Planner, plan_run
from hybridloop.estimate.pricing import ProgramSizes, compiled_size, counted_size, gates_twice, in_basis
from hybridloop.estimate.statuses import TargetStatuses
from hybridloop.inputs.circuits import circuit_text
from hybridloop.settings import ProblemText
from hybridloop.targets import find_target
from hybridloop.targets.prices import price_of_job
from tests.compiler.test_basis_structure import exchanges
from tests.conftest import Emulator
from tests.session_helpers import open_run_session
from tests.value_helpers import known


def mixed_circuit() -> QuantumCircuit:
    """Return a circuit with gates outside of the basis, bound angles that would cancel, and a reset."""
    angle = Parameter("a")
    circuit = QuantumCircuit(3, 2)
    circuit.reset(2)
    circuit.ccx(0, 1, 2)
    circuit.u(0.1, angle, 0.3, 1)
    circuit.rz(0.4, 0)
    circuit.rz(-0.4, 0)
    circuit.iswap(0, 1)
    circuit.barrier()
    circuit.measure([1, 2], [0, 1])
    return circuit


@pytest.mark.parametrize("profile", ["Base", "Adaptive_RI"])
def test_counted_gates_are_those_of_the_compiled_program(profile: str) -> None:
    if profile == "Adaptive_RI":  # the other profile takes no reset
        described = [describe_pub(SamplerPub.coerce((mixed_circuit(), np.array([0.2]), 10)))]
    else:
        qaoa = dry_run("qaoa", ProblemText(name="portfolio-8"), QaoaSettings(seed=7), find_target("ionq.simulator"))
        vqe = dry_run("vqe", ProblemText(name="h2"), VqeSettings(seed=7), find_target("ionq.simulator"))
        described = [*qaoa.circuits.values(), *list(vqe.circuits.values())[:2]]
    for description in described:
        circuit = in_basis(description)
        assert counted_size(known(circuit)) == compiled_size(placeholder_qir(known(description.structure), profile))


def test_circuits_are_compiled_where_the_compiler_does_not_keep_each_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    target = find_target("ionq.simulator")
    run = dry_run("vqe", ProblemText(name="h2"), VqeSettings(seed=7), target)
    counted, compiled = ProgramSizes({**run.circuits}), ProgramSizes({**run.circuits})
    sizes = [counted.size(circuit, target) for circuit in run.circuits]
    assert set(counted.is_counted.values()) == {True}
    other = QuantumCircuit(2)
    other.iswap(0, 1)  # not in the basis: the compiler makes several gates of it
    other.measure_all()
    monkeypatch.setattr(pricing, "gates_twice", lambda _: other)
    assert [compiled.size(circuit, target) for circuit in run.circuits] == sizes
    assert set(compiled.is_counted.values()) == {False}


@pytest.mark.parametrize("profile", ["Base", "Adaptive_RI"])
def test_the_compiler_keeps_gates_that_follow_one_of_their_kind(profile: str) -> None:
    circuit = QuantumCircuit(3, 1)
    for name in BASIS:
        gate = get_standard_gate_name_mapping()[name]
        angles = [Parameter(f"{name}_{i}") for i in range(len(gate.params))]
        circuit.append(gate.base_class(*angles), range(gate.num_qubits))
    circuit.measure(1, 0)
    sample = gates_twice(circuit)
    assert sample.count_ops() == {**dict.fromkeys(BASIS, 2), "measure": 1}
    assert counted_size(sample) == compiled_size(compile_qir(sample, profile))


def test_a_plan_of_many_circuits_counts_the_gates_of_all_and_prints_what_to_act_on() -> None:
    values = {"ansatz": "uccsd", "grouping": "qubit-wise", "optimizer": "scipy:cobyla"}
    asked = {"seed": 7, "target": "ionq.qpu.forte-1", "shots": 1000, "precision": 0.01}
    settings = VqeSettings.model_validate({**asked, **values})
    planner = Planner("vqe", ProblemText(name="lih-frozen-core"), settings, TargetStatuses(), trials=1)
    plan = planner.plan(find_target(settings.target), debias=True)
    assert len(plan.circuits) > 48
    assert all(circuit.one_qubit is not None for circuit in plan.circuits)
    text = str(plan)
    assert "at most" not in text.lower()
    assert not re.search(rf"\b{plan.rounds.worst:,}\b(?!,)", text)
    assert "  hard cap   none; max_cost and max_jobs set one" in text
    cost = Money("USD", 12.0, 11.0, 13.5, 4.2e9)
    assert "  price      12.00 USD, likely 11.00 to 13.50; by" in str(replace(plan, cost=cost))


def test_a_users_circuit_is_planned_and_billed_with_the_gates_that_it_needs(emulator: Emulator) -> None:
    target, circuit = find_target("ionq.qpu.forte-1"), exchanges()
    settings = VqeSettings.model_validate(
        {"seed": 7, "target": target.name, "precision": 0.05, "ansatz": circuit_text(circuit)}
    )
    planned = plan_run("vqe", ProblemText(name="own", text="1.0 ZIIZ\n0.5 IZZI\n"), settings).circuits
    assert [(each.one_qubit, each.two_qubit) for each in planned] == [(20, 6)]
    measured = circuit_ansatz(circuit, np.zeros(3)).circuit.copy()
    measured.measure_all()
    with open_run_session(emulator.workspace(), target.name, seed=1) as session:
        session.run_round([SamplerPub.coerce((measured, [0.1, 0.2, 0.3], 500))])
    (billed,) = emulator.admin(f"ledger?run={session.run_uid}")["entries"]
    price = price_of_job(target, GateCounts(4, 2, 6, 4), 500)  # as rxx and ryy, which a text takes apart
    assert billed["price"] == pytest.approx(price.expected, abs=1e-6)
