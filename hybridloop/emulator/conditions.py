"""How targets are doing, where that was set by hand: down, in trouble, or with other people's jobs in their queues."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from hybridloop.emulator.faults import ServiceFault, bad_request
from hybridloop.emulator.latency import Latency
from hybridloop.emulator.service import Service
from hybridloop.emulator.targets import Catalogue, Target

AVAILABILITIES = ("Available", "Degraded", "Unavailable")
LONGEST_QUEUE_S = 30 * 86_400.0
_NOTE = "conditions"


@dataclass(frozen=True, slots=True)
class Condition:
    """A target's state as set by hand; None leaves what the catalogue says.

    Jobs submitted from then on wait `queue_s` for other people's (with the target's spread where there is one), and
    the target reports it as its average.
    """

    availability: str | None = None
    queue_s: float | None = None


class Conditions:
    """Sets targets' conditions; they are kept with the state."""

    def __init__(self, service: Service, latency: Latency) -> None:
        self._service = service
        self._latency = latency
        self._as_shipped = service.catalogue
        kept = json.loads(service.store.note(_NOTE) or "{}")
        self._set: dict[str, Condition] = {target: Condition(**entry) for target, entry in kept.items()}
        self._apply()

    def change(self, document: Mapping[str, Any]) -> None:
        """Set the conditions of the targets named; null puts one back to the catalogue's. All or, if refused, none."""
        changes = {self._target(name).id: _condition(entry) for name, entry in document.items()}
        self._set = {target: entry for target, entry in {**self._set, **changes}.items() if entry is not None}
        kept = {target: asdict(entry) for target, entry in self._set.items()}
        with self._service.store.transaction():
            self._service.store.put_note(_NOTE, json.dumps(kept))
        self._apply()

    def view(self) -> dict[str, Any]:
        """All targets' availability and average queue time."""
        targets = [target for provider in self._service.catalogue.providers for target in provider.targets]
        return {target.id: {"availability": target.availability, "queue_s": target.queue_s} for target in targets}

    def _target(self, name: str) -> Target:
        target = self._as_shipped.find(name)
        if target is None:
            raise ServiceFault(404, "NotFound", f"There is no target {name}.")
        return target

    def _apply(self) -> None:
        self._service.catalogue = _as_set(self._as_shipped, self._set)
        self._latency.queues = {
            target: entry.queue_s for target, entry in self._set.items() if entry.queue_s is not None
        }


def _as_set(catalogue: Catalogue, conditions: Mapping[str, Condition]) -> Catalogue:
    def now(target: Target) -> Target:
        entry = conditions.get(target.id, Condition())
        queue_s = target.queue_s if entry.queue_s is None else math.ceil(entry.queue_s)
        return replace(target, availability=entry.availability or target.availability, queue_s=queue_s)

    providers = (
        replace(provider, targets=tuple(now(target) for target in provider.targets)) for provider in catalogue.providers
    )
    return Catalogue.of(providers, catalogue.prices)


def _condition(entry: object) -> Condition | None:
    if entry is None:
        return None
    if not isinstance(entry, dict) or not set(entry) <= {"availability", "queue_s"}:
        raise bad_request("A target takes availability and queue_s, or null.", "InvalidCondition")
    availability, queue_s = entry.get("availability"), entry.get("queue_s")
    if availability is not None and availability not in AVAILABILITIES:
        raise bad_request(f"availability must be one of {', '.join(AVAILABILITIES)}.", "InvalidCondition")
    if queue_s is None:
        return Condition(availability)
    if isinstance(queue_s, bool) or not isinstance(queue_s, int | float) or not 0 <= queue_s <= LONGEST_QUEUE_S:
        raise bad_request("queue_s must be seconds, from 0 to those of 30 days.", "InvalidCondition")
    return Condition(availability, float(queue_s))
