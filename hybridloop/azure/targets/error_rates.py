"""Published error rates of targets, as strengths of depolarizing noise."""

from __future__ import annotations

from dataclasses import dataclass

from hybridloop.azure.targets import Target
from hybridloop.azure.targets.provider_options import NO_OPTIONS, NOISE_MODEL, Options
from hybridloop.data import load_table
from hybridloop.runtime.dotted_names import flatten


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """Strengths of depolarizing noise after gates on one and two qubits, and the chance of a wrong readout."""

    one_qubit: float
    two_qubit: float
    readout: float


NO_ERRORS = ErrorRates(0.0, 0.0, 0.0)


def error_rates(target: Target, options: Options = NO_OPTIONS) -> ErrorRates | None:
    """Return a target's published error rates, or those of the option `noise.model`; None: none published."""
    if not target.is_noisy:
        return NO_ERRORS
    table = load_table("error_rates")
    rates = table["models"].get(flatten(options).get(NOISE_MODEL, table["targets"].get(target.name)))
    return None if rates is None else ErrorRates(**rates)
