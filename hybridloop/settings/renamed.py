"""Former names of settings, accepted for one release, and former defaults, which keep the keys of runs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from hybridloop.data import load_table
from hybridloop.errors import InputError, RenamedWarning

RENAMED: Mapping[str, str] = {  # former name: name
    "unattended": "resume_automatically",
    "exclusive_hold": "exclusive_access_budget",
    "starts": "random_starts",
    "stop_at": "brute_force_below",
}
FORMER = {name: former for former, name in RENAMED.items()}
FORMER_DEFAULTS: Mapping[str, str] = {  # name: the default of a former release, the same as today's for runs of then
    "ansatz": "uccsd",
}
FORMER_DEFAULTS_OF: Mapping[str, Mapping[str, float]] = {"sqd": {"tolerance": 1e-5}}  # the same for one algorithm
# Former names of built-in problems: the same molecule's name of today, and another that may be meant. A new run is
# refused under the former name for one release; a stored run keeps it.
FORMER_PROBLEMS: Mapping[str, tuple[str, str]] = {"lih": ("lih-3.0-cas22", "lih-frozen-core")}


def built_in_name(name: str) -> str:
    """Return the name of today of a built-in problem, in lower case."""
    return FORMER_PROBLEMS.get(name.lower(), (name.lower(),))[0]


def check_built_in_name(name: str) -> None:
    """Raise InputError for a former name of a built-in problem, which a new run can't have."""
    if (names := FORMER_PROBLEMS.get(name.lower())) is not None:
        titles = load_table("problems")
        meanings = " or ".join(f"{each} ({titles[each]['title']})" for each in names)
        raise InputError("problem", f"the name {name} may be misunderstood", f"Give {meanings}.")


def current_name(name: str) -> str:
    """Return the name of a setting that is given under its name or its former one."""
    return RENAMED.get(name, name)


def with_current_names(values: Mapping[str, Any], renamed: Mapping[str, str] = RENAMED) -> dict[str, Any]:
    """Return stored settings under their current names. Raises InputError where one is given under both names."""
    for former, name in renamed.items():
        if former in values and name in values:
            raise InputError(former, f"it is the former name of {name}, which is given too", f"Give {name} alone.")
    return {renamed.get(name, name): value for name, value in values.items()}


def accept_former_names(values: Any, *, renamed: Mapping[str, str] = RENAMED) -> Any:
    """Return a user's settings under their current names, with a RenamedWarning for each former name.

    A value that is no mapping is returned unchanged. Raises InputError where a setting is given under both names.
    """
    if not isinstance(values, Mapping):
        return values
    former_names = [name for name in values if name in renamed]
    for former in former_names:
        message = f"the setting {former} is now {renamed[former]}; the former name ends with the next release"
        warnings.warn(message, RenamedWarning, stacklevel=2)
    return with_current_names(values, renamed) if former_names else dict(values)


def add_former_names(schema: dict[str, Any], renamed: Mapping[str, str]) -> None:
    """Add former names to a model's JSON schema, by which Prefect's server checks the parameters of flow runs."""
    properties = schema["properties"]
    for former, name in renamed.items():
        if name in properties:
            field = {key: value for key, value in properties[name].items() if key != "default"}
            properties[former] = {**field, "title": former, "description": f"former name of {name}", "deprecated": True}
