"""The table of provider options, checks against it, and what options change of a target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from hybridloop.data import load_table
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.inputs.validation import validate
from hybridloop.runtime.dotted_names import flatten, nest
from hybridloop.targets import find_target, known_targets
from hybridloop.targets.provider_options import (
    check_provider_options,
    options_of,
    options_text,
    provider_params,
    target_text,
    target_with_options,
)
from tests.paths import DOCS

IONQ, H2, QVM = "ionq.simulator", "quantinuum.sim.h2-1e", "rigetti.sim.qvm"
# a value of each type of option
EXAMPLES: Mapping[str, Any] = {
    "boolean": False, "integer": 7, "number": -0.5, "probability": 0.5, "probabilities": [0.1, 0.2], "scale": 2.5
}  # fmt: skip
WRONG: Mapping[str, Any] = {
    "boolean": 1, "integer": -1, "number": "x", "probability": 1.5, "probabilities": [0.1], "scale": -1
}  # fmt: skip


def test_every_option_of_every_target_takes_its_values_and_no_others() -> None:
    table = load_table("provider_options")
    assert all(table["sources"].values())
    for name, target in known_targets().items():
        for option in options_of(name).values():
            value = option.values[0] if option.values else EXAMPLES[option.type]
            flat = {option.name: value} | ({"noise.model": "aria-1"} if option.name == "noise.seed" else {})
            check_provider_options(target, nest(flat))
            assert flatten(provider_params(target, debias=True, options=nest(flat))).keys() == flat.keys()
            assert option.about
            wrong = "none of them" if option.values else WRONG[option.type]
            with pytest.raises(InputError, match=re.escape(f"Give {option.accepts}")):
                check_provider_options(target, nest(flat | {option.name: wrong}))


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (IONQ, {"nois.model": "aria-1"}, r"Did you mean noise.model\? It has noise.model, noise.seed"),
        (
            QVM,
            {"noise.model": "aria-1"},
            r"provider_options\.noise\.model: .* has skipQuilc; noise.model is an option of ionq.simulator",
        ),
        (H2, {"error-params.p3": 0.1}, r"Did you mean error-params.p2 or .* error-params\.…, tket-opt-level"),
        (H2, {"skipQuilc": True}, "It has error-model, simulator, .*, nativetq, noreduce; skipQ"),
        (
            "quantinuum.qpu.h2-1",
            {"error-model": False},
            "It has tket-opt-level, no-opt, nativetq, noreduce; error-model is an",
        ),
        (IONQ, {"gateset": "native"}, "programs are sent as QIR in standard gates"),
        ("rigetti.qpu.cepheus-1-108q", {"skipQuilc": True}, "which quilc translates to those of the machine"),
        (H2, {"no-opt": True, "tket-opt-level": 2}, "contradict each other"),
        (H2, {"error-model": False, "error-params.p1": 0.1}, "error-params have no effect"),
        (IONQ, {"noise.seed": 1}, "there is no noise to draw"),
        (IONQ, {"noise.seed": 1, "noise.model": "ideal"}, "there is no noise to draw"),
        (H2, {"tket-opt-level": True}, "'true' is no value of it on quantinuum.sim.h2-1e.*Give 0, 1, 2, 3"),
    ],
)
def test_unknown_and_contradictory_options_are_refused_with_those_of_the_target(
    target: str, options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_provider_options(find_target(target), nest(options))


def test_options_change_what_a_target_is() -> None:
    ionq, h2 = find_target(IONQ), find_target(H2)
    noisy = target_with_options(ionq, {"noise": {"model": "harmony"}})
    assert (noisy.samples, noisy.is_noisy, noisy.qubits) == (True, True, 11)
    assert target_with_options(ionq, {"noise": {"model": "ideal"}}) == ionq
    assert not target_with_options(h2, {"error-model": False}).is_noisy
    assert target_with_options(h2, {"simulator": "stabilizer"}).qubits == 56
    assert target_with_options(h2, {"tket-opt-level": 3}) == h2


def test_a_noise_seed_becomes_each_jobs_own() -> None:
    target, options = find_target(IONQ), {"noise": {"model": "aria-1", "seed": 7}}
    seeds = [
        provider_params(target, debias=True, options=options, sampling_value=value)["noise"]["seed"]
        for value in ("job a", "job a", "job b")
    ]
    assert seeds[0] == seeds[1] != seeds[2]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert options["noise"]["seed"] == 7


def test_settings_have_one_place_for_each_option() -> None:
    settings = VqeSettings(provider_options={"noise.model": "aria-1", "noise": {"seed": 3}})
    assert settings.options == settings.provider_options == {"noise": {"model": "aria-1", "seed": 3}}
    assert VqeSettings.model_validate(settings.model_dump(mode="json")) == settings
    assert QaoaSettings(provider_options={"error-mitigation": {"debias": False}}) == QaoaSettings(debias=False)
    rates = QaoaSettings(provider_options={"error-params": {"p1": "1e-3", "p_meas": ("2E-3", 0.1)}, "simulator": "1e"})
    assert rates.options == {"error-params": {"p1": 0.001, "p_meas": [0.002, 0.1]}, "simulator": "1e"}
    kept = QaoaSettings(provider_options={"error-mitigation.debias": True})
    with pytest.raises(InputError, match=r"debias: ionq\.simulator has no such option.*an option of ionq\.qpu"):
        check_provider_options(find_target(IONQ), kept.options)
    assert QaoaSettings(provider_options={}) == QaoaSettings() == QaoaSettings(provider_options=None)
    assert target_text(IONQ, settings.options) == "ionq.simulator with noise.model=aria-1, noise.seed=3"
    assert options_text({"no-opt": True}) == "no-opt=true"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"debias": False, "provider_options": {"error-mitigation.debias": True}}, "debias: it is False, and"),
        ({"provider_options": {"noise": 1, "noise.seed": 2}}, "noise is given as 1 already"),
        ({"provider_options": "noise.model=aria-1"}, "provider_options must be a mapping"),
    ],
)
def test_options_that_contradict_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validate(QaoaSettings, values)


def test_the_guide_names_every_option() -> None:
    guide = (DOCS / "azure.md").read_text()
    names = {row_name for row in load_table("provider_options")["options"] for row_name in row["names"]}
    assert {name for name in names if f"`{name.removeprefix('error-params.')}`" not in guide} == set()
