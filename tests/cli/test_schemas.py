"""JSON documents match their published schemas; every command has an example; names are completed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer

from hybridloop.cli.app import build_app
from hybridloop.cli.schemas import DOCUMENTS, schema_of
from hybridloop.data import load_table
from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import CommandResult, Shell, WorkspaceShell
from tests.conftest import Emulator
from tests.prefect_server import as_own_server, own_environ

TREE: Any = typer.main.get_command(build_app())


def commands(of: Any = TREE, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Return all commands without groups, by their words."""
    for name, command in of.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        if command.callback is not None and command.params:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands())
WITH_JSON = [name for name, command in COMMANDS.items() if any(option.name == "json" for option in command.params)]
NEED_A_POOL = {"deploy", "runs cancel"}  # called in `tests/deployments`


def test_every_command_that_prints_json_has_a_schema_and_no_other() -> None:
    assert set(WITH_JSON) == set(DOCUMENTS)


@pytest.mark.parametrize("command", DOCUMENTS)
def test_a_schema_is_valid_and_its_objects_have_all_their_properties_and_no_others(command: str) -> None:
    schema = schema_of(command)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == f"hybridloop {command} --json"
    assert json.loads(json.dumps(schema)) == schema
    described = [part for part in objects(schema) if part.get("additionalProperties") is not True]
    assert described
    for part in described:
        assert part["additionalProperties"] is False
        assert set(part["required"]) == set(part["properties"])


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Return all parts of a schema that describe objects by their properties."""
    if isinstance(schema, dict) and isinstance(schema.get("properties"), dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from objects(part)


def test_schemas_are_printed_and_listed(run_command: Callable[..., CommandResult]) -> None:
    assert run_command("schema").out.split("\n")[:-1] == list(DOCUMENTS)
    assert json.loads(run_command("schema", "runs", "list").out) == schema_of("runs list")
    refused = run_command("schema", "runs", "lists")
    assert refused.code == 2
    assert "Did you mean 'runs list'?" in refused.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_shows_an_example_that_calls_it(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    example = re.search(rf"Example: hybridloop {re.escape(name)}(\s|$)", command.help)
    assert example, f"hybridloop {name} has no example in its help"


def validated(command: str, text: str) -> Any:
    document = json.loads(text)
    jsonschema.validate(document, schema_of(command), cls=jsonschema.Draft202012Validator)
    return document


EXACT = ("--target", "ionq.simulator", "--precision", "0.01")  # few jobs
RUNS = {
    "run vqe": ("h2", "--seed", "7", "--run-key", "docs-vqe"),
    "run adapt": ("heh+", "--seed", "7", *EXACT),
    "run levels": ("h2", "--seed", "7", "--levels", "2", *EXACT),
    "run sqd": ("h4", "--seed", "7", "--max-subspace", "36", "--initial-point", "random"),
    "run scan": ("h2", "h2-1.6", "--seed", "7", "--precision", "0.01"),
    "run qaoa": ("petersen", "--seed", "7", "--run-key", "docs-qaoa"),
    "run rqaoa": ("petersen", "--seed", "7", "--brute-force-below", "8"),
}
PLANS = {
    "plan vqe": ("h2", "--target", "ionq.qpu.forte-1", "--max-cost", "50USD", "--targets", "rigetti.sim.qvm"),
    "plan adapt": ("heh+", "--seed", "7", *EXACT),
    "plan levels": ("h2", "--seed", "7", *EXACT),
    "plan sqd": ("h4", "--seed", "7", "--max-subspace", "16"),
    "plan scan": ("h2", "h2-1.6", "--seed", "7", *EXACT),
    "plan qaoa": ("ring-8",),
    "plan rqaoa": ("ring-8", "--brute-force-below", "7"),
}
SWEEP = "algorithm: qaoa\nproblems: petersen\nsettings: {seed: 7}\ngrid: {layers: [1]}\ndeployment: none\n"
LIMIT = ("limit", "set", "team", "500USD", "--tag", "nightly")
# arguments of each other command; KEY and ID are the run and session of `run vqe`
OTHERS = {
    "sweep": ("SWEEP",),
    "runs list": (),
    "runs show": ("KEY",),
    "runs samples": ("docs-qaoa",),
    "runs resume": ("KEY",),
    "runs follow": ("KEY",),
    "runs stop": ("KEY",),
    "runs verify": ("KEY",),
    "runs reproduce": ("KEY",),
    "runs prune": ("--older-than", "90d"),
    "cost": (),
    "limit set": LIMIT[2:],
    "limit list": (),
    "limit show": ("team",),
    "limit remove": ("team",),
    "sessions list": (),
    "sessions show": ("ID",),
    "sessions jobs": ("ID",),
    "sessions close": ("ID",),
    "sessions close-orphans": (),
    "targets": (),
    "problems": (),
    "optimizers": (),
    "emulator ledger": ("--url", "URL"),
    "up": (),
    "status": (),
    "config": (),
    "doctor": (),
    "journal backup": ("BACKUP",),
    "journal restore": ("BACKUP",),
    "down": (),
}
# what is called before a command
BEFORE = {
    "runs samples": ("run", "qaoa", *RUNS["run qaoa"]),
    "journal restore": ("journal", "backup", "BACKUP"),
    "limit list": LIMIT,
    "limit show": LIMIT,
    "limit remove": LIMIT,
}
LATER: Mapping[str, Sequence[tuple[str, ...]]] = {
    "runs resume": [("KEY", "--later")],
    "problems": [("ising-6",)],
    "config": [("qaoa",)],
    "doctor": [("--live", "--yes")],
}


@pytest.fixture(scope="module")
def workspace(shell: Shell, emulator: Emulator) -> WorkspaceShell:
    """Return one workspace for all commands."""
    return shell.at(emulator, "documents")


@pytest.fixture(scope="module")
def environ(
    workspace: WorkspaceShell,
    prefect_server: PrefectServer,
    emulator: Emulator,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Return an environment with its own home, so that no other stack is stopped, on the shared Prefect server."""
    home = tmp_path_factory.mktemp("home")
    return {
        **workspace.shell.environ,
        "HYBRIDLOOP_HOME": str(home),
        "HYBRIDLOOP_JOURNAL": f"sqlite:///{home}/journal.db",
        "HYBRIDLOOP_EMULATOR_ADMIN_KEY": emulator.admin_key,
        **as_own_server(prefect_server),
    }


