"""Published error rates of targets, as strengths of depolarizing noise."""

from __future__ import annotations

from hybridloop.azure.targets import Target
from hybridloop.azure.targets.provider_options import NO_OPTIONS, NOISE_MODEL, Options
from hybridloop.data import load_table
from hybridloop.runtime.dotted_names import flatten


def two_qubit_error(target: Target, options: Options = NO_OPTIONS) -> float:
    """Return the depolarizing strength of a gate on two qubits, with the option `noise.model` that model's.

    It is 0 without noise, and the largest published one for a machine or a model that publishes none.
    """
    if not target.is_noisy:
        return 0.0
    table = load_table("error_rates")
    rates: dict[str, float] = table["two_qubit"]
    model = flatten(options).get(NOISE_MODEL, table["targets"].get(target.name))
    return rates.get(str(model), max(rates.values()))
