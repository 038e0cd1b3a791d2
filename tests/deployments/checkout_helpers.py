"""Deployments file and its guide in the checkout, and Prefect's command line there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.testing.cli import CycloptsCliRunner, CycloptsResult

from tests.cli.shell_helpers import Shell
from tests.paths import ROOT
from tests.waiting import PATIENCE_S, eventually

FILE = "deployments/prefect.yaml"
WRITTEN: list[dict[str, Any]] = yaml.safe_load((ROOT / FILE).read_text(encoding="utf-8"))["deployments"]
GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
DEPLOYS = ("prefect work-pool create --type process ", "prefect deploy ")
# with `hybridloop` and `prefect`, as in an activated environment
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
_TRY = GUIDE.partition("## Try it on the local service\n")[2].partition("\n## ")[0]
# the lines to type in the first shell, of which the last starts a worker, and in the second shell
LOCAL_TRY = [block.replace("    ", "").splitlines() for block in re.findall(r"(?:^    .*\n)+", _TRY, re.MULTILINE)]


def shown(*starts: str) -> list[str]:
    """Return the guide's Prefect commands, or those that begin with the given words."""
    commands = [line.strip() for line in re.findall(r"^    (prefect .*)$", GUIDE, re.MULTILINE)]
    return [command for command in commands if not starts or command.startswith(starts)]


def of_unit(name: str) -> list[str]:
    """Return the worker's systemd unit's values under this name, in order."""
    lines = (ROOT / "deployments" / "hybridloop-worker.service").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix(f"{name}=") for line in lines if line.startswith(f"{name}=")]


def flow_of(written: Mapping[str, Any]) -> Flow[..., Any]:
    found: Flow[..., Any] = load_flow_from_entrypoint(written["entrypoint"], use_placeholder_flow=False)
    return found


def full_name(written: Mapping[str, Any]) -> str:
    return f"{flow_of(written).name}/{written['name']}"


def typed(environ: Mapping[str, str], lines: Sequence[str], folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Type lines in a shell, without answers to prompts, until one fails."""
    return subprocess.run(
        ["bash", "-ec", "\n".join(lines)], env=dict(environ), cwd=folder, stdin=subprocess.DEVNULL,
        capture_output=True, text=True,
    )  # fmt: skip


@contextmanager
def shell_with_a_worker(environ: Mapping[str, str], lines: Sequence[str], folder: Path, log: Path) -> Iterator[None]:
    """Type the lines, of which the last starts a worker; hold it until Ctrl-C."""
    with log.open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-ec", "\n".join(lines)],
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        eventually(lambda: "started!" in log.read_text() or shell.poll() is not None)
        assert shell.poll() is None, log.read_text()
        yield
        os.killpg(shell.pid, signal.SIGINT)
        assert shell.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGTERM)
            shell.wait(PATIENCE_S)


def run_of(told: str, shell: Shell) -> dict[str, Any]:
    """Return the one run that `prefect deployment run --watch` names; a schedule may have started others."""
    (run,) = [each for each in shell.json("runs", "list") if each["run_key"] in told]
    return dict(run)


def prefect_inside(*arguments: str, typed: str | None = None) -> CycloptsResult:
    """Run Prefect's command line inside this process, which needs the fixture `prefect_server`.

    With input, even an empty one, it assumes a terminal and may prompt.
    """
    return CycloptsCliRunner().invoke(list(arguments), input=typed)