@pytest.mark.slow
@pytest.mark.usefixtures("forked_points")
@pytest.mark.parametrize("command", [*RUNS, *PLANS, *OTHERS])
def test_the_output_of_a_command_matches_its_schema(
    command: str, environ: dict[str, str], emulator: Emulator, inside: Callable[..., CommandResult], tmp_path: Path
) -> None:
    def called(*arguments: str) -> Any:
        outcome = inside(environ, *command.split(), *arguments, "--json")
        assert outcome.code == 0, outcome.err
        return validated(command, outcome.out)

    if command in RUNS or command in PLANS:
        called(*(RUNS | PLANS)[command])
        return
    ran = inside(environ, "run", "vqe", *RUNS["run vqe"], "--json")  # the result, once it exists
    (tmp_path / "depths.yaml").write_text(SWEEP)
    session = json.loads(ran.out)["sessions"][0]["id"]
    known = {"SWEEP": str(tmp_path / "depths.yaml"), "KEY": "docs-vqe", "ID": session, "URL": emulator.endpoint}
    known["BACKUP"] = str(tmp_path / "backup.db")
    if before := BEFORE.get(command):
        assert inside(environ, *(known.get(each, each) for each in before)).code == 0
    for arguments in (OTHERS[command], *LATER.get(command, ())):
        called(*(known.get(each, each) for each in arguments))


@pytest.mark.slow
def test_the_output_of_a_stopped_run_matches_its_schema(
    environ: dict[str, str], inside: Callable[..., CommandResult]
) -> None:
    outcome = inside(environ, "run", "vqe", "h2", "--seed", "7", "--max-shots", "1", "--json")
    assert outcome.code == 3, outcome.err
    assert validated("run vqe", outcome.out)["value"] is None
    cost = inside(environ, "cost", "--json")  # with a run that sent no job
    assert cost.code == 0, cost.err
    validated("cost", cost.out)


def test_every_command_that_prints_json_is_called_here() -> None:
    assert set(WITH_JSON) == RUNS.keys() | PLANS.keys() | OTHERS.keys() | NEED_A_POOL


Offers = Callable[..., list[str]]


@pytest.fixture
def offers(inside: Callable[..., CommandResult]) -> Offers:
    """Return the completions that bash offers for the last word."""

    def completed(environ: Mapping[str, str], *words: str) -> list[str]:
        line = " ".join(("hybridloop", *words))
        asked = {"_HYBRIDLOOP_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
        outcome = inside({**environ, **asked})
        assert outcome.err == ""
        return outcome.out.split()

    return completed


def test_a_shell_completes_known_names_and_files(offers: Offers, home: Path, tmp_path: Path) -> None:
    (tmp_path / "h2-mine.fcidump").touch()
    environ = own_environ(home)
    assert set(offers(environ, "run", "vq")) == {"vqe"}
    assert offers(environ, "run", "vqe", "h2-1.") == [
        each for each in load_table("problems") if each.startswith("h2-1.")
    ]
    assert offers(environ, "run", "vqe", f"{tmp_path}/h2-m") == [f"{tmp_path}/h2-mine.fcidump"]
    assert offers(environ, "run", "qaoa", "peter") == ["petersen"]
    assert offers(environ, "run", "levels", "ising") == ["ising-6"]
    assert offers(environ, "run", "adapt", "hub") == ["hubbard-2", "hubbard-4"]
    for algorithm in ("adapt", "sqd"):  # these need electrons
        assert offers(environ, "run", algorithm, "ising") == []
    assert offers(environ, "problems", "k") == ["knapsack-8"]
    assert offers(environ, "run", "vqe", "h2", "--target", "ionq.sim") == ["ionq.simulator"]
    assert offers(environ, "run", "vqe", "h2", "--optimizer", "scipy:neld") == ["scipy:nelder-mead"]
    assert offers(environ, "run", "vqe", "h2", "--set", "failure.retri") == ["failure.retries="]


@pytest.mark.slow
def test_a_shell_completes_the_keys_of_runs(
    offers: Offers, environ: dict[str, str], inside: Callable[..., CommandResult]
) -> None:
    inside(environ, "run", "vqe", *RUNS["run vqe"], "--json")
    offered = offers(environ, "runs", "show", "docs-v")
    assert "docs-vqe" in offered
    assert all(key.startswith("docs-v") for key in offered)
    refused = inside(environ, "runs", "show", "docs-vqw")
    assert "Did you mean 'docs-vqe'?" in refused.err


def test_completion_creates_no_journal(offers: Offers, home: Path) -> None:
    assert offers(own_environ(home), "runs", "show", "a") == []
    assert not home.exists()


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_completion_can_be_set_up(run_command: Callable[..., CommandResult], kind: str) -> None:
    outcome = run_command(_HYBRIDLOOP_COMPLETE=f"source_{kind}")
    assert outcome.code == 0
    assert "_HYBRIDLOOP_COMPLETE=complete_" in outcome.out
