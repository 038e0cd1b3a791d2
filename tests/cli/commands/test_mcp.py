"""`hybridloop mcp` with the SDK's own client: an assistant plans and runs, and can't spend more than it is allowed."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from anyio.to_thread import run_sync
from mcp import Client, StdioServerParameters

from hybridloop.assistant.allowance import Allowance
from tests.cli.shell_helpers import CommandResult, Shell, environment
from tests.conftest import Emulator
from tests.prefect_server import own_environ
from tests.waiting import PATIENCE_S, eventually

TARGET = "quantinuum.sim.h2-1e"
H2 = {"algorithm": "vqe", "problem": "h2"}
SETTINGS = {"target": TARGET, "search": "measured", "precision": 0.02, "seed": 7}
NO_SEARCH = {"target": TARGET, "seed": 7}
SLOWLY = {"rules": [{"fault": "slow-answer", "operation": "list", "seconds": 1}]}
Call = Callable[..., Awaitable[Any]]


@pytest.fixture
def own(shell: Shell, tmp_path: Path) -> Shell:
    """Return a shell with a journal of the test's own, and so with an allowance of its own."""
    return shell.with_variables(HYBRIDLOOP_JOURNAL=f"sqlite:///{tmp_path}/journal.db")


@asynccontextmanager
async def assistant(shell: Shell, *options: str) -> AsyncIterator[tuple[Call, psutil.Process]]:
    """Start a server and a client of it; yield a function that calls a tool, and the server's process.

    The function returns the answer, or the text of a refusal.
    """
    before = psutil.Process().children()
    command = ["-P", "-m", "hybridloop", "mcp", *options]
    server = StdioServerParameters(command=sys.executable, args=command, env=dict(shell.environ))
    async with Client(server, read_timeout_seconds=PATIENCE_S) as client:

        async def call(tool: str, **arguments: Any) -> Any:
            answer = await client.call_tool(tool, arguments)
            return answer.content[0].text if answer.is_error else answer.structured_content  # type: ignore[union-attr]

        (process,) = [each for each in psutil.Process().children() if each not in before and "mcp" in each.cmdline()]
        yield call, process


@pytest.mark.slow
def test_an_assistant_plans_runs_resumes_by_the_key_and_is_refused_above_the_allowance(
    own: Shell, emulator: Emulator
) -> None:
    mine = own.at(emulator, "assistant")

    async def use() -> None:
        async with assistant(mine.shell, "--allow", "60eHQC", "--allow", "5USD") as (call, _):
            (problem,) = (await call("problems", name="h2"))["problems"]
            assert problem["qubits"] == 2
            plan = (await call("plan", **H2, settings=SETTINGS))["plan"]
            assert plan["target"] == TARGET
            assert plan["cost"]["unit"] == "eHQC"
            assert "has no cap in it" in await call("run", **H2, settings=SETTINGS)
            too_much = await call("run", **H2, settings={**SETTINGS, "max_cost": "61eHQC"}, run_key="a")
            assert "Give max_cost, at most 60eHQC; or ask a person" in too_much
            assert "60 eHQC of 60 eHQC are left" in too_much
            capped = {**SETTINGS, "max_cost": "40eHQC"}
            first = await call("run", **H2, settings=capped, run_key="a", wait_s=PATIENCE_S)
            assert first["status"] in ("converged", "finished")
            spent = first["allowance"]["spent"]["eHQC"]
            assert 0.0 < spent == first["result"]["costs"]["eHQC"] <= 40.0
            again = await call("run", **H2, settings=capped, run_key="a", wait_s=PATIENCE_S)
            assert (again["result"]["value"], again["allowance"]) == (first["result"]["value"], first["allowance"])
            assert (await call("result", run_key="a"))["result"] == again["result"]
            assert (await call("cost"))["cost"]["total"]["local"] == {"eHQC": spent}
            refused = await call("run", **H2, settings={**SETTINGS, "shots": -1, "max_cost": "1eHQC"}, run_key="b")
            assert "shots must be at least 1" in refused
            late = await call("run", algorithm="qaoa", problem="h2", settings={**NO_SEARCH, "max_cost": "1eHQC"})
            assert "problem" in late  # the command refused it
            assert (await call("cost"))["allowance"] == first["allowance"]
            assert "is no built-in problem" in await call("plan", algorithm="vqe", problem="/etc/passwd")

    anyio.run(use)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "left"])
