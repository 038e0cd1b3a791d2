"""Outcome of sample-based quantum diagonalization: a bound, its extrapolation, and what beside it is better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hybridloop.algorithms.diagnostics import TOLERATED_SPIN
from hybridloop.algorithms.estimation.configurations import Samples
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.final import FinalMeasurement
from hybridloop.algorithms.outcome import Fact, Outcome, RoundProgress
from hybridloop.algorithms.sqd import UNCHANGED, Batch, SqdResult
from hybridloop.algorithms.sqd_comparison import BY_DETERMINANTS, BY_STRINGS, FROM_EXACT, ClassicalSpace
from hybridloop.algorithms.sqd_extrapolation import SIGMAS, Extrapolation, extrapolate_variance

CHEMICAL_ACCURACY = 1.6e-3  # hartree: 1 kcal/mol
SAME_ENERGY = 1e-6  # hartree: two energies that differ by less are called equal
ROUNDING = 1e-8  # hartree, of the diagonalization


def outcome_of(
    found: SqdResult,
    compared: Sequence[ClassicalSpace],
    samples: Samples,
    *,
    total: int,
    exact: float | None,
    spin: float,
    parameters: tuple[float, ...],
    history: tuple[RoundProgress, ...],
    choices: tuple[str, ...],
    by_determinants: bool = True,
) -> Outcome:
    """Return the outcome; `total` is the number of all determinants, `spin` the molecule's s, energies in hartree.

    It is converged if the iterations were self-consistent, and nothing shows more than chemical accuracy to be left
    below the energy: the extrapolation, a classical subspace, the exact energy. Without `by_determinants` the
    extrapolation's error is that of runs of then.
    """
    best = found.best
    extrapolated = extrapolate_variance(found.batches, of_fit_alone=not by_determinants)
    residue, no_residue = None, f"unknown: {extrapolated}"
    is_complete = best.determinants == total
    if is_complete:
        residue = 0.0
    elif isinstance(extrapolated, Extrapolation):
        residue = best.energy - extrapolated.energy + SIGMAS * extrapolated.error
    expected = None if residue is None or isinstance(extrapolated, str) else best.energy - extrapolated.energy
    facts = (
        Fact("self_consistent", found.is_self_consistent, _consistency(found)),
        Fact("little_left", *_little_left(best.energy, expected, residue, no_residue, compared, exact)),
    )
    warnings = _warnings(best, spin)
    shown = "; ".join(fact.reason for fact in facts)
    rows = [_row(f"samples, iteration {i + 1}", found.lowest_of(i + 1), total) for i in range(found.iterations)]
    if isinstance(extrapolated, Extrapolation):
        rows.append(_plain_row("extrapolated", extrapolated.energy, None, total, extrapolated.error))
    rows += [_plain_row(space.name, space.energy, space.determinants, total) for space in compared]
    valid = int(samples.shots[samples.is_valid].sum())
    shots = int(samples.shots.sum())
    alpha, beta = (len(np.unique(strings)) for strings in samples.valid.masks.T)
    lines = [
        f"subspace: {best.determinants:,} of {total:,} determinants, {best.determinants / total:.1%} of the full space",
        f"samples: {valid:,} of {shots:,} shots have the right electrons, {found.corrected:,} were corrected; "
        f"the former have {alpha:,} alpha and {beta:,} beta strings",
        f"variance: {_extrapolation_text(extrapolated)}",
        *_comparison_lines(best, compared),
    ]
    if len(compared) == 1:
        lines.append("strings: the best ones are left out, as the exact state is not known")
    return Outcome(
        final=FinalMeasurement(Estimate(best.energy, 0.0, shots, rounding_bound=ROUNDING), is_precise=True),
        parameters=parameters,
        converged=found.is_self_consistent and not any(fact.shown is False for fact in facts) and not warnings,
        reason="; ".join([*(warning.split(":")[0] for warning in warnings), shown]),
        rounds=1,
        history=history,
        table=tuple(rows),
        warnings=warnings,
        choices=(*choices, *lines),
        facts=facts,
        residue=residue,
        no_residue=no_residue,
        is_upper_bound=True,
    )


def _consistency(found: SqdResult) -> str:
    if found.is_self_consistent:
        return f"{UNCHANGED} iterations in a row left the energy as it was, of {found.iterations}"
    return f"the energy was still changing after {found.iterations} iterations"


def _little_left(
    energy: float,
    expected: float | None,
    residue: float | None,
    no_residue: str,
    compared: Sequence[ClassicalSpace],
    exact: float | None,
) -> tuple[bool | None, str]:
    """Return whether at most chemical accuracy is left below the energy, None where nothing tells, and the reason.

    The extrapolation leaves `expected` and, with its errors, at most `residue`.
    """
    lower = {space.name: energy - space.energy for space in compared}
    if exact is not None:
        lower["the exact energy"] = energy - exact
    name, most = max(lower.items(), key=lambda item: item[1], default=("", 0.0))
    if most > CHEMICAL_ACCURACY:
        return False, f"{name} is {1e3 * most:.2f} mHa lower"
    if residue is None:
        return None, f"how much is left below the energy is {no_residue}"
    text = f"the extrapolation in its variance leaves at most {1e3 * residue:.2f} mHa, two of its errors included"
    if residue <= CHEMICAL_ACCURACY:
        return True, text
    if expected is not None and expected > CHEMICAL_ACCURACY:
        return False, f"the extrapolation in its variance leaves {1e3 * expected:.2f} mHa"
    return None, text


def _warnings(best: Batch, spin: float) -> tuple[str, ...]:
    if abs(best.spin_squared - spin * (spin + 1.0)) <= TOLERATED_SPIN:
        return ()
    return (
        f"spin: ⟨S²⟩ of the state is {best.spin_squared:.2f}, and {spin * (spin + 1.0):g} belongs to multiplicity "
        f"{2 * spin + 1:g}. The energy bounds the lowest of any spin. Give a larger max_subspace, or the multiplicity.",
    )


def _extrapolation_text(extrapolated: Extrapolation | str) -> str:
    if isinstance(extrapolated, str):
        return f"no extrapolation, as {extrapolated}"
    return (
        f"extrapolated to {extrapolated.energy:.6f} ± {extrapolated.error:.6f} hartree at variance 0, a line through "
        f"{extrapolated.points} states; this is no bound"
    )


def _comparison_lines(best: Batch, compared: Sequence[ClassicalSpace]) -> list[str]:
    """Return for each classical subspace its energy, and which of both is better."""
    lines = []
    titles = {BY_DETERMINANTS: "classical", BY_STRINGS: "classical", FROM_EXACT: "strings"}
    of_what = {
        BY_DETERMINANTS: "a selected CI, one by one",
        BY_STRINGS: "a selected CI, by strings",
        FROM_EXACT: "the exact state's heaviest strings",
    }
    for space in compared:
        difference = space.energy - best.energy
        amount = f"{1e3 * abs(difference):.3f} mHa"
        verdict = f"{amount} higher: the samples' subspace is better"
        if abs(difference) < SAME_ENERGY:
            verdict = "equal to the samples' subspace"
        elif difference < 0.0:
            verdict = f"{amount} lower: it is better than the samples' subspace"
        what = f"{space.determinants:,} determinants ({of_what[space.name]})"
        lines.append(f"{titles[space.name]}: {space.energy:.6f} hartree with {what}, {verdict}")
    return lines


def _row(space: str, batch: Batch, total: int) -> dict[str, Any]:
    return {
        **_plain_row(space, batch.energy, batch.determinants, total),
        "variance": batch.variance,
        "spin_squared": batch.spin_squared,
    }


def _plain_row(
    space: str, energy: float, determinants: int | None, total: int, error: float | None = None
) -> dict[str, Any]:
    return {
        "space": space,
        "energy": energy,
        "standard_error": error,
        "determinants": determinants,
        "share": None if determinants is None else round(determinants / total, 6),
        "variance": None,
        "spin_squared": None,
    }
