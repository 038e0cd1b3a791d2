"""Catalogue of the service: providers and targets from `targets.json`, prices from `prices.json`.

The client has a table of its own on purpose, `hybridloop/data/targets.json`: one is tested against the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from hybridloop.emulator.model.billing import Price


@dataclass(frozen=True, slots=True)
class Target:
    """A target of a provider.

    `queue_s` is the average queue time that it reports. `exact`: it returns the exact distribution instead of drawing
    shots. `echoes`: it returns its input. `checks_only`: it checks a program and returns zeros. `native_gates` are the
    gates of its machine that `ionq.circuit.v1` may use beside the abstract ones. `noise` is its noise model, which a
    job may turn off or change if it is `noise_optional`; `noise_models` are those that a job may choose, with the
    number of qubits of each. Jobs may ask for a stabilizer simulation of `stabilizer_qubits`. `compiler` is the one of
    the provider whose options a job may set, and after which gates are billed. `qir_outputs` are the output formats of
    QIR beside `microsoft.quantum-results.v2`. Its status has its number of qubits and its profile if it `states_facts`.
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
    qir_outputs: Sequence[str] = ()
    noise: str | None = None
    noise_optional: bool = False
    noise_models: Mapping[str, int] = field(default_factory=dict)
    stabilizer_qubits: int | None = None
    compiler: str | None = None
    states_facts: bool = True


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider with its targets, and its quotas in the service's JSON."""

    id: str
    availability: str
    targets: tuple[Target, ...]
    quotas: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All providers, with their targets and prices by lower-case target id."""

    providers: tuple[Provider, ...]
    targets: Mapping[str, tuple[Provider, Target]]
    prices: Mapping[str, Price]

    @classmethod
    def of(cls, providers: Iterable[Provider], prices: Mapping[str, Price]) -> Catalogue:
        """Build the catalogue of these providers; the keys of `prices` are lower-case target ids."""
        providers = tuple(providers)
        targets = {target.id.lower(): (provider, target) for provider in providers for target in provider.targets}
        return cls(providers, targets, prices)

    def find(self, target: str, provider: str | None = None) -> Target | None:
        """Return the target of that id, case-insensitive; None if it is unknown, or not of that provider."""
        entry = self.targets.get(target.lower())
        if entry is None or (provider is not None and entry[0].id.lower() != provider.lower()):
            return None
        return entry[1]


def load_catalogue() -> Catalogue:
    """Load the catalogue from the package's JSON files. Raises ValueError if a target has no price."""
    providers = []
    for entry in _read_json("targets.json")["providers"]:
        targets = tuple(Target(**{**entry.get("shared", {}), **target}) for target in entry["targets"])
        providers.append(Provider(entry["id"], entry["availability"], targets, tuple(entry.get("quotas", ()))))
    prices: dict[str, Price] = {}
    for entry in _read_json("prices.json")["prices"]:
        targets_of_price = [target.lower() for target in entry.pop("targets")]
        prices |= dict.fromkeys(targets_of_price, Price(**entry))
    catalogue = Catalogue.of(providers, prices)
    unmatched = prices.keys() ^ catalogue.targets.keys()
    if unmatched:
        raise ValueError(f"targets.json and prices.json differ in {', '.join(sorted(unmatched))}")
    return catalogue


def _read_json(name: str) -> Any:
    return json.loads(resources.files("hybridloop.emulator.model").joinpath(name).read_text(encoding="utf-8"))