def test_a_run_ends_with_its_server_resumes_by_its_key_and_holds_what_its_jobs_in_flight_reserve(
    own: Shell,
    start_emulator: Callable[..., Emulator],
    killed: bool,  # noqa: FBT001
) -> None:
    service = start_emulator()
    mine, settings = own.at(service, "assistant"), {**SETTINGS, "max_cost": "50eHQC"}
    service.admin("faults", SLOWLY)
    begun = []

    async def begin() -> None:
        with suppress(Exception) if killed else nullcontext():  # of the client whose server is gone
            async with assistant(mine.shell, "--allow", "60eHQC") as (call, server):
                started = await call("run", **H2, settings=settings, run_key="a", wait_s=0)
                assert (started["status"], started["next"]) == ("running", "Call `follow` with 'a'.")
                other = await call("run", algorithm="qaoa", problem="petersen", run_key="a", wait_s=0)
                assert "run 'a' is running, and was started with other arguments" in other
                await run_sync(eventually, lambda: service.admin("ledger")["jobs"])
                begun.append(started["run_key"])
                if killed:
                    server.kill()

    async def resume() -> None:
        async with assistant(mine.shell, "--allow", "60eHQC") as (call, _):
            other = await call("run", **H2, settings={**SETTINGS, "max_cost": "60eHQC"}, run_key="b")
            assert "exceeds what is left of the allowance" in other  # jobs are in flight
            left = await call("follow", run_key="a")
            assert left["status"] == "interrupted"
            assert left["next"].startswith("`run` with the same arguments and run_key 'a' resumes it")
            ended = await call("run", **H2, settings=settings, run_key="a", wait_s=PATIENCE_S)
            assert ended["result"]["resumed"]
            assert ended["allowance"]["reserved"] == {"eHQC": 0.0}
            assert ended["allowance"]["spent"] == service.admin("ledger")["money"]

    anyio.run(begin)
    assert begun == ["a"]
    eventually(lambda: mine.session_statuses() not in ([], ["Executing"]), mine.session_statuses)
    service.admin("faults", {"rules": []})
    anyio.run(resume)
    assert service.admin("ledger")["duplicates"]["count"] == 0
    assert "Executing" not in mine.session_statuses()


@pytest.mark.slow
def test_what_no_command_takes_is_refused_with_a_reason(own: Shell) -> None:
    async def use() -> None:
        async with assistant(own) as (call, _):
            nothing = await call("run", algorithm="vqe", problem=[])
            long = await call("plan", algorithm="vqe", problem="H 0 0 0; " * 20_000)
            nul = await call("cost", since="1d\0")
            for answer in (nothing, long, nul):
                assert "Nothing was submitted" in answer
                assert "Allowance: none" in answer

    anyio.run(use)


def test_without_the_package_the_command_says_how_to_install_it(
    run_command: Callable[..., CommandResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("hybridloop.assistant.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)  # as where it is missing, or is version 1
    done = run_command("mcp")
    assert (done.code, done.out) == (2, "")
    assert "Install it: pip install 'hybridloop[mcp]'." in done.err


def test_an_allowance_that_is_no_amount_is_refused_and_reset_shows_what_is_left(
    run_command: Callable[..., CommandResult],
    home: Path,
) -> None:
    assert "--allow must be amounts with their units" in run_command("mcp", "--allow", "50").err
    assert "must have each unit once" in run_command("mcp", "--allow", "5USD", "--allow", "6USD").err
    assert "--allow: it is an option of a server" in run_command("mcp", "--allow", "5USD", "--reset").err
    assert "Allowance: none" in run_command("mcp", "--reset").out
    with environment(own_environ(home)):
        Allowance({"USD": 5.0})
    assert "5 USD of 5 USD are left" in run_command("mcp", "--reset").out
