"""Calibration of error bars: sampled counts of prepared circuits, each value and its interval beside the true value.

A prepared run whose angles are simulated measures the same circuits with other draws of the shots. The true value is
that of the state; of a binary problem, whose angles are fixed, the mean over all draws.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

import hybridloop as hl
from benchmarks.accuracy_energies import fcidump
from benchmarks.bounds import Bound, Side
from hybridloop import local_stack as stack
from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.estimation.estimates import RARE_SHOTS95, Z95
from hybridloop.algorithms.outcome import Outcome
from hybridloop.descriptions.levels import LevelsSettings
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.inputs.problems import Reading, read_for, read_problem
from hybridloop.settings import AnsatzName, ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.preparation_helpers import prepare_qaoa, prepare_vqe, prepared

DRAWS, QUICK_DRAWS = 2000, 100
NAMED = 0.01  # share of the draws with a bound, above which it is one of the row
BESIDE = dict.fromkeys(("dipole", "occupations"))
AgH, NO, CH2 = "Ag 0 0 0; H 0 0 1.617", "N 0 0 0; O 0 0 1.1508", "C 0 0 0; H 0 0.86 0.60; H 0 -0.86 0.60"
JORDAN_WIGNER = VqeSettings(ansatz=AnsatzName.UCCSD, mapping=FermionMapping.JORDAN_WIGNER)


@dataclass(frozen=True, slots=True)
class Value:
    """A measured value, its true one (None: unknown), the error of the shots seen, and the bound of others."""

    value: float
    true: float | None
    sampled: float
    bound: float

    @classmethod
    def of(cls, value: float, true: float | None, standard_error: float, bound: float) -> Value:
        return cls(value, true, max(0.0, standard_error**2 - (bound / RARE_SHOTS95) ** 2) ** 0.5, bound)


Draw = Callable[[int], Mapping[str, Value]]


def built_in(name: str) -> ProblemText:
    """Return a built-in problem."""
    return read_problem(name)


def vqe(problem: ProblemText, settings: VqeSettings) -> Draw:
    """Return draws of a VQE's energy and of what is measured beside it."""
    run = prepare_vqe(problem, settings, 0)

    @cache
    def true(parameters: tuple[float, ...]) -> float:
        state = Statevector(run.ansatz.circuit.assign_parameters(np.array(parameters)))
        return float(state.expectation_value(run.energy.observable.operator).real)

    def draw(seed: int) -> Mapping[str, Value]:
        outcome = run.measure(shot_rounds(seed), lambda _: None)
        beside = {
            str(row["observable"]): Value.of(row["value"], row["simulated"], row["standard_error"], row["unseen_bound"])
            for row in outcome.observables
            if row["shots"]
        }
        return {"energy": _of_outcome(outcome, true(outcome.parameters)), **beside}

    return draw


def geometry(text: str, settings: VqeSettings, **of_molecule: object) -> Draw:
    """Return draws of a VQE of a geometry, which PySCF reads."""
    settings = settings.model_copy(update=of_molecule)
    return vqe(read_for("vqe", text, settings, Reading()), settings)


def levels(name: str) -> Draw:
    """Return draws of a molecule's levels."""

    def draw(seed: int) -> Mapping[str, Value]:
        run = prepared("levels", ProblemText(name=name, text=fcidump(name)), LevelsSettings(), seed)
        table = run.measure(shot_rounds(seed), lambda _: None).table
        return {
            f"level {row['level']}": Value.of(row["energy"], row["exact"], row["standard_error"], row["unseen_bound"])
            for row in table
        }

    return draw


def binary(name: str) -> Draw:
    """Return draws of the mean objective of a binary problem's circuit."""

    def draw(seed: int) -> Mapping[str, Value]:
        run = prepare_qaoa(built_in(name), QaoaSettings(), 0)
        return {"mean": _of_outcome(run.measure(shot_rounds(seed), lambda _: None), None)}

    return draw


def _of_outcome(outcome: Outcome, true: float | None) -> Value:
    (sampled,) = [each.amount or 0.0 for each in outcome.error_budget if each.source == "shot noise"]
    return Value(outcome.value, true, sampled, outcome.unseen_bound)


