"""The setting `search`: measured runs simulate nothing, and simulated ones are refused without a simulation."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hybridloop.algorithms.circuits.simulated_start import simulated_minimum
from hybridloop.algorithms.optimizers.base import Stop
from hybridloop.algorithms.optimizers.trust_region import TrustRegion
from hybridloop.compiler.languages.qsharp_ansatz import QsharpAnsatz
from hybridloop.errors import InputError
from hybridloop.preparation.adapt import PreparedAdapt
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.preparation_helpers import prepared, settings_for
from tests.value_helpers import known

WIDE = json.dumps({"returns": [*range(22)], "covariance": [[float(i == j) for i in range(22)] for j in range(22)],
                   "risk_aversion": 0.5, "budget": 11})  # fmt: skip
CHAIN = '{"terms": {"ZZI": 1.0, "IZZ": 1.0, "XII": 0.5, "IXI": 0.5, "IIX": 0.5}}'
LARGE_SUM = json.dumps({"terms": {"ZZ" + "I" * 20: 1.0, **{"I" * i + "X" + "I" * (21 - i): 0.5 for i in range(22)}}})


def prepare(algorithm: str, name: str, values: dict[str, Any], text: str | None = None) -> Any:
    return prepared(algorithm, ProblemText(name=name, text=text), settings_for(algorithm, values), 0)


@pytest.mark.parametrize(("name", "text"), [("lih-3.0-cas22", None), ("chain", CHAIN)])
def test_a_measured_search_starts_where_no_simulation_was(name: str, text: str | None) -> None:
    measured: PreparedVqe = prepare("vqe", name, {"search": "measured"}, text)
    auto, simulated = (prepare("vqe", name, values, text) for values in ({}, {"search": "simulated"}))
    assert measured.ansatz.model is None
    assert None not in (auto.ansatz.model, simulated.ansatz.model)
    assert auto.ansatz.initial_point.tolist() == simulated.ansatz.initial_point.tolist()


@pytest.mark.parametrize(("start", "is_random"), [("0.1,0.05,-0.1", False), ("hf", False), ("random", True)])
def test_only_drawn_angles_are_a_random_start(start: str, is_random: bool) -> None:  # noqa: FBT001 (a row's value)
    measured: PreparedVqe = prepare("vqe", "heh+", {"ansatz": "uccsd", "initial_point": start})
    optimizer = measured.search.make_optimizer()
    assert isinstance(optimizer, TrustRegion)
    assert optimizer.is_random == is_random


QSHARP = QsharpAnsatz.find(
    "operation Own(a : Qubit, b : Qubit, c : Qubit, angle : Double) : Unit { if angle > 1.0 { Z(b); } Ry(angle, a); }"
).to_text()
OWN = """OPENQASM 3.0;
include "stdgates.inc";
input float[64] a; input float[64] b; input float[64] c;
qubit[3] q;
ry(a) q[0]; ry(b) q[1]; ry(c) q[2]; cx q[0], q[1]; cx q[1], q[2];
"""


def test_an_own_circuit_is_simulated_from_several_starts_unless_its_search_is_measured() -> None:
    own: PreparedVqe = prepare("vqe", "chain", {"ansatz": OWN}, CHAIN)
    measured: PreparedVqe = prepare("vqe", "chain", {"ansatz": OWN, "search": "measured"}, CHAIN)
    assert own.ansatz.model is not None
    assert measured.ansatz.model is None
    assert own.choices["start"].startswith("the lowest of 25 minima of the circuit's classical simulation")
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (200, 3))
    assert own.ansatz.model.energy(own.ansatz.initial_point) <= min(map(own.ansatz.model.energy, angles))
    outcome = own.measure(noiseless_rounds(), lambda _: None)
    excess = own.claims.excess(own.claims.energy_at(np.array(outcome.parameters)))
    assert outcome.converged == (known(excess) <= 3.5e-3)  # a thousandth of the sum of the coefficients' sizes


def test_a_search_goes_on_where_more_shots_can_mend_its_end() -> None:
    run: PreparedVqe = prepare("vqe", "lih-3.0-cas22", {"ansatz": "uccsd", "search": "measured"})
    claims = run.claims
    lowest = simulated_minimum(known(claims.simulation), run.ansatz.initial_point)
    assert not claims.falls_short(lowest, 1e-3)
    points = [lowest + step for step in np.linspace(0.0, 0.5, 500)]
    off = next(point for point in points if (claims.excess(claims.energy_at(point)) or 0.0) > 1e-3)
    assert claims.falls_short(off, 0.35e-3)
    assert not claims.falls_short(off, 0.04e-3)  # more than shot noise explains
    (_, ground), (doubt,) = claims.examined(
        off, claims.excess(claims.energy_at(off)), Stop(converged=True, reason="met")
    )
    assert ground.shown is False
    assert "with a lower tolerance, which takes more shots" in ground.reason == str(doubt)


def test_a_single_angle_of_uccsd_is_simulated_on_request_only() -> None:
    assert prepare("vqe", "h2", {"ansatz": "uccsd"}).ansatz.model is None
    assert prepare("vqe", "h2", {"ansatz": "uccsd", "search": "simulated"}).ansatz.model is not None
    assert prepare("vqe", "h2", {}).ansatz.model is not None  # of pairs


def test_a_measured_growth_has_no_simulation() -> None:
    measured: PreparedAdapt = prepare("adapt", "lih-3.0-cas22", {"search": "measured", "max_operators": 1})
    assert measured.pool.simulation([0]) is None
    assert prepare("adapt", "lih-3.0-cas22", {}).pool.simulation([0]) is not None
    outcome = measured.measure(noiseless_rounds(), lambda _: None)
    assert not any(row["selected_by_simulation"] for row in outcome.table)


@pytest.mark.parametrize(
    ("algorithm", "name", "values", "reason"),
    [
        ("vqe", "h2", {"optimizer": "rotosolve"}, "need no optimizer"),
        ("vqe", "h2", {"initial_point": "hf"}, "chooses the initial point"),
        ("vqe", "h2", {"ansatz": "hardware-efficient"}, "only uccsd, puccd and grown are simulated"),
        ("vqe", "large", {"layers": 1}, "too large"),
        ("vqe", "chain", {"ansatz": QSHARP}, "its gates change with its angles"),
        ("qaoa", "wide", {}, "22 variables"),
    ],
)
def test_a_simulated_search_is_refused_where_nothing_can_be_simulated(
    algorithm: str, name: str, values: dict[str, Any], reason: str
) -> None:
    text = {"large": LARGE_SUM, "wide": WIDE, "chain": CHAIN}.get(name)
    with pytest.raises(InputError) as refused:
        prepare(algorithm, name, {**values, "search": "simulated"}, text)
    assert refused.value.field == "search"
    assert reason in refused.value.problem


def test_qaoa_says_where_the_measured_mean_differs_from_the_simulated_one() -> None:
    """A circuit that begins with all qubits 1 stands for a target with large errors."""
    run = prepare("qaoa", "ring-8", {"layers": 1})
    agreeing = run.measure(noiseless_rounds(), lambda _: None)
    assert any("meets within two standard errors" in choice for choice in agreeing.choices)
    assert agreeing.warnings == ()
    other = run.measure(shot_rounds(1, start=np.eye(2**8, dtype=complex)[-1]), lambda _: None)
    assert any("more than two standard errors" in choice for choice in other.choices)
    assert not other.converged


def test_qaoa_measures_its_angles_from_the_table_and_at_most_its_rounds() -> None:
    values = {"layers": 1, "search": "measured", "max_rounds": 1}
    outcome = prepare("qaoa", "ring-8", values).measure(noiseless_rounds(), lambda _: None)
    assert [each.phase for each in outcome.history] == ["search", "final"]
    assert outcome.reason.startswith("max_rounds=1, as requested")
    assert not any("simulat" in choice for choice in outcome.choices)


def test_a_graph_larger_than_the_target_is_reduced_up_to_its_bound() -> None:
    rings = {count: "".join(f"{i} {(i + 1) % count}\n" for i in range(count)) for count in (40, 151)}
    reduced = prepare("rqaoa", "ring", {"target": "ionq.simulator"}, rings[40])
    assert (reduced.facts.num_qubits, reduced.rounds.search) == (20, 17)
    larger = prepare("rqaoa", "ring", {"target": "ionq.simulator", "circuit_variables": 35}, rings[40])
    assert (larger.facts.num_qubits, larger.rounds.search) == (29, 26)
    machine = prepare("rqaoa", "ring", {"target": "ionq.qpu.forte-1"}, rings[40])
    assert machine.facts.num_qubits == 36
    with pytest.raises(InputError, match="the circuit has 151 qubits"):
        prepare("rqaoa", "ring", {"target": "ionq.simulator"}, rings[151])
