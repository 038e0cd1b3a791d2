"""Tools of the MCP server: problems, plan, run, follow, result and cost, each with the allowance in its answer.

Every run is `hybridloop run` in a process of its own, so that signals, Prefect and the journal work as for a user.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import ConfigDict, Field, create_model

from hybridloop.api.environment import find_target_in
from hybridloop.api.stored import result as stored_result
from hybridloop.assistant.allowance import TAG, Allowance, Balance
from hybridloop.assistant.commands import POLL_S, Command
from hybridloop.data import TABLES, built_in_problem
from hybridloop.data.statuses import WITH_RESULT
from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import NOTHING_SUBMITTED, HybridloopError, InputError
from hybridloop.inputs.formats.geometry import is_geometry
from hybridloop.inputs.problems import is_file
from hybridloop.inputs.sources import CALL, Layer, resolve_settings
from hybridloop.journal import check_key, open_journal
from hybridloop.reports.cost_groups import CostGroup
from hybridloop.runs.order import generated_key
from hybridloop.runtime.messages import EscapedFormatter

INSTRUCTIONS = (
    "Hybrid quantum algorithms on Azure Quantum. `plan` estimates the price of a run. A run on a paid target needs "
    "settings.max_cost, within what is left of the allowance that a person gave. `run` returns after wait_s seconds at "
    "the latest: call `follow` while the status is running. The same `run` call with the same run_key resumes a run "
    "that ended early, and pays nothing twice: give each run a run_key of your own."
)
_OFFERED = "target shots precision search layers seed max_cost max_jobs max_shots deadline".split()
_FIELDS = {name: field for each in ALGORITHMS.known for name, field in each.settings.model_fields.items()}
_TYPES: Any = {
    name: (str | int | float | None, Field(None, description=_FIELDS[name].description)) for name in _OFFERED
}
Settings: Any = create_model("Settings", __config__=ConfigDict(extra="forbid", frozen=True), **_TYPES)
_DEFAULTS = Settings()
Algorithm = Annotated[str, Field(pattern=f"^({'|'.join(ALGORITHMS)})$")]
_PROBLEM = "Built-in name (`problems`), atoms as text, or a file in the server's folder; a scan takes a list."
Problem = Annotated[str | list[str], Field(description=_PROBLEM)]
Key = Annotated[str, Field(max_length=100, description="The run's key.")]
Wait = Annotated[float, Field(ge=0, le=600, description="Longest wait for the end of the run, in seconds.")]
Answer = dict[str, Any]
P = ParamSpec("P")
Tool = Callable[Concatenate["Tools", P], Coroutine[Any, Any, Answer]]


def serve(allowance: Allowance, folder: Path | None, workspace: str | None) -> None:
    """Serve one client on standard input and output until it leaves, which ends the runs of this server."""
    lines = logging.StreamHandler()
    lines.setFormatter(EscapedFormatter("hybridloop: %(message)s"))
    logging.basicConfig(handlers=[lines])  # else the SDK's handler, which prints what a client sent as it is
    server = MCPServer("hybridloop", instructions=INSTRUCTIONS, version=version("hybridloop"), log_level="WARNING")
    tools = Tools(allowance, None if folder is None else folder.resolve(), workspace)
    for tool in (tools.problems, tools.plan, tools.follow, tools.result, tools.cost):
        server.add_tool(tool, annotations=ToolAnnotations(read_only_hint=True))
    server.add_tool(tools.run, annotations=ToolAnnotations(destructive_hint=False))
    server.run()


def _with_allowance(tool: Tool[P]) -> Tool[P]:
    """Return a tool whose answers and errors state the allowance."""

    @functools.wraps(tool)
    async def stating(tools: Tools, /, *args: P.args, **options: P.kwargs) -> Answer:
        try:
            answer = await tool(tools, *args, **options)
        except (HybridloopError, ToolError) as error:
            raise ToolError(f"{error}\n{await asyncio.to_thread(tools.balance)}") from error
        balance = await asyncio.to_thread(tools.balance)
        return {**answer, "allowance": asdict(balance), "note": str(balance)}

    return stating


class Tools:
    """The tools of one server, and the runs that it has started, by key."""

    def __init__(self, allowance: Allowance, folder: Path | None, workspace: str | None) -> None:
        self._allowance, self._folder, self._workspace = allowance, folder, workspace
        self._runs: dict[str, Command] = {}
        self._asked: dict[str, tuple[str, list[str], Mapping[str, Any]]] = {}  # for by the calls that started them
        self._starting = threading.Lock()

    @_with_allowance
    async def problems(self, name: str = "") -> Answer:
        """List the built-in problems, or show one of them with its purpose and source."""
        return {"problems": await Command("problems", "--json", "--", *name.split()).ended()}

    @_with_allowance
    async def plan(
        self,
        algorithm: Algorithm,
        problem: Problem,
        settings: Settings = _DEFAULTS,
        compare: bool = False,  # noqa: FBT001, FBT002
    ) -> Answer:
        """Estimate the rounds, jobs, shots, price and time of a run; nothing is submitted, and it costs nothing."""
        given = [*_options(settings.model_dump(exclude_none=True)), *["--compare"] * compare]
        return {"plan": await self._command("plan", algorithm, self._checked(problem), given).ended()}

    @_with_allowance
    async def run(
        self,
        algorithm: Algorithm,
        problem: Problem,
        settings: Settings = _DEFAULTS,
        run_key: Annotated[str | None, Field(description="Key of the run; one that is known is resumed.")] = None,
        wait_s: Wait = 45.0,
    ) -> Answer:
        """Start a run, or resume the one of the key; on a paid target it needs max_cost, within the allowance."""
        key = await asyncio.to_thread(self._start, algorithm, problem, settings.model_dump(exclude_none=True), run_key)
        return await self._followed(key, wait_s)

    @_with_allowance
    async def follow(self, run_key: Key, wait_s: Wait = 45.0) -> Answer:
        """Wait for the end of a run, and return its result; of a run that has not ended, its progress."""
        return await self._followed(run_key, wait_s)

    @_with_allowance
    async def result(self, run_key: Key) -> Answer:
        """Return the stored result of a run of the journal."""
        return {"result": await asyncio.to_thread(lambda: stored_result(run_key).as_dict())}

    @_with_allowance
    async def cost(self, since: str = "30d", by: CostGroup = CostGroup.RUN) -> Answer:
        """Return what the journal's runs of a time cost, those of people included."""
        return {"cost": await Command("cost", "--json", f"--since={since}", f"--by={by}").ended()}

    def balance(self) -> Balance:
        """Return the balance of the allowance."""
        return self._allowance.balance()

    def _checked(self, problem: str | list[str]) -> list[str]:
        if not problem:
            remedy = "`problems` lists the built-in ones."
            raise InputError("problem", "it is empty", remedy, NOTHING_SUBMITTED)
        return [problem_argument(each, self._folder) for each in ([problem] if isinstance(problem, str) else problem)]

    def _command(self, verb: str, algorithm: str, problems: list[str], options: list[str]) -> Command:
        place = [] if self._workspace is None else [f"--workspace={self._workspace}"]
        return Command(verb, algorithm, "--json", *place, *options, "--", *problems)

    def _start(self, algorithm: str, problem: str | list[str], given: Mapping[str, Any], run_key: str | None) -> str:
        """Start the process of a run, with the assistant's tag, unless it is running; return the run's key."""
        problems = self._checked(problem)
        name, asked = Path(problems[0]).stem[:40], (algorithm, problems, given)
        key = generated_key(algorithm, name, secrets.token_hex(4)) if run_key is None else check_key(run_key)
        with self._starting:
            if key in self._runs and self._runs[key].is_running:
                if self._asked[key] != asked:
                    what = f"run {key!r} is running, and was started with other arguments"
                    raise InputError(
                        "run_key", what, "Call `follow` with it, or choose another key.", NOTHING_SUBMITTED
                    )
                return key
            settings = resolve_settings(algorithm, Layer(CALL, given)).settings
            target = find_target_in(self._workspace, settings.target)
            cap = self._allowance.check(key, target, settings.max_cost or {})
            caps = {"max_cost": ",".join(f"{amount:.9f}{unit}" for unit, amount in cap.items())} if cap else {}
            tags = [*(settings.tags or ()), *([TAG] if self._allowance.counts(key) else [])]
            given = {**given, "tags": ",".join(dict.fromkeys(tags))} if tags else given
            options = _options({**given, "target": target.name, **caps, "run_key": key})
            self._runs[key], self._asked[key] = self._command("run", algorithm, problems, options), asked
        return key

    async def _followed(self, key: str, wait_s: float) -> Answer:
        """Wait until the run has ended, or for so many seconds; return its status, its result and what to do next."""
        own = self._runs.get(key)
        deadline = time.monotonic() + wait_s
        while own.is_running if own else (await asyncio.to_thread(_stored, key))["status"] == "running":
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(POLL_S)
        if own is None:
            answer = await asyncio.to_thread(_stored, key)
        elif own.is_running:
            answer = {"status": "running", "progress": own.last_line()}
        else:
            answer = {"status": (result := own.document())["status"], "reason": result["reason"], "result": result}
            if (stored := await asyncio.to_thread(_stored, key))["status"] != answer["status"]:
                answer = stored  # another process has resumed it
        resume = (
            f"`run` with the same arguments and run_key {key!r} resumes it, with a larger max_cost if it needs more."
        )
        advice = "" if answer["status"] in WITH_RESULT else resume
        return {"run_key": key, **answer, "next": f"Call `follow` with {key!r}." if "progress" in answer else advice}


def problem_argument(problem: str, folder: Path | None) -> str:
    """Return a problem as an argument of the command line: a name, atoms, or the whole path of a file in the folder.

    Raises InputError for every other file, also where a link leads out of the folder.
    """
    is_built_in = any(built_in_problem(table, problem) for table in TABLES)
    if (is_built_in or is_geometry(problem)) and not is_file(Path(problem)):
        return problem
    path = Path(os.path.realpath((folder or Path()) / problem))
    if folder is None or not path.is_relative_to(folder) or not is_file(path):
        found = f"{problem[:80]!r} is no built-in problem, and no file in the server's folder"
        remedy = "`problems` lists the built-in ones; for files a person starts the server with --folder DIR."
        raise InputError("problem", found, remedy, NOTHING_SUBMITTED)
    return str(path)


def _options(given: Mapping[str, Any]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]


def _stored(key: str) -> Answer:
    """Return the state of a run that another process started, by the journal."""
    now = datetime.now(UTC).timestamp()
    with open_journal() as journal:
        record = journal.run(key)
    if record.is_held(now):
        return {"status": "running", "progress": f"in {record.owner}"}
    status = "interrupted" if record.is_orphaned(now) else record.status
    return {"status": status, "reason": record.reason, "result": record.result}
