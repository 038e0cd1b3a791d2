"""Former names of settings work in every place that takes settings, with one warning that names the current one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from hybridloop.api.sweep_input import read_sweep
from hybridloop.cli.options import given_options, read_layers, settings_options, with_options
from hybridloop.errors import InputError, RenamedWarning
from hybridloop.flows import load_flow
from hybridloop.flows.housekeeping import HousekeepingSettings
from hybridloop.flows.lifecycle.deployments import merge_settings
from hybridloop.flows.sweep_execution.spec import points_of
from hybridloop.journal import Journal, RunRecord
from hybridloop.journal.claimed_run import new_run
from hybridloop.runs.lookup import LIMITS_GIVEN, settings_of
from hybridloop.settings import SETTINGS, RunSettings
from hybridloop.settings.renamed import FORMER, RENAMED, accept_former_names
from hybridloop.settings.sources import CALL, Layer, resolve_settings

VALUES = {"unattended": "interrupted", "exclusive_hold": "5HQC", "starts": 3, "stop_at": 2}
CASES = [
    (former, next(algorithm for algorithm in SETTINGS if name in SETTINGS[algorithm].model_fields), VALUES[former])
    for former, name in RENAMED.items()
]


def from_model(algorithm: str, former: str, value: object, _tmp_path: Path) -> RunSettings:
    return SETTINGS[algorithm](**{former: value})


def from_call(algorithm: str, former: str, value: object, _tmp_path: Path) -> RunSettings:
    return resolve_settings(algorithm, Layer(CALL, {former: value}), environ={}).settings


def from_settings_file(algorithm: str, former: str, value: object, tmp_path: Path) -> RunSettings:
    (tmp_path / "mine.yaml").write_text(f"{former}: {value}\n")
    return resolve_settings(algorithm, *read_layers(tmp_path / "mine.yaml", [], {}), environ={}).settings


def from_users_file(algorithm: str, former: str, value: object, tmp_path: Path) -> RunSettings:
    (tmp_path / "config.yaml").write_text(f"{former}: {value}\n")
    return resolve_settings(algorithm, environ={"HYBRIDLOOP_HOME": str(tmp_path)}).settings


def from_variable(algorithm: str, former: str, value: object, tmp_path: Path) -> RunSettings:
    environ = {"HYBRIDLOOP_HOME": str(tmp_path), f"HYBRIDLOOP_{algorithm}__{former}".upper(): str(value)}
    return resolve_settings(algorithm, environ=environ).settings


def from_deployment(algorithm: str, former: str, value: object, _tmp_path: Path) -> RunSettings:
    return merge_settings(SETTINGS[algorithm](seed=1), accept_former_names({former: value}))


def from_sweep_settings(algorithm: str, former: str, value: object, _tmp_path: Path) -> RunSettings:
    spec = {"name": "s", "algorithm": algorithm, "problems": "h2", "settings": {former: value, "seed": 1}}
    return next(iter(points_of(read_sweep(spec)))).settings


def from_sweep_grid(algorithm: str, former: str, value: object, _tmp_path: Path) -> RunSettings:
    spec = {"name": "s", "algorithm": algorithm, "problems": "h2", "grid": {former: [value], "seed": [1]}}
    return next(iter(points_of(read_sweep(spec)))).settings


def from_sweep_point(algorithm: str, former: str, value: object, _tmp_path: Path) -> RunSettings:
    spec = {"name": "s", "algorithm": algorithm, "points": [{"problem": "h2", former: value, "seed": 1}]}
    return next(iter(points_of(read_sweep(spec)))).settings


def from_set_option(algorithm: str, former: str, value: object, _tmp_path: Path) -> RunSettings:
    return resolve_settings(algorithm, *read_layers(None, [f"{former}={value}"], {}), environ={}).settings


def from_hidden_option(algorithm: str, former: str, value: object, _tmp_path: Path) -> RunSettings:
    layers: list[Layer] = []

    def command(ctx: typer.Context, **options: Any) -> None:
        layers.extend(read_layers(None, [], given_options(ctx, options)))

    app = typer.Typer()
    app.command()(with_options(command, settings_options(SETTINGS[algorithm])))
    app([f"--{former.replace('_', '-')}", str(value)], standalone_mode=False)
    return resolve_settings(algorithm, *layers, environ={}).settings


PATHS = [
    from_model,
    from_call,
    from_settings_file,
    from_users_file,
    from_variable,
    from_deployment,
    from_sweep_settings,
    from_sweep_grid,
    from_sweep_point,
    from_set_option,
    from_hidden_option,
]


@pytest.mark.parametrize(("former", "algorithm", "value"), CASES)
@pytest.mark.parametrize("read", PATHS)
def test_a_former_name_sets_the_setting_and_warns_once(
    read: Callable[[str, str, object, Path], RunSettings], former: str, algorithm: str, value: object, tmp_path: Path
) -> None:
    name = RENAMED[former]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        settings = read(algorithm, former, value, tmp_path)
    assert getattr(settings, name) == getattr(SETTINGS[algorithm].model_validate({name: value}), name)
    (warning,) = [w for w in caught if w.category is RenamedWarning]
    assert f"the setting {former} is now {name}" in str(warning.message)


@pytest.mark.parametrize(("former", "algorithm", "value"), CASES)
def test_the_schema_by_which_prefect_checks_parameters_accepts_former_names(
    former: str, algorithm: str, value: object
) -> None:
    from prefect.utilities.callables import parameter_schema
    from prefect.utilities.schema_tools.validation import is_valid

    schema = parameter_schema(load_flow(algorithm).fn).model_dump()
    problem = {"name": "h2"}
    assert is_valid({"problem": problem, "settings": {former: value}}, schema)
    assert not is_valid({"problem": problem, "settings": {f"{former}_": value}}, schema)


@pytest.mark.parametrize(("former", "algorithm", "value"), CASES)
def test_a_stored_run_with_a_former_name_is_read_without_a_warning(
    journal: Journal, former: str, algorithm: str, value: object
) -> None:
    name = RENAMED[former]
    expected = getattr(SETTINGS[algorithm].model_validate({name: value}), name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert getattr(settings_of(journal, stored_run(journal, algorithm, {former: value})), name) == expected


def test_limits_of_a_resume_with_a_former_name_are_read_from_the_journal(journal: Journal) -> None:
    record = stored_run(journal, "vqe", {"resume_automatically": "never"})
    journal.add_event(journal.claim(record.uid), LIMITS_GIVEN, {"unattended": "interrupted"})
    assert settings_of(journal, record).resume_automatically == "interrupted"


def stored_run(journal: Journal, algorithm: str, settings: dict[str, Any]) -> RunRecord:
    return journal.add_run(
        new_run(
            "7d1c9f5e-0000-4000-8000-000000000000",
            key="k",
            algorithm=algorithm,
            problem="h2",
            target="rigetti.sim.qvm",
            seed=1,
            settings={"problem": {"name": "h2"}, "settings": settings, "workspace": {}},
        )
    )


def test_housekeeping_accepts_its_former_name() -> None:
    with pytest.warns(FutureWarning, match="goes_on is now resume_runs"):
        assert HousekeepingSettings.model_validate({"goes_on": False}) == HousekeepingSettings(resume_runs=False)


def test_a_setting_under_both_names_is_refused() -> None:
    with pytest.warns(FutureWarning), pytest.raises(InputError, match=r"^starts: .* Give random_starts alone"):
        resolve_settings("vqd", Layer(CALL, {"starts": 1, "random_starts": 2}), environ={})


def test_a_current_name_goes_before_a_former_one_of_a_lower_source(tmp_path: Path) -> None:
    environ = {"HYBRIDLOOP_HOME": str(tmp_path), "HYBRIDLOOP_STARTS": "5"}
    with pytest.warns(FutureWarning):
        resolved = resolve_settings("vqd", Layer(CALL, {"random_starts": 2}), environ=environ)
    assert resolved.settings.model_dump()["random_starts"] == 2
    assert FORMER["random_starts"] == "starts"
