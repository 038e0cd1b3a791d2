"""Files that the ecosystem looks for: the workflow, the forms of issues; the commands that they name exist."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer
import yaml

from hybridloop.cli.app import build_app
from tests.paths import ROOT

HOST = ROOT / ".github"
FORMS = sorted((HOST / "ISSUE_TEMPLATE").glob("*.yml"))


def test_the_workflow_runs_all_that_a_merge_needs() -> None:
    workflow = yaml.safe_load((HOST / "workflows" / "ci.yml").read_text("utf-8"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert workflow["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_what_its_commands_print(path: Any) -> None:
    form = yaml.safe_load(path.read_text("utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert any(field.get("validations", {}).get("required") for field in fields)
    command: Any = typer.main.get_command(build_app())
    named = re.findall(r"`hybridloop ([a-z ]+)", path.read_text("utf-8"))
    assert named
    for words in named:
        found = command
        for word in words.split():
            found = found.commands[word]
