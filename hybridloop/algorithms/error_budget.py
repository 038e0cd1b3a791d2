"""Error budget of a result: shot noise, outcomes not seen, what the search left, rounding, extrapolation."""

from __future__ import annotations

from dataclasses import dataclass

from hybridloop.algorithms.estimation.estimates import Z95, Estimate, Extrapolation

FORECAST = "expected gain left and cost of shot noise in the angles, by the search"
NO_FORECAST = "unknown: the search forecasts no gain"
NO_MINIMUM = "none: the value is that of the circuit at these parameters, and no minimum is claimed"


@dataclass(frozen=True, slots=True)
class ErrorSource:
    """One source of a value's error: its amount (≥ 0) in `unit`, None where it is unknown or does not apply.

    `meaning` says what the amount is, or why there is none. With `is_one_sided` the true value lies below the measured
    one, so only the lower end of the interval is widened.
    """

    source: str
    amount: float | None
    meaning: str
    is_one_sided: bool = False
    unit: str = ""


def error_budget(estimate: Estimate, residue: float | None, meaning: str | None = None) -> tuple[ErrorSource, ...]:
    """Return the sources of the error of a final estimate, in its unit.

    `residue` is the energy that the search expects to be left above the minimum of its own model: the gain of another
    step and the cost of shot noise in the angles. What the model does not know is not in it, such as another minimum,
    or a state that the circuit can't prepare. `meaning` says where it comes from, or why it is None; left
    out: the search forecasts it, or does not.
    """
    sampled = "standard error of the mean of the shots"
    unseen = "bound (95 %) on outcomes that were not seen, each with a probability of up to three shots'"
    return (
        ErrorSource("shot noise", estimate.sampled_error, "none: exact" if estimate.is_exact else sampled),
        ErrorSource(
            "outcomes not seen", estimate.unseen_bound, unseen if estimate.unseen_bound else "none: shot noise hides it"
        ),
        ErrorSource(
            "search residue",
            residue,
            meaning or (NO_FORECAST if residue is None else FORECAST),
            is_one_sided=True,
        ),
        ErrorSource(
            "rounding",
            estimate.rounding_bound,
            "bound on the rounding of the exact distribution to counts" if estimate.is_exact else "none: it samples",
        ),
        _extrapolation(estimate.extrapolation),
    )


def _extrapolation(found: Extrapolation | None) -> ErrorSource:
    if found is None:
        return ErrorSource("extrapolation", None, "none: no extrapolation to zero noise")
    gates = " : ".join(f"{number:g}" for number in found.gates_by_scale)
    what = "twice the difference between the linear and the exponential model of zero-noise extrapolation"
    return ErrorSource("extrapolation", found.spread, f"{what}, over circuits with {gates} gates on two qubits")


def subspace_error(residue: float | None, meaning: str) -> ErrorSource:
    """Return the one source of the error of an upper bound: what lies outside its subspace, and only lowers it."""
    return ErrorSource("subspace", residue, meaning, is_one_sided=True)


def interval95(estimate: Estimate, budget: tuple[ErrorSource, ...]) -> tuple[float, float]:
    """Return the 95 % interval: 1.96 standard errors of the shots seen, widened by each other amount.

    One-sided amounts widen the lower end. Errors other than shot noise are no independent draws, so they are
    added, not their squares.
    """
    others = [each for each in budget if each.source != "shot noise" and each.amount]
    both = Z95 * estimate.sampled_error + sum(each.amount or 0.0 for each in others if not each.is_one_sided)
    below = sum(each.amount or 0.0 for each in others if each.is_one_sided)
    return (estimate.value - both - below, estimate.value + both)
