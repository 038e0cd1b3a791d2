"""Text of files, bundles and services reaches the terminal without control characters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.cli import output
from hybridloop.cli.output import print_facts, print_json, print_message, print_table
from hybridloop.reports.bundle.archive import RUN
from hybridloop.runtime.escaping import escape_control
from hybridloop.settings import ProblemText
from tests.cli.shell_helpers import CommandResult
from tests.reports.test_bundle import changed, files_of, zipped

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
UNSEEN = re.compile("[\u061c\u200b\u200e\u200f\u2060\u206a-\u206f\ufeff]")
HOSTILE = "\x1b[2J\x1b]0;title\x07\r\x9b31m\u202eabc\x7f"


@given(st.text())
def test_no_control_character_is_left_and_other_text_is_unchanged(text: str) -> None:
    escaped = escape_control(text)
    assert CONTROL.search(escaped) is None
    if CONTROL.search(text) is None:
        assert escaped == UNSEEN.sub(lambda mark: f"\\u{ord(mark[0]):04x}", text)


def test_values_stay_on_their_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts({"reason": f"{HOSTILE}\nstatus          converged", "rows": [{"id": HOSTILE}], "map": {HOSTILE: "\n"}})
    print_table(("name",), [{"name": f"{HOSTILE}\nother"}])
    print_message(HOSTILE)
    print_json({"reason": HOSTILE})
    out, err = capsys.readouterr()
    assert CONTROL.search(out + err) is None
    assert json.loads(out[out.index("{\n") :]) == {"reason": HOSTILE}
    assert out[: out.index("{\n")].count("\n") == 5


@pytest.mark.parametrize("command", ["verify", "export", "report"])
def test_a_hostile_bundle_does_not_control_the_terminal(
    command: str, run_command: Callable[..., CommandResult], bundles: Path, tmp_path: Path
) -> None:
    files = files_of(bundles / "vqe.zip")
    files[RUN] = changed(
        files[RUN], lambda run: run.update(versions={HOSTILE: HOSTILE}, reason=HOSTILE, status=HOSTILE)
    )
    bundle = zipped(tmp_path / f"b{HOSTILE[:4]}.zip", files, resealed=True)
    arguments = ("--no-plan", "--output", str(tmp_path / "page.html")) if command == "report" else ()
    result = run_command("runs", command, str(bundle), *arguments)
    assert result.code in (0, 1)
    assert CONTROL.search(result.out + result.err) is None
    assert "Traceback" not in result.err


def test_a_damaged_bundle_is_named_without_its_control_characters(
    run_command: Callable[..., CommandResult], bundles: Path, tmp_path: Path
) -> None:
    files = files_of(bundles / "vqe.zip")
    files[RUN] = changed(files[RUN], lambda run: run.update(created_at=HOSTILE))
    result = run_command("runs", "verify", str(zipped(tmp_path / "b.zip", files, resealed=True)))
    assert result.code == 1
    assert "b.zip is damaged or was changed" in result.err
    assert CONTROL.search(result.err) is None


def test_a_problems_name_has_no_control_characters_in_prefects_log_and_tags() -> None:
    assert CONTROL.search(ProblemText(name=HOSTILE).name) is None
    assert ProblemText(name=ProblemText(name=HOSTILE).name) == ProblemText(name=HOSTILE)


@pytest.mark.parametrize("pool", ["", " ", "a/b", "<b>x</b>", HOSTILE, "x" * 10_000, "a?b", "a%2fb"])
@pytest.mark.parametrize(
    "command", [("deploy", "vqe", "h2", "--pool"), ("run", "vqe", "h2", "--on"), ("worker", "--pool")]
)
def test_a_work_pool_that_prefect_can_not_have_is_refused(
    command: tuple[str, ...], pool: str, run_command: Callable[..., CommandResult]
) -> None:
    result = run_command(*command, pool)
    assert result.code == 2
    assert "is no name of a work pool. Give up to 200" in result.err
    assert CONTROL.search(result.err) is None


def test_commands_print_through_the_functions_that_escape() -> None:
    folder = Path(output.__file__).parent
    for path in folder.rglob("*.py"):
        if path.name != "output.py":
            assert re.search(r"(?<![\w.])print\(|sys\.std(out|err)\.write", path.read_text()) is None, path
