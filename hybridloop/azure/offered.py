"""Targets missing from the built-in table: facts from their provider and their status in the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hybridloop.azure.listing import target_statuses
from hybridloop.targets import (
    Target,
    as_served,
    family_of,
    find_target,
    known_targets,
    may_be_offered,
    unknown_target,
)

_PROFILES = {profile.lower(): profile for profile in ("Base", "Adaptive_RI", "Adaptive_RIF")}


def find_offered_target(name: str, workspace: Any) -> Target:
    """Return the target with this name, in any case: from the table, else from the workspace, which is then asked once.

    Raises InputError if neither has it, or if it takes no programs of gates, ServiceError if the workspace is needed
    and does not answer.
    """
    if not may_be_offered(name):
        return find_target(name)
    if (status := target_statuses(workspace).get(name.lower())) is None:
        raise unknown_target(name, "is not a known target, and this workspace does not offer it")
    if (target := offered_target(status)) is None:
        raise unknown_target(name, f"is of provider {status.get('providerId')}, which is not known for gates")
    return target


def offered_target(status: Mapping[str, Any]) -> Target | None:
    """Return the target of a status (`target_statuses`); None for one that takes no programs of gates.

    A target of the table keeps the table's facts. Others have those of their provider, with the number of qubits and
    the QIR profile that the status states.
    """
    name = str(status["id"])
    if (known := known_targets().get(name.lower())) is not None:
        return as_served(known, status)
    target = family_of(name)
    if target is None or str(status.get("providerId", target.provider)).lower() != target.provider:
        return None
    stated: dict[str, Any] = {}
    if type(qubits := status.get("numQubits")) is int and qubits > 0:  # not a bool
        stated["qubits"] = qubits
    if (profile := _PROFILES.get(str(status.get("targetProfile")).lower())) is not None:
        stated["profile"] = profile
    assumed = tuple(fact for fact in target.assumed if fact not in stated)
    return as_served(replace(target, **stated, assumed=assumed), status)
