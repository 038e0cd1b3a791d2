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
    """Depolarizing noise after gates, rho -> (1 - r) rho + r I/d with strengths r, and flips with probabilities.

    `readout` is the flip of a measured 0, `readout_of_one` that of a measured 1 (None: the same). `preparation` is the
    flip of a qubit at the start and after each reset.
    """

    one_qubit: float
    two_qubit: float
    readout: float
    readout_of_one: float | None = None
    preparation: float = 0.0

    @property
    def flips(self) -> tuple[float, float]:
        """Flip probabilities of a measured 0 and of a measured 1."""
        return self.readout, self.readout if self.readout_of_one is None else self.readout_of_one

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


# The parameters of Quantinuum's noise model that this service simulates, and those that it does not: they need times of
# idling and transport, neighbours in the trap, or states outside of the qubit. Names: UserErrorParams in
# https://docs.quantinuum.com/nexus/nexus_api/quantinuum_systems_noise_models.html
_PROBABILITIES = frozenset(("p1", "p2", "p_init"))
_SCALES = frozenset(("scale", "p1_scale", "p2_scale", "meas_scale", "init_scale"))
SIMULATED = (*sorted(_PROBABILITIES | {"p_meas"}), *sorted(_SCALES))
NOT_SIMULATED = frozenset(
    "p_crosstalk_meas p_crosstalk_init p1_emission_ratio p2_emission_ratio quadratic_dephasing_rate "
    "linear_dephasing_rate coherent_to_incoherent_factor coherent_dephasing transport_dephasing idle_dephasing "
    "przz_a przz_b przz_c przz_d przz_power memory_scale emission_scale crosstalk_scale leakage_scale".split()
)


def with_error_params(noise: Noise, rates: object) -> Noise:
    """Return the noise with Quantinuum's `error-params`: stated rates replace, then scales multiply.

    A fault of `p1` or `p2` is a Pauli error other than the identity, which depolarizing noise of strength r has with
    the probability r·(1 - 1/d²). Raises JobInputError for an unknown or invalid parameter.
    """
    if not isinstance(rates, Mapping):
        raise JobInputError("InvalidInputData", "`error-params` must be an object of error rates by name")
    for name in rates:
        if name not in SIMULATED:
            why = "is not simulated by this service" if name in NOT_SIMULATED else "is unknown"
            problem = f"the error parameter {name!r} {why}; it takes {', '.join(SIMULATED)}"
            raise JobInputError("InvalidInputData", problem)
    values = {name: _rate(name, value) for name, value in rates.items() if name != "p_meas"}
    read = rates.get("p_meas", noise.flips)
    flips = read if isinstance(read, list | tuple) else (read, read)
    if len(flips) != 2:
        raise JobInputError("InvalidInputData", "`p_meas` must be one probability, or those of a 0 and of a 1")
    scale = values.get("scale", 1.0)

    def scaled(probability: float, name: str) -> float:
        return min(1.0, probability * scale * values.get(name, 1.0))

    one, two = 3 / 4, 15 / 16  # probability of a fault at strength 1
    zero_flip, one_flip = (scaled(_rate("p_meas", flip), "meas_scale") for flip in flips)
    return Noise(
        scaled(values.get("p1", noise.one_qubit * one), "p1_scale") / one,
        scaled(values.get("p2", noise.two_qubit * two), "p2_scale") / two,
        zero_flip,
        one_flip,
        scaled(values.get("p_init", noise.preparation), "init_scale"),
    )


def _rate(name: str, value: object) -> float:
    """Return a probability, or a scale from 0 on."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value or (name not in _SCALES and value > 1):  # type: ignore[operator]  # a number
        limits = "a number from 0 on" if name in _SCALES else "a probability"
        raise JobInputError("InvalidInputData", f"the error parameter {name!r} must be {limits}, not {value!r}")
    return float(value)  # type: ignore[arg-type]  # a number


def select_noise(target: Target, params: Mapping[str, Any]) -> tuple[Noise | None, int | None]:
    """Return the noise of a job with these inputParams (None: noiseless), and the noise seed if it sets one.

    IonQ's simulator takes `{"noise": {"model": …, "seed": …}}`; Quantinuum's emulators `{"error-model": false}` and
    `{"error-params": {…}}`. Raises JobInputError for an unknown model or rate, and for an invalid seed.
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
    noise = None if name is None else noise_models()[name]
    if (rates := params.get("error-params")) is not None:
        noise = _changed(target, noise, rates)
    return noise, seed


def _changed(target: Target, noise: Noise | None, rates: object) -> Noise:
    """Return the noise with the rates that a job states; only an emulator with its noise on takes them."""
    if not target.noise_optional or noise is None:
        why = "its error-model is off" if target.noise_optional else "it is no emulator with a noise model of its own"
        raise JobInputError("InvalidInputData", f"{target.id} takes no `error-params`: {why}")
    return with_error_params(noise, rates)


def _requested_model(target: Target, model: str) -> str | None:
    """Check the model that a job names; only a target with several models accepts `ideal`, which gives None."""
    choices = (IDEAL, *target.noise_models) if target.noise_models else ()
    if model not in choices:
        problem = f"{target.id} has no noise model {model!r}; it has {', '.join(choices) or 'none'}"
        raise JobInputError("InvalidInputData", problem)
    return None if model == IDEAL else model
