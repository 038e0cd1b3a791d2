"""Outcome of sample-based quantum diagonalization: a bound, its extrapolation, and what beside it is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hybridloop.algorithms.diagnostics import TOLERATED_SPIN
from hybridloop.algorithms.doubt import Doubt
from hybridloop.algorithms.error_budget import subspace_error
from hybridloop.algorithms.estimation.configurations import Samples
from hybridloop.algorithms.outcome import Fact, Kind, Outcome, RoundProgress
from hybridloop.algorithms.problems.determinants import count_determinants
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.sqd.comparison import BY_DETERMINANTS, BY_STRINGS, FROM_EXACT, ClassicalSpace
from hybridloop.algorithms.sqd.diagonalization import UNCHANGED, Batch, SqdResult
from hybridloop.algorithms.sqd.extrapolation import SIGMAS, Extrapolation, extrapolate_variance
from hybridloop.algorithms.sqd.remainder import SAME_ENERGY, remainder_below

ROUNDING = 1e-8  # hartree, of the diagonalization


def outcome_of(
    found: SqdResult,
    compared: Sequence[ClassicalSpace],
    samples: Samples,
    problem: ElectronicProblem,
    *,
    exact: float | None,
    parameters: tuple[float, ...],
    history: tuple[RoundProgress, ...],
) -> Outcome:
    """Return the outcome, energies in hartree; `exact` is None where the molecule is too large.

    It is converged if both facts are shown: the iterations were self-consistent, and at most chemical accuracy is left
    below the energy.
    """
    molecule, total = problem.molecule, count_determinants(problem.molecule)
    spin = 0.5 * abs(molecule.electrons[0] - molecule.electrons[1])
    best = found.best
    extrapolated = extrapolate_variance(found.batches)
    left = remainder_below(best, extrapolated, compared, exact, is_complete=best.determinants == total)
    facts = (
        Fact("self_consistent", found.is_self_consistent, _consistency(found), Kind.ESTIMATED),
        Fact("little_left", left.is_little, left.reason, left.kind),
    )
    valid, shots = int(samples.shots[samples.is_valid].sum()), int(samples.shots.sum())
    at_random = total / 2**problem.encoding.num_qubits
    rows = [_row(f"samples, iteration {i + 1}", found.lowest_of(i + 1), total) for i in range(found.iterations)]
    if isinstance(extrapolated, Extrapolation):
        rows.append(_plain_row("extrapolated", extrapolated.energy, None, total, extrapolated.error))
    rows += [_plain_row(space.name, space.energy, space.determinants, total) for space in compared]
    beside = f" (of random outcomes {at_random:.1%} would)" if valid < shots else ""
    alpha, beta = (len(np.unique(strings)) for strings in samples.valid.masks.T)
    lines = [
        f"subspace: {best.determinants:,} of {total:,} determinants, {best.determinants / total:.1%} of the full space",
        f"samples: {valid:,} of {shots:,} shots have the right electrons{beside}, {found.corrected:,} were "
        f"corrected; the right ones have {alpha:,} alpha and {beta:,} beta strings",
        f"variance: {_extrapolation_text(extrapolated)}",
        *_comparison_lines(best, compared),
    ]
    if len(compared) == 1:
        lines.append("strings: the best ones are left out, as the exact state is not known")
    outcome = Outcome(
        value=best.energy,
        standard_error=0.0,
        interval95=None,
        error_budget=(subspace_error(left.most, left.meaning),),
        rounding_bound=ROUNDING,
        is_precise=True,
        parameters=parameters,
        converged=all(fact.shown for fact in facts),
        reason="; ".join(fact.reason for fact in facts),
        rounds=1,
        history=history,
        table=tuple(rows),
        choices=tuple(lines),
        facts=facts,
        is_upper_bound=True,
    )
    return outcome.doubted(_doubt_of_spin(best, spin), _doubt_of_samples(valid, shots, at_random))


def _consistency(found: SqdResult) -> str:
    if found.is_self_consistent:
        return f"{UNCHANGED} iterations in a row left the energy as it was, of {found.iterations}"
    return f"the energy was still changing after {found.iterations} iterations"


def _doubt_of_spin(best: Batch, spin: float) -> Doubt | None:
    if abs(best.spin_squared - spin * (spin + 1.0)) <= TOLERATED_SPIN:
        return None
    return Doubt(
        "spin",
        f"⟨S²⟩ of the state is {best.spin_squared:.2f}, and {spin * (spin + 1.0):g} belongs to multiplicity "
        f"{2 * spin + 1:g}. The energy bounds the lowest of any spin. Give a larger max_subspace, or the multiplicity.",
    )


def _doubt_of_samples(valid: int, shots: int, at_random: float) -> Doubt | None:
    """Return a doubt if the shots with the right electrons are as few as of random outcomes, of which that share has.

    That is of another circuit, or of noise alone: what was sampled then tells nothing of a state.
    """
    if valid == shots or valid > shots * at_random + SIGMAS * math.sqrt(shots * at_random * (1.0 - at_random)):
        return None
    return Doubt(
        "samples",
        f"{valid:,} of {shots:,} shots have the right electrons, no more than of random outcomes. The "
        "subspace is rather that of Hartree-Fock and the Hamiltonian. Check the circuit's mapping and order of qubits, "
        "or give a target of less noise.",
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
