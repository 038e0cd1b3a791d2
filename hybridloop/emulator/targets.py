"""The providers and targets that the service offers, read from `targets.json`, and their prices."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any

from hybridloop.emulator.billing import Price


@dataclass(frozen=True, slots=True)
class Target:
    """One target. `queue_s` is the average queue time that it reports; `exact` says that it does not sample.

    `native_gates` are those of its machine that `ionq.circuit.v1` may name, beside the abstract ones that every machine
    takes. `checks_only`: it checks a program and answers zeros. `noise` names the noise that it has, which a job may
    turn off where it is `noise_optional`; `noise_models` are those that a job may ask for.
    """

    id: str
    num_qubits: int
    profile: str
    availability: str = "Available"
    queue_s: int = 0
    max_shots: int = 10_000
    default_shots: int = 1
    exact: bool = False
    echoes: bool = False
    checks_only: bool = False
    refuses_barriers: bool = False
    status_page: str | None = None
    input_formats: Sequence[str] = ()
    native_gates: Sequence[str] = ()
    noise: str | None = None
    noise_optional: bool = False
    noise_models: Sequence[str] = ()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Target:
        """A target from its JSON object; unknown keys are an error."""
        return cls(**document)

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as the workspace knows it, with its quotas in the service's own JSON."""

    id: str
    availability: str
    targets: tuple[Target, ...]
    quotas: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All providers; their targets, and what a job costs there, under lower-case ids."""

    providers: tuple[Provider, ...]
    targets: Mapping[str, tuple[Provider, Target]]
    prices: Mapping[str, Price]

    @classmethod
    def of(cls, providers: Iterable[Provider], prices: Mapping[str, Price]) -> Catalogue:
        """The catalogue of these providers; `prices` under their targets' lower-case ids."""
        providers = tuple(providers)
        targets = {target.id.lower(): (provider, target) for provider in providers for target in provider.targets}
        return cls(providers, targets, prices)

    def find(self, target: str, provider: str | None = None) -> Target | None:
        """The target of that name, without regard to case; None where it, or it at that provider, is unknown."""
        found = self.targets.get(target.lower())
        if found is None or (provider is not None and found[0].id.lower() != provider.lower()):
            return None
        return found[1]


def load_catalogue() -> Catalogue:
    """The catalogue that comes with the package."""
    providers = []
    for entry in _table("targets.json")["providers"]:
        targets = tuple(Target.from_json({**entry.get("shared", {}), **target}) for target in entry["targets"])
        providers.append(Provider(entry["id"], entry["availability"], targets, tuple(entry.get("quotas", ()))))
    prices = {target.lower(): price for price, targets in _prices() for target in targets}
    catalogue = Catalogue.of(providers, prices)
    differing = prices.keys() ^ catalogue.targets.keys()
    if differing:
        raise ValueError(f"targets and prices differ in {', '.join(sorted(differing))}")
    return catalogue


def _prices() -> Iterator[tuple[Price, Sequence[str]]]:
    for entry in _table("prices.json")["prices"]:
        targets = entry.pop("targets")
        yield Price(**entry), targets


def _table(name: str) -> Any:
    return json.loads(resources.files("hybridloop.emulator").joinpath(name).read_text(encoding="utf-8"))
