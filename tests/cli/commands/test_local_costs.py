"""A price of the local service is not taken for one that is billed, wherever a cost is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import hybridloop as hl
from hybridloop.azure.workspace import connect_from_environment
from hybridloop.errors import InputError
from tests.cli.shell_helpers import CommandResult, Shell
from tests.conftest import Emulator

LOCAL = re.compile(r"local: not billed|local service bills nothing|local service, where nothing|local cost")
RUN = ("vqe", "h2", "--target", "ionq.qpu.aria-1", "--seed", "7", "--precision", "0.05")
SETTINGS = "settings: {seed: 7, target: ionq.qpu.aria-1, precision: 0.05}"
SWEEP = f"algorithm: vqe\nproblems: h2\n{SETTINGS}\ndeployment: none\n"


@pytest.mark.slow
@pytest.mark.usefixtures("forked_points")
def test_each_command_that_shows_a_cost_says_that_it_is_local(
    shell: Shell, emulator: Emulator, inside: Callable[..., CommandResult], tmp_path: Path
) -> None:
    own = shell.with_variables(HYBRIDLOOP_JOURNAL=f"sqlite:///{tmp_path}/journal.db")
    place = own.at(emulator, "local-costs").shell
    (tmp_path / "sweep.yaml").write_text(SWEEP)

    def said(*command: str) -> str:
        done = inside(place.environ, *command)
        assert done.code in (0, 4), done.err
        return done.out

    run = said("run", *RUN, "--run-key", "here")
    assert "USD (local: not billed) on ionq.qpu.aria-1" in run
    session = re.search(r"session ([0-9a-f-]{36})", run)
    assert session is not None
    for command in (
        ("runs", "show", "here"),
        ("runs", "resume", "here"),
        ("cost",),
        ("plan", *RUN),
        ("sweep", str(tmp_path / "sweep.yaml")),
        ("sessions", "jobs", session[1]),
    ):
        assert LOCAL.search(said(*command)), command
    head, *rows = (re.split(r"  +", line) for line in said("runs", "list").splitlines())
    assert {row[head.index("local")] for row in rows} == {"yes"}
    said("runs", "report", "here", "--output", str(tmp_path / "report.html"))
    assert "USD (local: not billed)" in (tmp_path / "report.html").read_text("utf-8")


@pytest.fixture
def _no_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONNECTION_STRING", "SUBSCRIPTION_ID", "WORKSPACE_RG", "WORKSPACE_NAME", "WORKSPACE_LOCATION"):
        monkeypatch.delenv(f"AZURE_QUANTUM_{name}", raising=False)


@pytest.mark.claim("bills nothing")
@pytest.mark.usefixtures("_no_workspace")
def test_a_run_for_a_machine_without_a_workspace_says_first_that_it_is_local(caplog: pytest.LogCaptureFixture) -> None:
    for target, said in (
        ("quantinuum.qpu.h2-1", ["quantinuum.qpu.h2-1 is simulated by the local service: no workspace is named, and "]),
        ("ionq.simulator", []),
    ):
        caplog.clear()
        with pytest.raises(InputError):  # after the line, and before anything is started
            hl.vqe("h2", target=target, provider_options={"none-such": 1})
        assert [record.message.partition("nothing")[0] for record in caplog.records] == said


@pytest.mark.usefixtures("_no_workspace")
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("AZURE_QUANTUM_CONNECTION_STRNG", "AZURE_QUANTUM_CONNECTION_STRING"),
        ("AZURE_QUANTM_WORKSPACE_NAME", "AZURE_QUANTUM_WORKSPACE_NAME"),
    ],
)
def test_a_misspelt_variable_is_refused_where_the_local_service_would_be_used(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "anything")
    with pytest.raises(InputError, match=f"{name}: no such variable is read.*Did you mean {meant}"):
        connect_from_environment()
    monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_QUANTUM_TOKEN_FILE", "of another program")
    assert connect_from_environment() is None
