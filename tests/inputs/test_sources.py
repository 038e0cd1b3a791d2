"""Settings have one order of precedence, from Python and from the command line; an error names the source."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.api.sweep_input import read_sweep
from hybridloop.descriptions import ALGORITHMS
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.flows.sweep_execution.spec import points_of
from hybridloop.inputs.sources import CALL, DEFAULT, Layer, overview, resolve_settings, unknown_variables
from hybridloop.runtime.paths import config_file
from hybridloop.settings.keep_alive import KeepAliveMode


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HYBRIDLOOP_HOME": str(tmp_path)}


def write(environ: Mapping[str, str], text: str) -> str:
    path = config_file(environ)
    path.write_text(text, "utf-8")
    return str(path)


def shots(algorithm: str, environ: Mapping[str, str], *given: Layer) -> tuple[int | None, str]:
    found = resolve_settings(algorithm, *given, environ=environ)
    assert isinstance(found.settings, VqeSettings | QaoaSettings)
    return found.settings.shots, found.sources.get("shots", DEFAULT)


LAYERS = ("default", "file", "file of one", "variable", "variable of one", "config", "call")


@given(st.sets(st.sampled_from(LAYERS[1:])))
def test_the_source_of_highest_precedence_sets_the_value(layers: set[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        environ = {"HYBRIDLOOP_HOME": folder}
        text = "shots: 11\n" * ("file" in layers) + "vqe: {shots: 22}\n" * ("file of one" in layers)
        path = write(environ, text or "{}")
        environ |= {"HYBRIDLOOP_SHOTS": "33"} if "variable" in layers else {}
        environ |= {"HYBRIDLOOP_VQE__SHOTS": "44"} if "variable of one" in layers else {}
        given = [Layer("--config a.yaml", {"shots": 55})] if "config" in layers else []
        given += [Layer(CALL, {"shots": 66})] if "call" in layers else []
        wanted = {
            "default": (None, DEFAULT),
            "file": (11, path),
            "file of one": (22, path),
            "variable": (33, "HYBRIDLOOP_SHOTS"),
            "variable of one": (44, "HYBRIDLOOP_VQE__SHOTS"),
            "config": (55, "--config a.yaml"),
            "call": (66, CALL),
        }
        first = max([*layers, "default"], key=LAYERS.index)
        assert shots("vqe", environ, *given) == wanted[first]


def test_settings_of_one_algorithm_do_not_apply_to_another(environ: dict[str, str]) -> None:
    write(environ, "qaoa:\n  shots: 500\n")
    assert shots("qaoa", environ)[0] == 500
    assert shots("vqe", environ) == (None, DEFAULT)
    assert shots("vqe", {**environ, "HYBRIDLOOP_QAOA__SHOTS": "7", "HYBRIDLOOP_LEVELS": "3"}) == (None, DEFAULT)


def test_inner_settings_add_to_each_other(environ: dict[str, str]) -> None:
    write(environ, "failure:\n  retries: 7\n  max_renewals: 3\n")
    environ["HYBRIDLOOP_FAILURE__RETRIES"] = "8"
    found = resolve_settings("vqe", Layer(CALL, {"failure": {"retry_within_s": 60}}), environ=environ)
    assert found.settings.failure.model_dump(include={"retries", "max_renewals", "retry_within_s"}) == {
        "retries": 8,
        "max_renewals": 3,
        "retry_within_s": 60.0,
    }
    assert found.sources["failure.retries"] == "HYBRIDLOOP_FAILURE__RETRIES"


@pytest.mark.parametrize(
    ("variable", "value", "setting", "read"),
    [
        ("HYBRIDLOOP_MAX_COST", "50USD, 20HQC", "max_cost", {"USD": 50.0, "HQC": 20.0}),
        ("HYBRIDLOOP_DEADLINE", "8h", "deadline", 28_800.0),
        ("HYBRIDLOOP_ACTIVE_SPACE", "4,4", "active_space", (4, 4)),
        ("HYBRIDLOOP_CANCEL_IN_FLIGHT", "true", "cancel_in_flight", True),
        ("HYBRIDLOOP_TARGET", "ionq.simulator", "target", "ionq.simulator"),
        ("HYBRIDLOOP_KEEP_ALIVE", "off", "keep_alive", KeepAliveMode.OFF),
        ("HYBRIDLOOP_MAX_JOBS", "", "max_jobs", None),
        ("HYBRIDLOOP_MAX_JOBS", "null", "max_jobs", None),
    ],
)
def test_a_variable_is_read_as_the_setting_is(
    variable: str, value: str, setting: str, read: object, environ: dict[str, str]
) -> None:
    assert getattr(resolve_settings("vqe", environ={**environ, variable: value}).settings, setting) == read


@pytest.mark.parametrize(
    ("variables", "file", "complaint"),
    [
        ({"HYBRIDLOOP_SHOTS": "0"}, "", r"^HYBRIDLOOP_SHOTS must be at least 1, got 0\."),
        ({"HYBRIDLOOP_SHOTS": "many"}, "", r"^HYBRIDLOOP_SHOTS must .* got 'many'\."),
        ({"HYBRIDLOOP_SHOTS": "[1"}, "", r"^HYBRIDLOOP_SHOTS: while parsing"),
        ({"HYBRIDLOOP_FAILURE__RETRIES": "-1"}, "", r"^HYBRIDLOOP_FAILURE__RETRIES must be at least 0, got -1\."),
        ({"HYBRIDLOOP_FAILURE__RETRIE": "1"}, "", r"^HYBRIDLOOP_FAILURE__RETRIE: .* Did you mean 'retries'"),
        ({"HYBRIDLOOP_SHOT": "1"}, "", r"^HYBRIDLOOP_SHOT: there is no setting .* Did you mean HYBRIDLOOP_SHOTS\?"),
        ({"HYBRIDLOOP_MAX_COSTS": "1USD"}, "", r"Did you mean HYBRIDLOOP_MAX_COST\?"),
        ({"HYBRIDLOOP_VQE__SHOT": "1"}, "", r"^HYBRIDLOOP_VQE__SHOT: .* Did you mean 'shots'"),
        ({}, "shots: 0", r"config\.yaml, shots must be at least 1, got 0\."),
        ({}, "shot: 1", r"config\.yaml, shot: there is no setting of that name.* Did you mean 'shots'"),
        ({}, "vqe: 1", r"config\.yaml, vqe: 1 holds no settings by name"),
        ({}, "- 1", r"config\.yaml holds no settings by name"),
        ({}, "max_cost: 5GBP", r"config\.yaml, max_cost"),
        ({"HYBRIDLOOP_MAX_COST__HQC": "7"}, "max_cost: 5USD", r"max_cost is given as '5USD' already \(.*config\.yaml"),
        (
            {"HYBRIDLOOP_FROZEN_CORE": "1", "HYBRIDLOOP_ACTIVE_SPACE": "2,2"},
            "",
            "Set elsewhere: HYBRIDLOOP_ACTIVE_SPACE",
        ),
    ],
)
def test_an_invalid_value_is_refused_with_its_source(
    variables: Mapping[str, str], file: str, complaint: str, environ: dict[str, str]
) -> None:
    if file:
        write(environ, file)
    with pytest.raises(InputError, match=complaint):
        resolve_settings("vqe", environ={**environ, **variables})


def test_an_invalid_value_that_is_overridden_is_not_refused(environ: dict[str, str]) -> None:
    assert shots("vqe", {**environ, "HYBRIDLOOP_SHOTS": "0"}, Layer(CALL, {"shots": 5})) == (5, CALL)


def test_other_variables_of_that_prefix_are_ignored(environ: dict[str, str]) -> None:
    others = {"HYBRIDLOOP_JOURNAL": "sqlite:////a", "HYBRIDLOOP_IMAGE": "x", "HYBRIDLOOP_EMULATOR_API_KEY": "k"}
    assert shots("vqe", {**environ, **others}) == (None, DEFAULT)
    assert unknown_variables({**environ, **others}) == ["HYBRIDLOOP_IMAGE"]


def test_no_setting_and_no_algorithm_takes_the_name_of_another_variable() -> None:
    names = {name.upper() for each in ALGORITHMS.values() for name in (*each.settings.model_fields, *ALGORITHMS)}
    assert not names & {"HOME", "JOURNAL", "CRASH_AT", "STACK_PART"}
    assert not any(name.startswith("EMULATOR_") for name in names)
    assert not any("__" in name for name in names)


def test_the_overview_has_every_setting_of_every_algorithm_once(environ: dict[str, str]) -> None:
    environ |= {"HYBRIDLOOP_SHOTS": "7", "HYBRIDLOOP_QAOA__SHOTS": "8"}
    rows = overview(ALGORITHMS, environ)
    pairs = [pair for row in rows for pair in itertools.product([row["setting"]], row["algorithms"])]
    assert len(pairs) == len(set(pairs))
    wanted: dict[str, Any] = {name: each.settings.model_fields for name, each in ALGORITHMS.items()}
    assert {(name.split(".")[0], of) for name, of in pairs} == {
        (name, of) for of, each in wanted.items() for name in each
    }
    by_shots = {tuple(row["algorithms"]): (row["value"], row["source"]) for row in rows if row["setting"] == "shots"}
    assert by_shots == {
        ("vqe", "adapt", "levels", "sqd", "scan", "rqaoa"): (7, "HYBRIDLOOP_SHOTS"),
        ("qaoa",): (8, "HYBRIDLOOP_QAOA__SHOTS"),
    }


def test_a_sweep_uses_the_users_defaults(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    write(environ, "failure: {retries: 7}\n")
    for name, value in {**environ, "HYBRIDLOOP_SHOTS": "7", "HYBRIDLOOP_SEED": "3"}.items():
        monkeypatch.setenv(name, value)
    given = {"seed": 5, "failure": {"max_renewals": 2}}
    spec = read_sweep({"name": "s", "algorithm": "vqe", "problems": "h2", "settings": given, "grid": {"shots": [1, 2]}})
    settings = [point.settings for point in points_of(spec)]
    assert [setting.seed for setting in settings] == [5, 5]
    assert [setting.model_dump()["shots"] for setting in settings] == [1, 2]
    assert {(setting.failure.retries, setting.failure.max_renewals) for setting in settings} == {(7, 2)}
    monkeypatch.setenv("HYBRIDLOOP_SHOTS", "0")
    with pytest.raises(InputError, match=r"^HYBRIDLOOP_SHOTS must be at least 1, got 0"):
        read_sweep({"name": "s", "algorithm": "vqe", "problems": "h2"})
