"""Noise models of targets from published error rates, and the choice of a job's noise model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from hybridloop.emulator.model.program import JobInputError
from hybridloop.emulator.model.targets import Target

IDEAL = "ideal"


@dataclass(frozen=True, slots=True)
class Noise:
    """Depolarizing noise after gates, rho -> (1 - r) rho + r I/d with strengths r, and a readout flip probability."""

    one_qubit: float
    two_qubit: float
    readout: float

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Noise:
        """Parse an entry of noise.json; average infidelities are converted to strengths."""
        one, two = document["one_qubit"], document["two_qubit"]
        if document["as"] == "average infidelity":  # r·(d-1)/d
            one, two = 2 * one, 4 * two / 3
        return cls(one, two, document["readout"])


@lru_cache(maxsize=1)
def noise_models() -> dict[str, Noise]:
    text = resources.files("hybridloop.emulator.simulation").joinpath("noise.json").read_text(encoding="utf-8")
    return {name: Noise.from_json(entry) for name, entry in json.loads(text)["models"].items()}


def select_noise(target: Target, params: Mapping[str, Any]) -> tuple[Noise | None, int | None]:
    """Return the noise of a job with these inputParams (None: noiseless), and the noise seed if it sets one.

    IonQ's simulator takes `{"noise": {"model": …, "seed": …}}`; Quantinuum's emulators `{"error-model": false}`.
    Raises JobInputError for an unknown model or an invalid seed.
    """
    options = {} if params.get("noise") is None else params["noise"]
    if not isinstance(options, Mapping) or not isinstance(options.get("model", IDEAL), str):
        raise JobInputError("InvalidInputData", "`noise` must be an object with the name of a `model`")
    seed = options.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise JobInputError("InvalidInputData", f"the noise's `seed` must be a whole number, not {seed!r}")
    if "model" in options:
        name = _requested_model(target, options["model"])
    else:
        name = None if target.noise_optional and params.get("error-model") is False else target.noise
    return (None if name is None else noise_models()[name]), seed


def _requested_model(target: Target, model: str) -> str | None:
    """Check the model that a job names; only a target with several models accepts `ideal`, which gives None."""
    choices = (IDEAL, *target.noise_models) if target.noise_models else ()
    if model not in choices:
        problem = f"{target.id} has no noise model {model!r}; it has {', '.join(choices) or 'none'}"
        raise JobInputError("InvalidInputData", problem)
    return None if model == IDEAL else model