CASES: Mapping[str, Callable[[], Draw]] = {
    **{
        f"h2 {name}": lambda name=name: vqe(built_in(name), VqeSettings())  # type: ignore[misc]
        for name in ("h2-0.3", "h2", "h2-1.6", "h2-2.5")
    },
    "heh+": lambda: vqe(built_in("heh+"), VqeSettings()),
    "lih": lambda: vqe(built_in("lih-frozen-core"), VqeSettings()),
    "lih uccsd": lambda: vqe(built_in("lih-frozen-core"), VqeSettings(ansatz=AnsatzName.UCCSD)),
    "agh": lambda: geometry(AgH, VqeSettings(observables=BESIDE), basis="def2-svp", active_space=(2, 2)),
    "no": lambda: geometry(NO, VqeSettings(observables=BESIDE), multiplicity=2, active_space=(5, 4)),
    "ch2": lambda: geometry(CH2, VqeSettings(observables=BESIDE), multiplicity=3, active_space=(4, 4)),
    "h4": lambda: vqe(built_in("h4"), VqeSettings(observables={"occupations": None})),
    "h2 jordan-wigner": lambda: vqe(built_in("h2-1.6"), JORDAN_WIGNER),
    "ising": lambda: vqe(
        built_in("ising-6"), VqeSettings(observables=dict.fromkeys(("magnetization", "correlations")))
    ),
    "heisenberg": lambda: vqe(built_in("heisenberg-6"), VqeSettings(observables={"correlations": None})),
    "levels h2": lambda: levels("H2_0.735"),
    "max-cut": lambda: binary("ring-8"),
    "portfolio": lambda: binary("portfolio-8"),
}
QUICK = ("h2 h2", "lih", "ising")
WHOLE: Mapping[str, tuple[str, dict[str, Any]]] = {
    "h2": ("h2", {}),
    "agh": (AgH, {"basis": "def2-svp", "active_space": (2, 2)}),
    "h2-1.6, angles searched": ("h2-1.6", {"search": "measured"}),
}
SEEDS = 10


def figures(name: str, draws: int) -> Iterator[tuple[str, float, float, float]]:
    """Yield for each value its name, the share of draws with a bound and of intervals that hold, and the rms of z."""
    draw, found = CASES[name](), defaultdict[str, list[Value]](list)
    for seed in range(draws):
        for label, value in draw(seed).items():
            found[label].append(value)
    for label, values in found.items():
        measured, sampled, bounds = (
            np.array([getattr(each, part) for each in values]) for part in ("value", "sampled", "bound")
        )
        true = np.array([measured.mean() if each.true is None else each.true for each in values])
        off = np.abs(measured - true)
        if not sampled.any() and not bounds.any():
            continue
        holds = float((off <= Z95 * sampled + bounds + 1e-9).mean())
        is_sampled = (bounds == 0.0) & (sampled > 0.0)
        rms = float(np.sqrt(np.mean((off[is_sampled] / sampled[is_sampled]) ** 2))) if is_sampled.any() else np.nan
        yield f"{name}: {label}", float((bounds > 0.0).mean()), holds, rms


def whole_runs(seeds: int) -> Iterator[tuple[str, int]]:
    """Yield the number of whole runs on a local service, of so many seeds, whose interval holds the exact energy."""
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDLOOP_HOME", home)
        try:
            for name, (problem, settings) in WHOLE.items():
                runs = [hl.vqe(problem, seed=seed, host="plain", **settings) for seed in range(seeds)]
                intervals = [(each.interval95 or (math.inf, -math.inf), each.exact) for each in runs]
                yield name, sum(exact is not None and low <= exact <= high for (low, high), exact in intervals)
        finally:
            stack.down()


def calibration(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Check that intervals hold as often as they say, with and without a bound of outcomes that were not seen."""
    bounds, draws = list[Bound](), QUICK_DRAWS if quick else DRAWS
    margin = 6.0 if quick else 0.0  # percent, for the scatter of few draws
    for name in QUICK if quick else CASES:
        for label, named, holds, rms in figures(name, draws):
            least = 94 if named > NAMED else 93
            bounds.append(Bound(f"{label}: intervals that hold", 100 * holds, Side.AT_LEAST, least - margin, "%"))
            if named <= NAMED:
                bounds += [
                    Bound(f"{label}: intervals that hold", 100 * holds, Side.AT_MOST, 97 + margin, "%"),
                    Bound(f"{label}: rms of the error by σ", rms, Side.AT_LEAST, 0.9 - margin / 50),
                    Bound(f"{label}: rms of the error by σ", rms, Side.AT_MOST, 1.15 + margin / 50),
                ]
    return bounds


def main() -> int:
    """Print the table of the guide."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy_calibration", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--draws", type=int, default=DRAWS)
    options = parser.parse_args()
    print("| value | draws with a bound | intervals that hold | rms of the error by σ |\n| --- | --- | --- | --- |")
    for name in options.cases or CASES:
        for label, named, holds, rms in figures(name, options.draws):
            rms_text = "" if np.isnan(rms) else f"{rms:.2f}"
            print(f"| {label} | {named:.0%} | {holds:.1%} | {rms_text} |", flush=True)
    print("\n| whole runs on the local service | intervals that hold |\n| --- | --- |")
    for name, held in whole_runs(SEEDS):
        print(f"| {name} | {held} of {SEEDS} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
