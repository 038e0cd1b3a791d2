"""Prices, compared with recorded charges, and with sums by hand from the published formulas."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.formats.ionq import parse_ionq_circuit
from hybridloop.emulator.model.billing import JobBill, Price, Usage, compute_bill, count_usage
from hybridloop.emulator.model.program import MEASURE, Instruction, OutputList, Program
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.simulation.execute import JobRunner
from hybridloop.emulator.simulation.protocol import OPENQASM, OPENQASM_RESULTS, SimulationTask
from hybridloop.emulator.simulation.simulator import Simulator
from tests.conftest import Emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, Caller

PRICES = load_catalogue().prices
NO_MITIGATION = {"error-mitigation": {"debias": False}}


def gates(one: int, two: int, shots: int) -> Usage:
    return Usage(one, two, preparations=0, measurements=0, resets=0, shots=shots)


@pytest.mark.parametrize(("shots", "charge"), [(10, 5.12), (100, 6.22), (500, 11.1)])
def test_the_recorded_charges_of_a_three_qubit_ghz_state_in_a_four_qubit_job(shots: int, charge: float) -> None:
    operations = [Instruction("h", (0,)), Instruction("cx", (0, 1)), Instruction("cx", (1, 2))]
    operations += [Instruction(MEASURE, (qubit,), result=qubit) for qubit in range(4)]
    program = Program(tuple(operations), OutputList(()), declared_qubits=4, num_results=4)
    bill = compute_bill(PRICES["quantinuum.sim.h2-1e"], count_usage(program, shots), {})
    assert (bill.amount, bill.unit) == (charge, "eHQC")
    (event,) = bill.cost_estimate()["events"]
    assert (event["dimensionId"], event["measureUnit"], event["amountConsumed"]) == ("ehqc", "hqc", charge)
    assert compute_bill(PRICES["quantinuum.qpu.h2-1"], count_usage(program, shots), {}).unit == "HQC"


@pytest.mark.parametrize(
    ("target", "params", "total"),
    [
        # 3 one-qubit and 5 two-qubit gates, 1000 shots: 0.66 + 4.875 on Aria, 0.4935 + 5.605 on Forte
        ("ionq.qpu.aria-1", {}, 97.50 + 0.66 + 4.875),
        ("ionq.qpu.aria-1", NO_MITIGATION, 12.4166 + 0.66 + 4.875),
        ("ionq.qpu.aria-1", {"error-mitigation": {"debias": True}}, 97.50 + 0.66 + 4.875),
        ("ionq.qpu.forte-1", {}, 168.195 + 0.4935 + 5.605),
        ("ionq.qpu.forte-enterprise-1", NO_MITIGATION, 25.7899 + 0.4935 + 5.605),
        ("ionq.simulator", {}, 0.0),
        ("quantinuum.sim.h2-1sc", {}, 0.0),
        ("rigetti.sim.qvm", {}, 0.0),
        # 1000 shots of 0.2 ms are 20 started steps of 10 ms
        ("rigetti.qpu.cepheus-1-108q", {}, 0.40),
    ],
)
def test_a_job_costs_what_the_published_formula_says(target: str, params: Mapping[str, Any], total: float) -> None:
    bill = compute_bill(PRICES[target], gates(3, 5, 1000), params)
    assert bill.amount == pytest.approx(total, abs=1e-9)
    assert bill.cost_estimate()["estimatedTotal"] == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize(("shots", "steps"), [(1, 1), (50, 1), (51, 2), (100, 2), (101, 3)])
def test_rigetti_charges_each_started_step(shots: int, steps: int) -> None:
    (event,) = compute_bill(PRICES["rigetti.qpu.cepheus-1-108q"], gates(1, 0, shots), {}).cost_estimate()["events"]
    assert (event["dimensionId"], event["amountBilled"]) == ("qpu_time_centiseconds", steps)


def test_a_gate_with_many_controls_counts_as_six_two_qubit_gates_for_each_qubit_above_two() -> None:
    circuit = {
        "qubits": 5,
        "circuit": [
            {"gate": "x", "target": 0},
            {"gate": "cnot", "control": 0, "target": 1},
            {"gate": "x", "controls": [0, 1], "target": 2},  # 6
            {"gate": "x", "controls": [0, 1, 2, 3], "target": 4},  # 18
        ],
    }
    usage = count_usage(parse_ionq_circuit(json.dumps(circuit).encode()), 10)
    assert usage == Usage(1, 1 + 6 + 18, preparations=5, measurements=5, resets=0, shots=10)


def test_only_resets_that_have_an_effect_are_charged() -> None:
    text = b"""OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; creg c[2];
    reset q[0]; // of a fresh qubit
    h q[0]; measure q[0] -> c[0]; reset q[0]; h q[0]; barrier q; measure q[0] -> c[1];
    reset q[0]; // after the last use
    """
    target = load_catalogue().find("quantinuum.sim.h2-1e")
    assert target is not None
    task = SimulationTask(target, OPENQASM, OPENQASM_RESULTS, {"shots": 1}, 0, "a")
    assert JobRunner(Simulator()).run(task, text)[1] == Usage(2, 0, 1, 2, 1, 1)


@given(st.sampled_from(sorted(PRICES)), st.integers(0, 10**4), st.integers(0, 10**4), st.integers(1, 10**4))
def test_more_gates_or_shots_never_cost_less_and_a_bill_survives_json(target: str, one: int, two: int, c: int) -> None:
    price = PRICES[target]
    bill = compute_bill(price, gates(one, two, c), {})
    assert JobBill.from_json(bill.to_json()) == bill
    assert bill.amount <= compute_bill(price, gates(one + 1, two, c), {}).amount
    assert bill.amount <= compute_bill(price, gates(one, two, c + 1), {}).amount
    total = math.fsum(e["amountBilled"] * e["unitPrice"] for e in bill.cost_estimate()["events"])
    assert bill.cost_estimate()["estimatedTotal"] == pytest.approx(total, abs=1e-6)


def test_every_price_names_its_source_and_its_date() -> None:
    table = json.loads(resources.files("hybridloop.emulator.model").joinpath("prices.json").read_text())
    providers = {target.partition(".")[0] for entry in table["prices"] for target in entry["targets"]}
    assert {provider for provider in providers if not provider.startswith("echo-")} == set(table["sources"])
    assert table["dated"]


def test_a_price_with_a_missing_number_is_refused() -> None:
    with pytest.raises(ValueError, match="can't have the numbers"):
        Price("time", "USD", (("a", "b", "c"),), {"step": 0.02})


def test_a_job_shows_its_cost_when_it_has_succeeded_and_not_before(emulator: Emulator) -> None:
    caller = Caller(emulator)
    job = caller.submit(target="quantinuum.qpu.h2-1")
    document = caller.ended(job)
    # ry and x, three preparations and three measurements, 100 shots: 5 + 100·(2 + 5·6)/5000 = 5.64
    (event,) = document["costEstimate"]["events"]
    assert (event["dimensionId"], event["amountBilled"]) == ("hqc", 5.64)
    assert caller.call("GET", "/jobs").json()["value"][0]["costEstimate"] == document["costEstimate"]
    refused = caller.submit(b"no program")
    assert caller.ended(refused)["costEstimate"] is None
    assert (
        caller.call("PUT", f"/jobs/{job}x", caller.document(caller.upload(f"{job}x", ASYMMETRIC_QIR))).json()[
            "costEstimate"
        ]
        is None
    )
