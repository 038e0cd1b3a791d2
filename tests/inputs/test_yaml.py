"""Plain YAML: what it takes, and the message for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from hybridloop.api.sweep_input import read_sweep
from hybridloop.errors import InputError
from hybridloop.inputs.circuits import circuit_text
from hybridloop.inputs.text_files import read_text
from hybridloop.inputs.yaml import parse_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("? [a, b]\n: 1", "line 1: a sequence is no name"),
        ("shots: 1\n? {a: b}\n: 1", "line 2: a mapping is no name"),
        ("a: 1\n1: 2", "line 2: '1' is no name"),
        ("null: 2", "'null' is no name"),
        ("<<: {a: 1}", "'<<' is no name"),
        ("a: 1\na: 2", "line 2: 'a' is there twice"),
        ("a: !!python/object/apply:os.system [ls]", "the tag tag:yaml.org,2002:python/object/apply:os.system"),
        ("a: !!int x", "the tag tag:yaml.org,2002:int is not taken"),
        ("a: !!timestamp x", "is not taken"),
        ("a: !!bool x", "is not taken"),
        ("a: !!binary x", "is not taken"),
        ("a: ! x", "is not taken"),
        ("a: !!set {b}", "is not taken"),
        ("a: &b 1\nc: *b", "line 2: aliases are not taken"),
        ("a: 0b_", "'0b_' is neither a number nor text"),
        ("a: 0x" + "f" * 1000, "more than 64 characters"),
        ("a: " + "9" * 5000, "more than 64 characters"),
        ('a: "\\uD800"', "is neither a number nor text"),
        ("[" * 1000, "nested too deeply"),
        ("a: =", "could not determine a constructor"),
        ("a: [", "line 1|expected"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        parse_yaml(text, "it")
    assert refused.value.field == "it"


def test_a_date_is_text() -> None:
    assert parse_yaml("{a: 2024-01-31, b: 2024-13-45}", "it") == {"a": "2024-01-31", "b": "2024-13-45"}


def test_a_device_without_end_is_read_up_to_the_limit() -> None:
    with pytest.raises(InputError, match="more than 1,000 bytes"):
        read_text(Path("/dev/zero"), "config", "a YAML file", 1000)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("algorithm: vqe\nproblems: [[h2]]", "problems.0: .*the list has no edges"),
        ("algorithm: vqe\nproblems: [{name: h2, txt: x}]", "problems.0.txt: .*Did you mean 'text'"),
        ("algorithm: vqe\nproblem: h2", "problem: there is no such setting.*Did you mean 'problems'"),
        ("algorithm: vqe\nproblems: h2\npoints: [{shots: 1}, {shotz: 2}]", "point 3: shotz: .*Did you mean 'shots'"),
        (
            "algorithm: vqe\nproblems: h2\npoints: [{problem: [h2]}]",
            "points.0.problem: .*the list has no edges",
        ),
        (f"algorithm: vqe\nproblems: {'x' * 300}", "can't be read"),
        ("algorithm: vqe\nproblems: '/**'", "whole trees"),
        ("algorithm: vqe\nproblems: '[a'", "matches no file"),
        (f"algorithm: vqe\nproblems: h2\nsettings: {{ansatz: {'x' * 300}}}", "ansatz"),
        ("algorithm: [vqe]\nproblems: h2", "algorithm"),
        ("algorithm: vqe\nproblems: h2\nsettings: [1]", "settings"),
        ("algorithm: vqe\nproblems: h2\npoints: [1]", "points"),
        ("algorithm: vqe\nproblems: h2\nsettings: {failure: 3}\ngrid: {failure.retries: [1]}", "failure is given"),
    ],
)
def test_an_invalid_sweep_file_is_refused_with_the_place(values: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(values)
    with pytest.raises(InputError, match=message):
        read_sweep(tmp_path / "s.yaml")


def test_a_long_text_is_no_path_of_a_circuit() -> None:
    assert circuit_text("x" * 300) == "x" * 300
