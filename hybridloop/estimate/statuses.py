"""Targets that a plan compares, by the table and by what the workspace says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hybridloop.azure.offered import offered_target
from hybridloop.targets import Target, as_served, known_targets


@dataclass(frozen=True, slots=True)
class TargetStatuses:
    """The workspace's status of each target by name (none: unknown), and if it is the local one."""

    by_name: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_local: bool = False

    def as_served(self, target: Target) -> Target:
        """Return the target with what its status says of it."""
        return as_served(target, self.by_name.get(target.name, {}))


def comparable_targets(statuses: TargetStatuses) -> tuple[Target, ...]:
    """Return all targets that measure, of the table and of the workspace; checkers of syntax only give zeros."""
    offered = {target.name: target for status in statuses.by_name.values() if (target := offered_target(status))}
    return tuple(target for target in {**known_targets(), **offered}.values() if not target.checks_only)
