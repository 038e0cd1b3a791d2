"""Help of the command line: commands in groups, ten options first, and refusals that name options as typed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import typer

from hybridloop.cli.app import build_app
from hybridloop.cli.help import COMMAND_GROUPS
from hybridloop.cli.option_names import with_option
from hybridloop.errors import CapReached, InputError
from tests.cli.shell_helpers import CommandResult

TREE: Any = typer.main.get_command(build_app())
ALGORITHMS = sorted(TREE.commands["run"].commands)
HELP = {"--help", "--help-all"}

Hybridloop = Callable[..., CommandResult]


def options_in(text: str) -> set[str]:
    """Return the options that a help lists, one for each line of a panel."""
    return set(re.findall(r"^│ [* ]*(--[a-z-]+)", text, re.MULTILINE))


def test_commands_are_listed_in_their_groups_with_run_first(run_command: Hybridloop) -> None:
    listed = re.findall(r"^╭─ ([A-Z][a-z ]+?) ─|^│ ([a-z]+)  ", run_command("--help").out, re.MULTILINE)
    groups: dict[str, list[str]] = {}
    for heading, command in listed:
        if heading:
            groups[heading] = []
        else:
            groups[list(groups)[-1]].append(command)
    assert next(iter(groups.pop("Run"))) == "run"
    assert groups.pop("Options") == []
    assert groups["Local service"] == ["emulator"]
    assert set(groups) == {"Look", "Set up", "Local service"}
    assert {name for names in COMMAND_GROUPS.values() for name in names} >= set(TREE.commands)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("verb", ["run", "plan"])
def test_the_help_of_an_algorithm_has_ten_options_and_the_long_help_all(
    verb: str, algorithm: str, run_command: Hybridloop
) -> None:
    short, full = (options_in(run_command(verb, algorithm, flag).out) for flag in ("--help", "--help-all"))
    command = TREE.commands[verb].commands[algorithm]
    settings = {param.opts[0] for param in command.params if param.param_type_name == "option" and not param.hidden}
    assert len(short - HELP) == 10
    assert {"--target", "--shots", "--seed", "--max-cost", "--json", *HELP} <= short
    assert full == settings | HELP
    assert len(full) > 30


def test_the_unit_of_a_molecule_is_no_option_of_a_graph(run_command: Hybridloop) -> None:
    refused = run_command("run", "vqe", "h2", "--unit", "kcal")
    assert (refused.code, "kcal/mol" in refused.err) == (2, True)
    assert "No such option: --unit" in run_command("run", "qaoa", "petersen", "--unit", "eV").err


def test_only_a_setting_that_is_the_field_becomes_an_option() -> None:
    error = InputError("max_jobs", "it is below max_shots", "Set max_rounds.")
    assert str(with_option(error)) == "--max-jobs: it is below max_shots. Set max_rounds."
    for other in (InputError("mine.yaml, max_cost", "5: no unit"), CapReached("max_cost", "5 USD", "Raise max_cost.")):
        assert with_option(other) is other
