"""The JSON documents that commands print: what each holds, as types from which their schemas are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from hybridloop.cli import local, service
from hybridloop.cli import schemas as runs
from hybridloop.cli.completion import did_you_mean
from hybridloop.errors import InputError
from hybridloop.estimate.plan import Plan
from hybridloop.settings import SETTINGS

DOCUMENTS: Mapping[str, Any] = {
    **{f"run {algorithm}": runs.RunDocument for algorithm in SETTINGS},
    **{f"plan {algorithm}": Plan for algorithm in SETTINGS},
    "sweep": runs.SweepDocument,
    "runs list": list[runs.RunRow],
    "runs show": runs.RunShown,
    "runs resume": runs.RunDocument | runs.RunLater,
    "runs stop": runs.RunStop,
    "runs verify": runs.RunVerified,
    "runs reproduce": runs.RunReproduced,
    "runs prune": runs.Pruned,
    "sessions list": list[service.Session],
    "sessions show": service.SessionShown,
    "sessions jobs": list[service.Job],
    "sessions close": service.Session,
    "sessions close-orphans": list[service.Swept],
    "targets": list[service.Target],
    "problems": list[service.Molecule | service.BinaryProblem],
    "optimizers": list[service.Optimizer],
    "emulator ledger": service.Ledger,
    "up": local.Stack,
    "down": local.StackDown,
    "status": local.Stack,
    "config": local.ConfigDocument,
    "doctor": local.Diagnosis,
}


def schema_of(command: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what a command prints with --json. Raises InputError for one that prints none."""
    if command not in DOCUMENTS:
        hint = did_you_mean(command, DOCUMENTS, otherwise="`hybridloop schema` lists them.")
        raise InputError("command", f"{command!r} prints no JSON document", hint)
    schema = TypeAdapter(DOCUMENTS[command]).json_schema(mode="serialization")
    schema.pop("title", None)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"hybridloop {command} --json"}
    return {**head, **schema}
