"""`hybridloop sweep` with invalid input: the error names the field, and nothing is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.shell_helpers import run_in_process


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("algorithm: vqe\nproblems: [h2]\ngrid: {shots: [5, 0]}\n", [], "point 2: shots"),
        ("algorithm: vqe\nproblems: [h2, missing.fcidump]\n", [], "missing.fcidump: there is no such file"),
        ("algorithm: vqe\nproblem: h2\n", [], "Did you mean 'problems'?"),
        ("algorithm: vqe\nproblems: h2\n", ["--output", "table.xlsx"], ".csv or .json"),
        (
            "algorithm: vqe\nproblems: h2\n",
            ["--output", "no-such-folder/table.csv"],
            "there is no folder no-such-folder",
        ),
        ("algorithm: vqe\nproblems: h2\n", ["--max-sessions", "0"], "--max-sessions"),
        (None, [], "can't be read"),
    ],
)
def test_an_invalid_sweep_is_refused_with_its_field(
    text: str | None, arguments: list[str], message: str, stack_environ: Mapping[str, str], tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "s.yaml").write_text(text)
    answer = run_in_process(stack_environ, "sweep", str(tmp_path / "s.yaml"), *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
