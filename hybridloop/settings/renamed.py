"""Former names of settings, accepted for one release: in calls, files, variables, deployments and the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {  # former name: name
    "unattended": "resume_automatically",
    "exclusive_hold": "exclusive_access_budget",
    "starts": "random_starts",
    "stop_at": "brute_force_below",
}
FORMER = {name: former for former, name in RENAMED.items()}


def current_name(name: str) -> str:
    """Return the name of a setting that is given under its name or its former one."""
    return RENAMED.get(name, name)


def with_current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by their names. Raises ValueError where one is given under both."""
    for former, name in RENAMED.items():
        if former in values and name in values:
            raise ValueError(f"{former} is the former name of {name}: give one of them")
    return {current_name(name): value for name, value in values.items()}
