"""Target status set by hand: a target's availability, and a queue of other users' jobs before it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from hybridloop.emulator.model.errors import ApiError, bad_request
from hybridloop.emulator.model.latency import LatencyModel
from hybridloop.emulator.model.targets import Catalogue, Target
from hybridloop.emulator.service import EmulatorService

AVAILABILITIES = ("Available", "Degraded", "Unavailable")
MAX_QUEUE_S = 30 * 86_400.0
_NOTE = "conditions"  # the stored note's name


@dataclass(frozen=True, slots=True)
class StatusOverride:
    """Status of a target as set by hand; None keeps the catalogue's value.

    Jobs submitted later wait `queue_s` seconds, times the target's random latency factor if it has one. The target
    reports `queue_s` as its average queue time.
    """

    availability: str | None = None
    queue_s: float | None = None


class TargetStatusOverrides:
    """The overrides of all targets; they are stored with the state."""

    def __init__(self, service: EmulatorService, latency: LatencyModel) -> None:
        self._service = service
        self._latency = latency
        self._default_catalogue = service.catalogue
        stored = json.loads(service.store.note(_NOTE) or "{}")
        self._overrides: dict[str, StatusOverride] = {
            target: StatusOverride(**entry) for target, entry in stored.items()
        }
        self._apply()

    def change(self, document: Mapping[str, Any]) -> None:
        """Set the status of the named targets; null restores the catalogue's.

        Raises ApiError for an unknown target or an invalid status, and then changes none.
        """
        merged: dict[str, StatusOverride | None] = {**self._overrides}
        for name, entry in document.items():
            target = self._default_catalogue.find(name)
            if target is None:
                raise ApiError(404, "NotFound", f"There is no target {name}.")
            merged[target.id] = _parse_override(entry)
        self._overrides = {target_id: override for target_id, override in merged.items() if override is not None}
        stored = {target_id: asdict(override) for target_id, override in self._overrides.items()}
        with self._service.store.transaction():
            self._service.store.put_note(_NOTE, json.dumps(stored))
        self._apply()

    def view(self) -> dict[str, Any]:
        """Return the availability and average queue time of all targets, by target id."""
        targets = [target for provider in self._service.catalogue.providers for target in provider.targets]
        return {target.id: {"availability": target.availability, "queue_s": target.queue_s} for target in targets}

    def _apply(self) -> None:
        self._service.catalogue = _override_catalogue(self._default_catalogue, self._overrides)
        self._latency.queue_overrides_s = {
            target: override.queue_s for target, override in self._overrides.items() if override.queue_s is not None
        }


def _override_catalogue(catalogue: Catalogue, overrides: Mapping[str, StatusOverride]) -> Catalogue:
    def override_target(target: Target) -> Target:
        override = overrides.get(target.id, StatusOverride())
        queue_s = target.queue_s if override.queue_s is None else math.ceil(override.queue_s)
        return replace(target, availability=override.availability or target.availability, queue_s=queue_s)

    providers = (
        replace(provider, targets=tuple(override_target(target) for target in provider.targets))
        for provider in catalogue.providers
    )
    return Catalogue.of(providers, catalogue.prices)


def _parse_override(entry: object) -> StatusOverride | None:
    if entry is None:
        return None
    if not isinstance(entry, dict) or not set(entry) <= {"availability", "queue_s"}:
        raise bad_request("The status of a target has availability and queue_s, or is null.", "InvalidCondition")
    availability, queue_s = entry.get("availability"), entry.get("queue_s")
    if availability is not None and availability not in AVAILABILITIES:
        raise bad_request(f"availability must be one of {', '.join(AVAILABILITIES)}.", "InvalidCondition")
    if queue_s is None:
        return StatusOverride(availability)
    if isinstance(queue_s, bool) or not isinstance(queue_s, int | float) or not 0 <= queue_s <= MAX_QUEUE_S:
        raise bad_request(f"queue_s must be seconds, from 0 to {MAX_QUEUE_S:.0f} (30 days).", "InvalidCondition")
    return StatusOverride(availability, float(queue_s))
