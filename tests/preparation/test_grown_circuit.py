"""Grown circuit of a VQE: when it is chosen, what a run records of it, and what is kept for later runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridloop.descriptions.adapt import AdaptSettings
from hybridloop.descriptions.scan import ScanSettings
from hybridloop.errors import InputError
from hybridloop.preparation.choices.grown_circuit import GrownCircuit
from hybridloop.runtime.paths import home
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.algorithms.grown.test_grown_circuits import natural
from tests.preparation.test_measured_circuit import largest, prepared
from tests.preparation.test_spin_and_stability import problem
from tests.preparation_helpers import prepare_adapt, prepare_scan
from tests.value_helpers import known

H4, LIH, BEH2, O2 = (ProblemText(name=name) for name in ("h4", "lih-frozen-core", "beh2", "o2-cas86"))


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path))
    return home()


@pytest.mark.parametrize(
    ("text", "gates"),
    [
        (H4, 120),
        (problem("H4_2"), 130),
        *(pytest.param(text, gates, marks=pytest.mark.slow) for text, gates in ((BEH2, 160), (O2, 120))),
    ],
)
def test_it_is_chosen_where_pairs_are_too_far_and_claims_the_ground_state(text: ProblemText, gates: int) -> None:
    run = prepared(text)
    assert run.ansatz.name == "grown"
    assert largest(run) <= gates
    assert run.facts.num_qubits == run.ansatz.circuit.num_qubits
    outcome = run.run(noiseless_rounds())
    assert outcome.converged
    (state,) = [fact for fact in outcome.facts if fact.name == "ground_state"]
    assert state.shown
    assert outcome.electrons_error == 0.0


def test_it_is_nearer_for_a_smaller_tolerance_or_precision() -> None:
    def excess(**values: Any) -> float:
        run = prepared(problem("H4_1.5"), ansatz="grown", **values)
        exact, model = run.facts.exact(), run.ansatz.model
        return known(model).energy(run.ansatz.initial_point) - known(exact)

    assert excess(tolerance=1e-4) <= 0.6e-4 < excess() <= 0.48e-3


@pytest.mark.parametrize("search", ["simulated", "measured"])
def test_its_angles_are_searched_or_tested(search: str) -> None:
    run = prepared(H4, ansatz="grown", search=search)
    assert (run.ansatz.model is None) == (search == "measured")
    outcome = run.run(shot_rounds(3))
    exact = known(run.facts.exact())
    assert outcome.converged
    assert outcome.value == pytest.approx(exact, abs=max(1.6e-3, 3 * outcome.standard_error))


def test_a_record_has_its_operators_and_angles() -> None:
    first = prepared(H4)
    (record,) = first.groupings
    assert " grown:p1-2=" in record
    other = record.replace("grown:p1-2=", "grown:p0-3=0.123456789,p1-2=")  # of another machine
    again = prepared(H4, (other,))
    assert again.groupings == (other,)
    assert again.ansatz.num_parameters == first.ansatz.num_parameters + 1
    assert again.ansatz.initial_point[0] == 0.123456789
    assert again.choices["circuit"] == "grown, as the run was started with it"
    for damaged in (record.replace("p1-2=", "p1-9="), record.replace("p1-2=", "p1-2=x"), record.replace("p1-2=", "=")):
        with pytest.raises(InputError, match="damaged"):
            prepared(H4, (damaged,))


def test_what_was_grown_is_kept_for_later_runs(own_home: Path) -> None:
    lithium_hydride = natural("lih-frozen-core")
    first = known(GrownCircuit.chosen(lithium_hydride, 1e-3))
    (kept,) = (own_home / "simulations").iterdir()
    assert json.loads(kept.read_text()) == {"grown": first.record}
    kept.write_text(json.dumps({"grown": "grown:p2-3=0.5"}))
    later = known(GrownCircuit.chosen(lithium_hydride, 1e-3))
    assert later.record == "grown:p2-3=0.500000000"
    for damaged in ('{"grown": "grown:p2-9=0.5"}', '{"grown": 3}', "[]", '{"grown'):
        kept.write_text(damaged)  # it is grown again
        again = known(GrownCircuit.chosen(lithium_hydride, 1e-3))
        assert again.record == first.record
    assert GrownCircuit.chosen(lithium_hydride, 1e-13) is None
    assert GrownCircuit.chosen(lithium_hydride, 1e-13) is None  # kept too
    assert len(list((own_home / "simulations").iterdir())) == 2


@pytest.mark.parametrize(
    ("text", "values", "field", "words"),
    [
        (ProblemText(name="ising-6"), {}, "ansatz", "grown takes a molecule"),
        (H4, {"layers": 2}, "layers", "only hardware-efficient"),
        (H4, {"initial_point": "newton"}, "initial_point", "only uccsd has a Newton start"),
        (H4, {"initial_point": (0.1, 0.2)}, "initial_point", "2 angle"),
        (
            problem("H2_0.7414_cc-pvdz"),
            {"multiplicity": 3, "active_space": (2, 2)},
            "ansatz",
            "no operators were found",
        ),
    ],
)
def test_it_refuses_what_it_has_not(text: ProblemText, values: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        prepared(text, ansatz="grown", **values)
    assert refused.value.field == field


def test_its_initial_point_is_as_asked() -> None:
    assert not prepared(H4, ansatz="grown", initial_point="hf").ansatz.initial_point.any()
    first, second = (prepared(H4, ansatz="grown", initial_point="random").ansatz.initial_point for _ in range(2))
    np.testing.assert_array_equal(first, second)
    given = prepared(H4, ansatz="grown", initial_point=tuple(first.tolist()))
    np.testing.assert_array_equal(given.ansatz.initial_point, first)


def test_a_record_is_taken_where_the_settings_would_grow_none_any_more() -> None:
    (record,) = prepared(LIH, ansatz="grown").groupings
    with pytest.raises(InputError, match="no operators were found"):
        prepared(LIH, ansatz="grown", tolerance=1e-13)
    assert prepared(LIH, (record,), ansatz="grown", tolerance=1e-13).groupings == (record,)


def test_angles_of_uccsd_stay_its_own() -> None:
    text = ProblemText(name="h4-2.0")  # where a grown circuit has as many
    count = prepared(text, ansatz="uccsd").ansatz.num_parameters
    assert prepared(text, initial_point=(0.1,) * count).ansatz.name == "uccsd"


@pytest.mark.parametrize(
    ("name", "multiplicity"),
    [("h4", 3), pytest.param("h4", 1, marks=pytest.mark.slow), pytest.param("h2o", 5, marks=pytest.mark.slow)],
)
def test_adapt_reaches_states_of_high_spin_in_the_default_pool(name: str, multiplicity: int) -> None:
    settings = AdaptSettings(multiplicity=multiplicity, precision=2e-3)
    prepared_adapt = prepare_adapt(ProblemText(name=name), settings, 0)
    outcome = prepared_adapt.run(noiseless_rounds())
    exact = known(prepared_adapt.facts.exact())
    assert outcome.converged
    assert outcome.value == pytest.approx(exact, abs=0.8e-3)


def test_a_scan_grows_a_circuit_at_each_point() -> None:
    curve = ProblemText(name="curve", text='{"points": [{"name": "h4"}, {"name": "h4-2.0"}]}')
    outcome = prepare_scan(curve, ScanSettings(), 0).measure(noiseless_rounds(), lambda _: None)
    assert outcome.converged
    assert all(abs(row["error"]) < 0.8e-3 for row in outcome.table)
