"""An ended run answers what its key stands for: any other setting is refused, or named as without effect."""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError
from hybridloop.journal import Journal, open_journal
from hybridloop.runs.order import RunOrder, algorithm_order
from hybridloop.runs.run import find_run
from hybridloop.settings import LIMITS, ProblemText, RunSettings
from tests.runs.holding_helpers import hold

VALUES: dict[str, list[Any]] = {
    "seed": [7, 8],
    "target": ["rigetti.sim.qvm", "ionq.simulator"],
    "failure": [{}, {"retries": 4}, {"penalty": 0.0}, {"penalty": 1.0}],
    "exclusive_access_budget": [None, {"USD": 1.0}, {"HQC": 1.0}, {"USD": 2.0}],
    "provider_options": [None, {"a": {"b": 1}}, {"a": {"b": None}}, {"a": {}}, {"c": None}],
    "tags": [None, ["a"], ["b"], ["a", "b"]],
    "max_cost": [None, {"USD": 5.0}, {"HQC": 5.0}, {"USD": 5.0, "HQC": 5.0}],
    "max_cost_per_job": [None, {"USD": 5.0}, {"HQC": 5.0}],
    "active_space": [None, "auto", "auto:4,4", (4, 4), "orbitals=1,2", "symmetry=A1:1,B1:1"],
    "observables": [None, {"dipole": None}, {"occupations": None}, {"dipole": None, "z": "ZZ"}, {"z": "XX"}],
    "ansatz": ["auto", "uccsd", "grown", "OPENQASM 3.0; qubit[2] q;", "OPENQASM 3.0; qubit[4] q;"],
    "initial_point": ["auto", "hf", (0.1, 0.2), (0.1, -0.2)],
    "optimizer": ["auto", "rotosolve", "cobyla"],
    "mitigation": [None, ("readout",), ("readout", "zne-linear")],
    "angles": [None, (0.1, 0.2), (0.2, 0.1)],
    "start_assignment": [None, "0101", "1010"],
    "session_slots": [None, "a", "b"],
    "layers": [None, 0, 1, 2],
    "extend_to": [None, 5, 6],
    "cvar": [1.0, 0.5, 0.1],
}
BESIDE: dict[str, dict[str, Any]] = {"cvar": {"search": "measured"}}  # what a setting needs
NUMBERS: list[Any] = [0, 0.001, 0.5, 1, 2, 3, 20]


def with_value(model: type[RunSettings], name: str, value: object) -> RunSettings:
    return model.model_validate({"seed": 7, **BESIDE.get(name, {}), name: value})


def values_of(model: type[RunSettings], name: str) -> list[Any]:
    """Return valid values of a setting, of which at least two differ."""
    field = model.model_fields[name]
    kinds = [each for each in (field.annotation, *get_args(field.annotation)) if isinstance(each, type)]
    drawn = VALUES.get(name) or [member for kind in kinds if issubclass(kind, enum.Enum) for member in kind]
    drawn = drawn or ([True, False] if bool in kinds else NUMBERS)
    valid = list[Any]()
    for value in [field.default, *drawn]:
        try:
            with_value(model, name, value)
        except (ValidationError, InputError):
            continue
        valid.append(value)
    return valid


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with open_journal({"HYBRIDLOOP_JOURNAL": f"sqlite:///{tmp_path / 'journal.db'}"}) as opened:
        yield opened


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_each_setting_has_values_that_differ(algorithm: str) -> None:
    model = ALGORITHMS[algorithm].settings
    for name in model.model_fields:
        texts = {with_value(model, name, value).model_dump_json() for value in values_of(model, name)}
        assert len(texts) > 1, name


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_another_setting_is_refused_or_named(
    journal: Journal, caplog: pytest.LogCaptureFixture, algorithm: str
) -> None:
    model = ALGORITHMS[algorithm].settings
    for name in own_fields(algorithm):
        settings = [with_value(model, name, value) for value in values_of(model, name)]
        for first in settings:
            with hold(journal, order_of(algorithm, first)) as run:
                journal.set_status(run.lease, "finished", "it was measured", {})
            for second in settings:
                check_answer(journal, caplog, name, first, second, order_of(algorithm, second))
            journal.delete_runs([run.uid])


def own_fields(algorithm: str) -> Iterator[str]:
    """Yield the settings that no algorithm before this one has."""
    seen = set[str]()
    for name, description in ALGORITHMS.items():
        fields = {each: f"{each} {field!r}" for each, field in description.settings.model_fields.items()}
        if name == algorithm:
            yield from (each for each, text in fields.items() if text not in seen)
        seen |= set(fields.values())


def order_of(algorithm: str, settings: RunSettings) -> RunOrder:
    return algorithm_order(algorithm, ProblemText(name="h2"), settings, "k", workspace={"name": "w"})


def check_answer(
    journal: Journal,
    caplog: pytest.LogCaptureFixture,
    name: str,
    first: RunSettings,
    second: RunSettings,
    order: RunOrder,
) -> None:
    same = first.model_dump(mode="json") == second.model_dump(mode="json") or (name == "seed" and second.seed is None)
    if not same and name not in LIMITS:
        with pytest.raises(InputError) as refused:
            find_run(journal, order)
        assert refused.value.field.partition(".")[0] == name
        return
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert find_run(journal, order).has_result
    told = [each.getMessage() for each in caplog.records if "has no effect" in each.getMessage()]
    if same or getattr(second, name) is None:
        assert told == []
    else:
        (line,) = told
        assert name in line
