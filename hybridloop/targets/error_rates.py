"""Published error rates of targets, as strengths of depolarizing noise."""

from __future__ import annotations

from dataclasses import dataclass

from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.data import load_table
from hybridloop.runtime.dotted_names import flatten
from hybridloop.targets import Target
from hybridloop.targets.provider_options import NO_OPTIONS, NOISE_MODEL, Options


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """Depolarizing strengths of gates on one and two qubits, and the chance that a measured bit is flipped."""

    one_qubit: float = 0.0
    two_qubit: float = 0.0
    readout: float = 0.0

    def sound(self, counts: GateCounts) -> float:
        """Return the chance that no gate of a shot has a fault, and that no bit is misread."""
        gates = (1.0 - self.two_qubit) ** counts.two_qubit * (1.0 - self.one_qubit) ** counts.one_qubit
        return gates * (1.0 - self.readout) ** counts.measurements


NO_ERRORS = ErrorRates()


def error_rates(target: Target, options: Options = NO_OPTIONS) -> ErrorRates:
    """Return the rates of a target, with the option `noise.model` those of that model.

    They are 0 without noise, and the largest published ones for a machine or a model that publishes none.
    """
    if not target.is_noisy:
        return NO_ERRORS
    table = load_table("error_rates")
    model = str(flatten(options).get(NOISE_MODEL, table["targets"].get(target.name)))
    rates = (table[name] for name in ("one_qubit", "two_qubit", "readout"))
    return ErrorRates(*(float(of_models.get(model, max(of_models.values()))) for of_models in rates))
