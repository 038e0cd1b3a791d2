"""Noise of the targets: published error rates as data, and which of them a job runs under."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from hybridloop.emulator.program import Unrunnable
from hybridloop.emulator.targets import Target

IDEAL = "ideal"


@dataclass(frozen=True, slots=True)
class Noise:
    """Strengths r of depolarizing noise, rho -> (1 - r) rho + r I/d, after gates; the chance of a flipped readout."""

    one_qubit: float
    two_qubit: float
    readout: float

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Noise:
        """The noise of one entry of the table, whichever way its numbers are published."""
        one, two = document["one_qubit"], document["two_qubit"]
        if document["as"] == "average infidelity":  # r·(d-1)/d
            one, two = 2 * one, 4 * two / 3
        return cls(one, two, document["readout"])


@lru_cache(maxsize=1)
def noise_models() -> dict[str, Noise]:
    """All noise models by name."""
    table = json.loads(resources.files("hybridloop.emulator").joinpath("noise.json").read_text(encoding="utf-8"))
    return {name: Noise.from_json(entry) for name, entry in table["models"].items()}


def noise_of(target: Target, params: Mapping[str, Any]) -> tuple[Noise | None, int | None]:
    """The noise that a job with these inputParams runs under, and the seed that it asks for.

    IonQ's simulator takes `{"noise": {"model": …, "seed": …}}`; Quantinuum's emulators `{"error-model": false}`.
    """
    asked = {} if params.get("noise") is None else params["noise"]
    if not isinstance(asked, Mapping) or not isinstance(asked.get("model", IDEAL), str):
        raise Unrunnable("InvalidInputData", "`noise` must be an object with the name of a `model`")
    seed = asked.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise Unrunnable("InvalidInputData", f"the noise's `seed` must be a whole number, not {seed!r}")
    if "model" in asked:
        name = _chosen(target, asked["model"])
    else:
        name = None if target.noise_optional and params.get("error-model") is False else target.noise
    return (None if name is None else noise_models()[name]), seed


def _chosen(target: Target, model: str) -> str | None:
    """The model that a job names; only a target with models to choose from can be asked for none."""
    choice = (IDEAL, *target.noise_models) if target.noise_models else ()
    if model not in choice:
        raise Unrunnable(
            "InvalidInputData", f"{target.id} has no noise model {model!r}; it has {', '.join(choice) or 'none'}"
        )
    return None if model == IDEAL else model
