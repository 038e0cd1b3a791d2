"""The doors by which jobs reach a service that bills them, each as a function that pays for something there.

A door takes a place and a key; called again with the same place and key it goes on where it was, or pays again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from prefect import flow
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

import hybridloop as hl
from hybridloop import tasks as public
from hybridloop.errors import CapReached
from hybridloop.flows import load_flow
from tests.circuit_helpers import bell
from tests.cli.shell_helpers import WorkspaceShell, run_in_process
from tests.waiting import PATIENCE_S

TARGET = "ionq.qpu.aria-1"
SHOTS = 100
tasks: Any = public  # Prefect types every call of a task as a coroutine, for mypy


@dataclass(slots=True)
class Place:
    """A workspace and its shell in which doors pay, and the tags of their runs."""

    at: WorkspaceShell
    tags: Sequence[str] = ("lim",)
    goals: dict[str, float] = field(default_factory=dict)  # precision of the next extension, by run key

    def session(self, key: str | None, **more: Any) -> Any:
        """Return the block of a session on the paid target."""
        return hl.open_session(TARGET, run_key=key, seed=3, tags=self.tags, debias=False, **more)

    def settings(self, key: str, **more: Any) -> dict[str, Any]:
        """Return the settings of a run of H2 on the paid target."""
        given = {"target": TARGET, "seed": 7, "debias": False, "search": "simulated", "tags": ",".join(self.tags)}
        return {**given, "run_key": key, "precision": 0.05, **more}

    def options(self, key: str) -> list[str]:
        """Return the options of a run of H2 on the paid target."""
        given = {name: value for name, value in self.settings(key).items() if name != "debias"}
        return ["--no-debias", *(f"--{name.replace('_', '-')}={value}" for name, value in given.items())]


def _command(place: Place, key: str) -> None:
    done = run_in_process(place.at.shell.environ, "run", "vqe", "h2", *place.options(key), "--quiet")
    assert done.code in (0, 3, 4), done.err


def _python(place: Place, key: str) -> None:
    hl.vqe("h2", **place.settings(key), host="plain")


def _in_prefect(place: Place, key: str) -> None:
    hl.vqe("h2", **place.settings(key))


def _deployment(place: Place, key: str) -> None:
    settings = {name: value for name, value in place.settings(key).items() if name != "run_key"}
    load_flow("vqe")("h2", settings, run_key=key)


def _script(place: Place, key: str | None) -> None:
    with place.session(key) as session:
        session.run([bell()], shots=SHOTS)


def _script_without_a_key(place: Place, key: str) -> None:
    _script(place, None)  # the same call pays again


def _sampler(place: Place, key: str) -> None:
    with place.session(key) as session:
        session.sampler(shots=SHOTS).run([bell()]).result()


def _estimator(place: Place, key: str) -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    with place.session(key) as session:
        session.estimator().run([(circuit, SparsePauliOp("X"))], precision=0.1).result()


def _backend(place: Place, key: str) -> None:
    with place.session(key) as session:
        session.backend().run(bell(), shots=SHOTS).result()


def _ping(place: Place, key: str) -> None:
    with place.session(key, keep_alive="ping") as session, suppress(CapReached):
        session.ping()


def _own_tasks(place: Place, key: str) -> None:
    @flow(persist_result=False)
    def own() -> None:
        session = tasks.open_session(place.session(key))
        tasks.run_round(session, [SamplerPub.coerce(bell())], shots=SHOTS)

    own()


def _session_flow(place: Place, key: str) -> None:
    def measure(session: Any) -> None:
        session.run([bell()], shots=SHOTS)

    hl.session_flow(TARGET, seed=3, tags=place.tags, debias=False)(measure)(run_key=key)


def _base(place: Place, key: str) -> None:
    error = hl.vqe("h2", **place.settings(key), host="plain").standard_error
    place.goals[key] = (error or 0.05) / 2.0  # a limit may have stopped it


def _extension(place: Place, key: str) -> None:
    hl.resume(key, precision=place.goals[key])


def _reproduce(place: Place, key: str) -> None:
    hl.reproduce(key)


def _sweep(place: Place, key: str) -> None:
    settings = {name: value for name, value in place.settings(key).items() if name != "run_key"}
    hl.sweep({"name": key, "algorithm": "vqe", "problems": ["h2"], "settings": settings})


def _assistant(place: Place, key: str) -> None:
    async def use() -> None:
        command = ["-P", "-m", "hybridloop", "mcp", "--allow", "100000USD"]
        server = StdioServerParameters(command=sys.executable, args=command, env=dict(place.at.shell.environ))
        async with Client(server, read_timeout_seconds=PATIENCE_S) as client:
            not_the_assistants = ("run_key", "debias", "tags")
            settings = {name: value for name, value in place.settings(key).items() if name not in not_the_assistants}
            given = {"algorithm": "vqe", "problem": "h2", "settings": {**settings, "max_cost": "1000USD"}}
            answer = await client.call_tool("run", {**given, "run_key": key, "wait_s": PATIENCE_S})
            assert not answer.is_error, answer.content

    anyio.run(use)


ALONE = frozenset({"tag", "target", "workspace"})
INSIDE = ALONE | {"deployment", "sweep"}  # of what a deployed flow does


@dataclass(frozen=True, slots=True)
class Door:
    """A door: what comes before it, how it pays, and the scopes of limits that its runs fall under."""

    pay: Callable[[Place, str], Any]
    scopes: frozenset[str] = INSIDE
    before: Callable[[Place, str], Any] = lambda *_: None


DOORS: Mapping[str, Door] = {
    "command": Door(_command),
    "Python": Door(_python),
    "Python in Prefect": Door(_in_prefect),
    "deployment": Door(_deployment),
    "script": Door(_script),
    "script without a key": Door(_script_without_a_key),
    "sampler": Door(_sampler),
    "estimator": Door(_estimator),
    "backend": Door(_backend),
    "ping": Door(_ping),
    "own tasks": Door(_own_tasks),
    "session flow": Door(_session_flow),
    "extension": Door(_extension, before=_base),
    "reproduce": Door(_reproduce, before=_base),
    "sweep": Door(_sweep),
    "assistant": Door(_assistant, ALONE),
}
