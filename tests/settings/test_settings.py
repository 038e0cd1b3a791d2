"""Settings refuse unknown names and values out of bounds, with the field; the guide has them in the same words."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import typer
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import hybridloop as hl
from hybridloop.algorithms.estimation.sampling import DEFAULT_PRECISION, DEFAULT_SHOTS
from hybridloop.algorithms.estimation.symmetry import Symmetry
from hybridloop.algorithms.mitigation.mitigation import Mitigation
from hybridloop.algorithms.mitigation.readout import CALIBRATION_SHOTS
from hybridloop.algorithms.mitigation.zne import ZeroNoiseExtrapolation, ZneModel
from hybridloop.algorithms.search import DEFAULT_MAX_ROUNDS
from hybridloop.budget.caps import Caps
from hybridloop.cli.app import build_app
from hybridloop.cli.options import BY_SET, given_options, read_layers, settings_options, with_options
from hybridloop.data.synonyms import WORDS, setting_of
from hybridloop.descriptions import ALGORITHMS
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.inputs.sources import Layer, resolve_settings
from hybridloop.inputs.validation import validate
from hybridloop.settings import LIMITS, MAX_PROBLEM_BYTES, MitigationName, ProblemText, first_difference
from hybridloop.settings.failure_policy import FailurePolicy
from hybridloop.settings.keep_alive import ExclusiveAccess, KeepAliveMode
from hybridloop.targets.prices import Unit
from tests.paths import DOCS
from tests.preparation_helpers import prepare_vqe


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"shots": 0}, "shots"),
        ({"shots": 10_000_001}, "shots"),
        ({"shots": 1.5}, "shots"),
        ({"precision": 0.0}, "precision"),
        ({"precision": float("nan")}, "precision"),
        ({"precision": 1.1}, "precision"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"max_rounds": 0}, "max_rounds"),
        ({"ansatz": "uccs"}, "ansatz"),
        ({"mapping": "bravyi-kitaev"}, "mapping"),
        ({"optimizer": "adam"}, "optimizer"),
    ],
)
def test_an_invalid_value_is_refused_with_its_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as refusal:
        hl.vqe("h2", **values)
    assert refusal.value.field == field
    assert str(refusal.value).startswith(f"{field} must ")


def test_a_misspelt_setting_is_refused_by_its_name() -> None:
    with pytest.raises(ValidationError, match=r"shot\n.*Extra inputs"):
        VqeSettings.model_validate({"shot": 100})


def test_settings_cannot_be_changed_once_they_are_checked() -> None:
    with pytest.raises(ValidationError):
        VqeSettings().shots = 0  # type: ignore[misc]


@given(
    st.builds(
        VqeSettings,
        shots=st.integers(1, 10_000_000),
        precision=st.floats(1e-5, 1),
        seed=st.none() | st.integers(0, 2**63 - 1),
        max_rounds=st.integers(1, 100_000),
    )
)
def test_settings_travel_through_json_unchanged(settings: VqeSettings) -> None:
    assert VqeSettings.model_validate(json.loads(settings.model_dump_json())) == settings


def test_a_misspelt_keyword_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"shot: there is no such setting\. Did you mean 'shots'\?"):
        hl.vqe("h2", shot=100)  # type: ignore[call-arg]  # that is the point
    with pytest.raises(InputError, match="There are: seed, target, "):
        hl.rqaoa("petersen", zzz=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_setting_is_an_option_with_its_words_and_its_default(algorithm: str) -> None:
    command = typer.main.get_command(build_app()).commands["run"].commands[algorithm]  # type: ignore[attr-defined]
    options = {each.name: each for each in command.params}
    model = ALGORITHMS[algorithm].settings
    fields = {**model.model_fields, **FailurePolicy.model_fields}
    del fields["failure"]
    del fields["provider_options"]  # its option is of one of them
    for name in BY_SET:
        fields.pop(name, None)  # some are those of one algorithm
        assert name not in options
    assert len(options) <= 63  # beside `--help`
    assert options["provider_option"].multiple
    assert fields.keys() <= options.keys()
    assert set(LIMITS) - BY_SET <= {value.name for value in options.values() if value.rich_help_panel == "Limits"}
    for name, field in fields.items():
        assert field.description
        assert field.description[1:] in options[name].help
        assert options[name].default == field.default


@pytest.mark.parametrize(
    ("option", "value", "setting", "given"),
    [
        ("--deadline", "8h", "deadline", 28_800.0),
        ("--max-cost", "50USD", "max_cost", {"USD": 50.0}),
        ("--mitigation", "readout,zne-linear", "mitigation", (MitigationName.READOUT, MitigationName.ZNE_LINEAR)),
        ("--cancel-in-flight", None, "cancel_in_flight", True),
        ("--shots", "7", "shots", 7),
        ("--precision", "1mHa", "precision", 0.001),
        ("--precision", "0.002", "precision", 0.002),
        ("--tolerance", "2e3 uHa", "tolerance", 0.002),
        ("--retries", "7", "failure", FailurePolicy(retries=7)),
        ("--keep-alive", "off", "keep_alive", KeepAliveMode.OFF),
        (
            "--provider-option",
            "error-params.p_meas=[0.1, 0.2]",
            "provider_options",
            {"error-params": {"p_meas": [0.1, 0.2]}},
        ),
        ("--provider-option", "error-mitigation.debias=false", "debias", False),
        ("--provider-option", "simulator=stabilizer", "provider_options", {"simulator": "stabilizer"}),
    ],
)
def test_an_option_becomes_its_setting(option: str, value: str | None, setting: str, given: object) -> None:
    seen: list[Layer] = []

    def command(ctx: typer.Context, **options: Any) -> None:
        seen.extend(read_layers(None, [], given_options(ctx, options)))

    app = typer.Typer()
    app.command()(with_options(command, settings_options(VqeSettings)))
    app([option] if value is None else [option, value], standalone_mode=False)
    (layer,) = seen
    assert len(layer.values) == 1
    assert getattr(resolve_settings("vqe", layer, environ={}).settings, setting) == given


@pytest.mark.parametrize(
    ("text", "hartree"),
    [  # NIST's table of energy equivalents
        ("1kcal/mol", 1.593601e-3),
        ("4.184 kJ/mol", 1.593601e-3),
        ("0.1eV", 0.1 * 3.674932e-2),
        ("100 meV", 0.1 * 3.674932e-2),
        ("5E-3Ha", 5e-3),
        ("5e-3 hartree", 5e-3),
    ],
)
def test_an_energy_is_read_with_its_unit(text: str, hartree: float) -> None:
    assert VqeSettings(precision=text).precision == pytest.approx(hartree, rel=1e-6)
    pattern = VqeSettings.model_json_schema()["properties"]["precision"]["anyOf"][1]["pattern"]
    assert re.search(pattern, text)


@pytest.mark.parametrize("text", ["1 mha", "-1mHa", "1 MeV", "mHa", "1mHa2", "1,5mHa", "inf mHa"])
def test_an_energy_in_another_form_is_refused_with_the_units(text: str) -> None:
    with pytest.raises(ValueError, match=r"Ha, mHa, uHa, eV, meV, kJ/mol, kcal/mol"):
        VqeSettings(precision=text)
    pattern = VqeSettings.model_json_schema()["properties"]["precision"]["anyOf"][1]["pattern"]
    assert not re.search(pattern, text)


def test_a_flow_has_the_defaults_of_the_algorithm() -> None:
    defaults = VqeSettings()
    assert (defaults.default_shots, defaults.default_precision, defaults.max_rounds) == (
        DEFAULT_SHOTS,
        DEFAULT_PRECISION,
        DEFAULT_MAX_ROUNDS,
    )


def test_a_problem_is_named_and_no_larger_than_prefects_database_should_hold() -> None:
    assert ProblemText(name="h2").text is None
    for values in ({"name": ""}, {"name": "h2", "text": "x" * (MAX_PROBLEM_BYTES + 1)}, {"name": "h2", "path": "h2"}):
        with pytest.raises(ValidationError):
            ProblemText.model_validate(values)


GUIDE = (DOCS / "runs.md").read_text(encoding="utf-8")


def test_the_guides_settings_file_is_one() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.M | re.S)
    settings = VqeSettings.model_validate(yaml.safe_load(text))
    assert (settings.failure.penalty, settings.deadline, settings.max_cost) == (0.0, 28_800.0, {"USD": 50.0})


def test_a_difference_is_named_by_the_whole_name_of_the_setting() -> None:
    recorded = {"shots": 1, "failure": {"retries": 3}}
    assert first_difference(recorded, recorded) is None
    assert first_difference(recorded, {"shots": 1, "failure": {"retries": 4}}) == "failure.retries"
    assert first_difference(recorded, {"shots": 2, "failure": {"retries": 4}}) == "shots"
    assert first_difference(recorded, {**recorded, "new": 1}) == "new"


def test_a_hold_on_a_machine_has_one_amount_in_one_unit() -> None:
    held = VqeSettings.model_validate({"exclusive_access_budget": "400HQC"}).exclusive_access
    assert held == ExclusiveAccess(400.0, "HQC")
    assert VqeSettings().exclusive_access is None
    with pytest.raises(ValidationError, match="exclusive_access_budget"):
        VqeSettings.model_validate({"exclusive_access_budget": "400HQC, 5USD"})


def test_mitigations_are_named_by_commas_or_as_a_list_and_each_once() -> None:
    by_commas = VqeSettings.model_validate({"mitigation": "readout, zne-linear"})
    assert by_commas == VqeSettings.model_validate({"mitigation": ["readout", "zne-linear"]})
    for wrong in ("readout,readout", "zne-linear,zne-exponential", "zne", "", "none,readout"):
        with pytest.raises(ValidationError, match="mitigation"):
            VqeSettings.model_validate({"mitigation": wrong})


ONE_QUBIT_GATES = """OPENQASM 3.0;
include "stdgates.inc";
input float[64] a;
qubit[2] q;
ry(a) q[0];
"""


def test_mitigations_become_the_mitigation_of_the_algorithm_or_are_refused() -> None:
    def mitigation(**settings: object) -> Mitigation:
        given = VqeSettings.model_validate({"target": "quantinuum.sim.h2-1e", **settings})
        return prepare_vqe(ProblemText(name="h2"), given, 0).mitigation

    assert mitigation() == Mitigation()
    assert mitigation(mitigation="readout,zne-exponential") == Mitigation(
        CALIBRATION_SHOTS, (), ZeroNoiseExtrapolation(ZneModel.EXPONENTIAL)
    )
    spins = (Symmetry(((1, False), (2, False)), 1), Symmetry(((4, False), (8, False)), 1))
    assert mitigation(mapping="jordan-wigner", ansatz="uccsd") == Mitigation(0, spins)
    assert mitigation(mapping="jordan-wigner", ansatz="uccsd", mitigation="none") == Mitigation()
    assert mitigation(mitigation="zne-linear", mapping="jordan-wigner") == Mitigation(
        0, spins, ZeroNoiseExtrapolation()
    )
    for target, problem in (
        ("rigetti.sim.qvm", "has no noise"),
        ("rigetti.qpu.cepheus-1-108q", "rigetti's compiler removes them"),
        ("ionq.qpu.forte-1", "ionq's compiler removes them"),
    ):
        with pytest.raises(InputError, match=problem):
            mitigation(mitigation="readout,zne-linear", target=target)
    with pytest.raises(InputError, match="no gate on two qubits"):
        mitigation(mitigation="readout,zne-linear", ansatz=ONE_QUBIT_GATES)


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("50USD", {"USD": 50.0}),
        ("200 hqc, 1_000 eHQC", {"HQC": 200.0, "eHQC": 1000.0}),
        ("0.5ehqc", {"eHQC": 0.5}),
    ],
)
def test_a_cap_on_cost_is_read_from_text(text: str, amounts: dict[Unit, float]) -> None:
    assert hl.RunSettings.model_validate({"max_cost": text}).caps == Caps(max_cost=amounts)


@pytest.mark.parametrize(
    "text", ["", "50", "USD", "50GBP", "50EUR", "-5USD", "5USD 6HQC", "5USD,6usd", "1e999USD", "nanUSD"]
)
def test_invalid_amounts_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="max_cost"):
        hl.RunSettings.model_validate({"max_cost": text})


@pytest.mark.parametrize(
    "fields",
    [
        {"max_jobs": 0},
        {"max_shots": -1},
        {"deadline": 0},
        {"deadline": float("inf")},
        {"max_cost": {"USD": -1}},
        {"max_cost": {"USD": float("inf")}},
        {"max_cost": {"dollars": 1}},
    ],
    ids=str,
)
def test_invalid_caps_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        hl.RunSettings.model_validate(fields)


@pytest.mark.parametrize(
    ("algorithm", "word", "meant"),
    [
        ("qaoa", "reps", "It is called layers here"),
        ("qaoa", "p", "It is called layers here"),
        ("vqe", "depth", "It is called layers here"),
        ("vqe", "warm_start", "It is called initial_point here, such as 0.1,-0.2"),
        ("qaoa", "warm_start", "initial_point is a setting of vqe"),
        ("vqe", "noise_model", 'It is called provider_options here, such as {"noise.model": "aria-1"}'),
        ("vqe", "maxiter", "It is called max_rounds here"),
        ("adapt", "nothing_like_it", "There are: seed"),
    ],
)
def test_a_word_of_another_library_names_the_setting_that_it_means(algorithm: str, word: str, meant: str) -> None:
    with pytest.raises(InputError, match=re.escape(meant)):
        validate(ALGORITHMS[algorithm].settings, {word: 2})


def test_no_word_of_another_library_is_a_setting() -> None:
    names = {name for each in ALGORITHMS.values() for name in each.settings.model_fields}
    words = [word for text in WORDS.values() for word in text.split()]
    assert len(set(words)) == len(words)
    assert {word for word in words if word in names and setting_of(word) != word} <= {"iterations"}
