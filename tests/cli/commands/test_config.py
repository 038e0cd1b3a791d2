"""`hybridloop init` writes a file with all defaults; `hybridloop config` shows each value and its source."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hybridloop.api.algorithms import run
from hybridloop.api.hosts import PLAIN
from hybridloop.cli.options import read_layers
from hybridloop.descriptions import ALGORITHMS
from hybridloop.inputs.sources import resolve_settings
from hybridloop.inputs.template import settings_template
from hybridloop.inputs.yaml import parse_yaml
from hybridloop.settings import ProblemText
from tests.cli.shell_helpers import CommandResult, Shell, environment
from tests.conftest import Emulator

PETERSEN = ProblemText(name="petersen")
Hybridloop = Callable[..., CommandResult]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_file_that_is_written_loads_back_to_the_defaults(algorithm: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(settings_template(algorithm), "utf-8")
    found = resolve_settings(algorithm, *read_layers(path, [], {}), environ={"HYBRIDLOOP_HOME": str(tmp_path)})
    assert found.settings == ALGORITHMS[algorithm].settings()


@pytest.mark.parametrize(
    ("sets", "options", "cost"),
    [
        (["max_cost.USD=5", "max_cost.HQC=7"], {}, {"USD": 5.0, "HQC": 7.0}),
        (["max_cost.HQC=7", "max_cost=5USD"], {}, {"USD": 5.0}),
        (["max_cost.USD=5"], {"max_cost": "9USD"}, {"USD": 9.0}),
        (["max_cost={USD: 5}", "max_cost.HQC=7"], {}, {"USD": 5.0, "HQC": 7.0}),
        (["max_cost={USD: 5, HQC: 1}", "max_cost.HQC=7"], {}, {"USD": 5.0, "HQC": 7.0}),
        (["max_cost=null", "max_cost.HQC=7"], {}, {"HQC": 7.0}),
    ],
)
def test_a_later_value_replaces_an_earlier_one_or_adds_to_its_group(
    sets: list[str], options: dict[str, str], cost: dict[str, float], tmp_path: Path
) -> None:
    found = resolve_settings("vqe", *read_layers(None, sets, options), environ={"HYBRIDLOOP_HOME": str(tmp_path)})
    assert found.settings.max_cost == cost


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_file_has_every_setting_with_its_description(algorithm: str) -> None:
    text = settings_template(algorithm)
    words = " ".join(line.strip().removeprefix("# ") for line in text.split("\n"))
    for name, field in ALGORITHMS[algorithm].settings.model_fields.items():
        assert f"\n{name}:" in text or f"\n# {name}:" in text
        assert field.description is not None
        assert field.description in words
    assert max(map(len, text.split("\n"))) <= 120


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_example_in_the_file_is_an_accepted_value(algorithm: str) -> None:
    for line in settings_template(algorithm).split("\n"):
        name, colon, example = line.removeprefix("# ").partition(": ")
        if line.startswith("# ") and colon and name in ALGORITHMS[algorithm].settings.model_fields:
            ALGORITHMS[algorithm].settings.model_validate({name: parse_yaml(example, name)})


def test_an_existing_file_is_replaced_only_on_request(run_command: Hybridloop, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    assert run_command("init", str(path), "--algorithm", "qaoa").code == 0
    assert path.read_text("utf-8") == settings_template("qaoa")
    refused = run_command("init", str(path))
    assert (refused.code, "exists already" in refused.err) == (2, True)
    assert path.read_text("utf-8") == settings_template("qaoa")
    assert run_command("init", str(path), "--force").code == 0
    assert path.read_text("utf-8") == settings_template("vqe") == run_command("init").out


def test_config_shows_each_value_and_its_source(run_command: Hybridloop, home: Path) -> None:
    home.mkdir()
    (home / "config.yaml").write_text("shots: 7\n")
    result = run_command("config", "vqe", "--json", HYBRIDLOOP_MAX_JOBS="5", HYBRIDLOOP_GREETING="hello")
    document = json.loads(result.out)
    rows = {row["setting"]: (row["value"], row["source"]) for row in document["settings"]}
    assert rows["shots"] == (7, str(home / "config.yaml"))
    assert rows["max_jobs"] == (5, "HYBRIDLOOP_MAX_JOBS")
    assert rows["precision"] == (None, "default")
    assert rows["failure.retries"] == (3, "default")
    assert document["unknown_variables"] == ["HYBRIDLOOP_GREETING"]
    places = {row["place"]: (row["value"], row["source"]) for row in document["places"]}
    assert places["state"] == (str(home), "HYBRIDLOOP_HOME")
    told = run_command("config", HYBRIDLOOP_GREETING="hello", HYBRIDLOOP_MAX_COST="50USD")
    assert "HYBRIDLOOP_GREETING has no effect" in told.err
    values = dict(line.split(maxsplit=1) for line in told.out.splitlines() if line)
    assert [values[name].split("  ")[0] for name in ("debias", "max_cost")] == ["true", "50.00 USD"]


@pytest.mark.claim("No secret is in")
def test_config_shows_no_secret(run_command: Hybridloop) -> None:
    secret = "do-not-tell-anyone"
    journal = f"postgresql://user:{secret}@host/runs"
    result = run_command("config", HYBRIDLOOP_JOURNAL=journal, AZURE_QUANTUM_CONNECTION_STRING=f"ApiKey={secret}")
    assert result.code == 0
    assert secret not in result.out + result.err
    assert "postgresql://user@host/runs" in result.out


def test_a_run_uses_settings_from_variables_and_records_them(
    inside: Hybridloop, plain_shell: Shell, emulator: Emulator
) -> None:
    variables = {"HYBRIDLOOP_QAOA__SHOTS": "300", "HYBRIDLOOP_SEED": "3"}
    at = plain_shell.with_variables(**variables).at(emulator, "by-variables")
    environ = dict(at.shell.environ)
    with environment(environ):
        resolved = resolve_settings("qaoa", *read_layers(None, ["seed=7"], {}))
        ran = run("qaoa", PETERSEN, resolved, run_key="by-variables", workspace=at.workspace, more={"host": PLAIN})
    assert (ran.shots, ran.seed) == (300, 7)
    record = json.loads(inside(environ, "runs", "show", "by-variables", "--json").out)
    assert record["sources"] == {"shots": "HYBRIDLOOP_QAOA__SHOTS", "seed": "--set seed"}
    assert record["settings"]["shots"] == 300
    later = {**environ, "HYBRIDLOOP_QAOA__SHOTS": "500"}
    assert json.loads(inside(later, "runs", "resume", "by-variables", "--json").out)["shots"] == 300
    refused = inside(later, "run", "qaoa", "petersen", "--run-key", "by-variables", "--seed", "7")
    assert (refused.code, "shots: run 'by-variables' was started with another value" in refused.err) == (2, True)


def test_invalid_variables_are_refused_before_anything_is_started(run_command: Hybridloop, home: Path) -> None:
    result = run_command("run", "vqe", "h2", HYBRIDLOOP_MAX_COSTS="5USD")
    assert (result.code, result.out) == (2, "")
    assert "HYBRIDLOOP_MAX_COSTS: there is no setting of that name" in result.err
    assert "Did you mean HYBRIDLOOP_MAX_COST?" in result.err
    assert not os.path.exists(home)
