"""Extra targets of the service: targets of the user's, each like one of the catalogue, from a JSON file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hybridloop.emulator.model.latency import LatencyProfile, load_latency_profiles
from hybridloop.emulator.model.targets import Catalogue, Target, load_catalogue

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_TYPES: Mapping[str, type] = {
    "num_qubits": int,
    "profile": str,
    "queue_s": int,
    "max_shots": int,
    "states_facts": bool,
}
_MOST = 1_000_000
_PROFILES = ("Base", "Adaptive_RI", "Adaptive_RIF")


class InvalidTargets(ValueError):
    """A file of extra targets can't be used; the message names the entry."""


@dataclass(frozen=True, slots=True)
class ExtraTarget:
    """A target, and the id of the catalogue's target that gave it its provider, price, noise and latency."""

    target: Target
    like: str


def load_targets(extra_targets: Path | None) -> tuple[Catalogue, dict[str, LatencyProfile]]:
    """Load the catalogue, and recorded latencies by target, with the extra targets of a file. Raises InvalidTargets."""
    catalogue, latencies = load_catalogue(), dict(load_latency_profiles())
    if extra_targets is None:
        return catalogue, latencies
    extra = load_extra_targets(extra_targets, catalogue)
    latencies |= {each.target.id: latencies[each.like] for each in extra}
    return with_extra_targets(catalogue, extra), latencies


def load_extra_targets(path: Path, catalogue: Catalogue) -> tuple[ExtraTarget, ...]:
    """Load a JSON list of targets, such as `[{"id": "ionq.qpu.new-1", "like": "ionq.qpu.forte-1", "num_qubits": 64}]`.

    Further fields: `profile`, `queue_s` (seconds), `max_shots`, and `states_facts`, false for a target whose status
    states neither qubits nor profile. Raises InvalidTargets.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidTargets(f"{path} can't be read as JSON: {error}") from error
    if not isinstance(document, list):
        raise InvalidTargets(f"{path} must have a list of targets")
    extra = tuple(_parse(entry, catalogue) for entry in document)
    ids = [each.target.id.lower() for each in extra]
    if repeated := [name for name in ids if ids.count(name) > 1]:
        raise InvalidTargets(f"{repeated[0]} is in {path} twice")
    return extra


def with_extra_targets(catalogue: Catalogue, extra: Sequence[ExtraTarget]) -> Catalogue:
    """Return the catalogue with these targets, at the providers and prices of those that they are like."""
    added: dict[str, list[Target]] = {}
    for each in extra:
        provider, _ = catalogue.targets[each.like]
        added.setdefault(provider.id, []).append(each.target)
    providers = (
        replace(provider, targets=(*provider.targets, *added.get(provider.id, ()))) for provider in catalogue.providers
    )
    prices = {each.target.id.lower(): catalogue.prices[each.like] for each in extra}
    return Catalogue.of(providers, {**catalogue.prices, **prices})


def _parse(entry: object, catalogue: Catalogue) -> ExtraTarget:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or not _NAME.fullmatch(entry["id"]):
        raise InvalidTargets(f"{entry!r} needs an id of letters, digits, dots, hyphens and underscores")
    name = entry["id"]
    if catalogue.find(name) is not None:
        raise InvalidTargets(f"{name} is a target already")
    like = str(entry.get("like")).lower()
    if catalogue.find(like) is None:
        raise InvalidTargets(f'{name} must be "like" a target of the service, not {entry.get("like")!r}')
    facts: dict[str, Any] = {key: value for key, value in entry.items() if key not in ("id", "like")}
    for key, value in facts.items():
        kind = _TYPES.get(key)
        if kind is None:
            raise InvalidTargets(f"{name} has the unknown field {key!r}; there are {', '.join(_TYPES)}")
        if type(value) is not kind or (isinstance(value, int) and not 0 <= value <= _MOST):
            raise InvalidTargets(f"{name}: {key} can't be {value!r}")
    if facts.get("profile", "Base") not in _PROFILES:
        raise InvalidTargets(f"{name}: profile must be {', '.join(_PROFILES[:-1])} or {_PROFILES[-1]}")
    _, model = catalogue.targets[like]
    return ExtraTarget(replace(model, id=name, **facts), like)
