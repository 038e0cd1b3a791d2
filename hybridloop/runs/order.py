"""Order of a caller: a run of an algorithm, of a session flow or of a script."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybridloop.data.states import Who
from hybridloop.runtime.clock import begun_s
from hybridloop.settings import ProblemText, RunSettings

WORKSPACE = "workspace"  # part of what an order states
SESSION = "session"  # algorithm of scripts and session flows: only their own program knows their circuits
_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class RunOrder:
    """Order of a run.

    `stated` is what the journal records of it by part: "settings", and "problem", "parameters" or "workspace". A
    recorded run must have been started with the same, but for what may change (`hybridloop.runs.changes`). `must_match`
    names further fields of the record that must agree. `settings` without a seed let a new run draw one. `more` is
    recorded and not compared. `text` is the problem of an algorithm's run. `flow_run_id` is the flow run that the
    caller is in. Its deadline counts from `begun_s`, of the steady clock.
    """

    algorithm: str
    problem: str
    settings: RunSettings
    stated: Mapping[str, Mapping[str, Any]]
    run_key: str | None = None
    flow_run_id: str | None = None
    who: Who = Who.CALLER
    more: Mapping[str, Any] = field(default_factory=dict)
    must_match: Sequence[str] = ("algorithm",)
    text: ProblemText | None = None
    begun_s: float = field(default_factory=begun_s)


def algorithm_order(
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    run_key: str | None = None,
    *,
    workspace: Mapping[str, str] | None = None,
    flow_run_id: str | None = None,
    more: Mapping[str, Any] | None = None,
    who: Who = Who.CALLER,
) -> RunOrder:
    """Return the order of an algorithm's run; `workspace` identifies it without a secret (`identity_of`).

    Where that is None, `Run.in_workspace` must follow. `more` is for the record of a new run: the sources of its
    settings, and the name of another host than Prefect.
    """
    stated = {"problem": problem.model_dump(mode="json"), "settings": settings.model_dump(mode="json")}
    if workspace is not None:
        stated[WORKSPACE] = dict(workspace)
    more = more or {"sources": {}}
    return RunOrder(algorithm, problem.name, settings, stated, run_key, flow_run_id, who, more, text=problem)


def generated_key(algorithm: str, problem: str, digits: str) -> str:
    """Return a key such as a run without one gets, that ends with these digits."""
    begin = problem or algorithm if algorithm == SESSION else f"{algorithm}-{_NOT_IN_A_KEY.sub('-', problem)[:60]}"
    return f"{begin}-{digits}"
