"""Judge what an SQD run claims without the exact energy: at most chemical accuracy left, by its extrapolation alone."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from qiskit_aer.primitives import SamplerV2

from benchmarks.bounds import machine
from hybridloop.algorithms.outcome import RoundLog
from hybridloop.algorithms.problems.determinants import count_determinants
from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY
from hybridloop.algorithms.rounds import run_round_from_sampler
from hybridloop.algorithms.sqd.diagonalization import diagonalize_samples
from hybridloop.algorithms.sqd.extrapolation import extrapolate_variance
from hybridloop.algorithms.sqd.full_space import solve_in_turn
from hybridloop.algorithms.sqd.remainder import remainder_below
from hybridloop.algorithms.steps import compute_each
from hybridloop.descriptions.sqd import SqdSettings
from hybridloop.inputs.problem_objects.geometry_options import GeometryOptions
from hybridloop.inputs.problems import read_problem
from hybridloop.preparation import prepare
from hybridloop.preparation.sqd import PreparedSqd

SHARES = (0.02, 0.05, 0.1, 0.3)
SEEDS = 2


def chain(number: int, distance: float) -> str:
    """Return a chain of hydrogen atoms, `distance` apart in Å."""
    return "; ".join(f"H 0 0 {k * distance:g}" for k in range(number))


# atoms in Å, electrons and orbitals of the active space, basis set, and multiplicity
Case = tuple[str, tuple[int, int] | None, str, int | None]
MOLECULES: Mapping[str, Case] = {
    "H4 square, 1.5 Å": ("H 0 0 0; H 1.5 0 0; H 1.5 1.5 0; H 0 1.5 0", None, "sto-3g", None),
    "H4, 3.0 Å": (chain(4, 3.0), None, "sto-3g", None),
    "H5, 1.3 Å": (chain(5, 1.3), None, "sto-3g", 2),
    "H6, 1.0 Å": (chain(6, 1.0), None, "sto-3g", None),
    "H6, 2.0 Å": (chain(6, 2.0), None, "sto-3g", None),
    "H6, 3.0 Å": (chain(6, 3.0), None, "sto-3g", None),
    "H8, 1.8 Å": (chain(8, 1.8), None, "sto-3g", None),
    "LiH, 3.5 Å, 6-31G": ("Li 0 0 0; H 0 0 3.5", None, "6-31g", None),
    "BH, 2.5 Å": ("B 0 0 0; H 0 0 2.5", None, "sto-3g", None),
    "BeH2, 3.0 Å": ("Be 0 0 0; H 0 0 3; H 0 0 -3", None, "sto-3g", None),
    "H2O, stretched": ("O 0 0 0; H 0 1.5 1.2; H 0 -1.5 1.2", None, "sto-3g", None),
    "NH2, stretched": ("N 0 0 0; H 0 0 1.9; H 0 1.7 -0.6", None, "sto-3g", 2),
    "CH2, singlet above the triplet": ("C 0 0 0; H 0 0.99 0.36; H 0 -0.99 0.36", None, "sto-3g", None),
    "B2, 1.6 Å": ("B 0 0 0; B 0 0 1.6", (6, 8), "sto-3g", None),
    "C2, 1.25 Å": ("C 0 0 0; C 0 0 1.25", (8, 8), "sto-3g", None),
    "C2, 2.0 Å": ("C 0 0 0; C 0 0 2", (8, 8), "sto-3g", None),
    "N2, 1.1 Å, (6e,6o)": ("N 0 0 0; N 0 0 1.1", (6, 6), "sto-3g", None),
    "N2, 2.5 Å, (6e,6o)": ("N 0 0 0; N 0 0 2.5", (6, 6), "sto-3g", None),
    "N2, 1.6 Å": ("N 0 0 0; N 0 0 1.6", (10, 8), "sto-3g", None),
    "N2, 2.2 Å": ("N 0 0 0; N 0 0 2.2", (10, 8), "sto-3g", None),
    "O2, 1.2 Å, singlet": ("O 0 0 0; O 0 0 1.2", (8, 6), "sto-3g", None),
    "O2, 1.2 Å": ("O 0 0 0; O 0 0 1.2", (8, 6), "sto-3g", 3),
    "O2, 2.2 Å": ("O 0 0 0; O 0 0 2.2", (8, 6), "sto-3g", 3),
}


def claims(name: str) -> Iterator[dict[str, Any]]:
    """Yield for each subspace its size, its error in hartree, and what was claimed of it without the exact energy."""
    atoms, space, basis, multiplicity = MOLECULES[name]
    geometry = GeometryOptions(basis=basis, multiplicity=multiplicity)
    settings = SqdSettings(active_space=space, seed=7, max_subspace=10)
    run = prepare("sqd", read_problem(atoms, geometry), settings, 7).algorithm
    assert isinstance(run, PreparedSqd)
    assert run.full is not None
    molecule, exact = run.problem.molecule, run.facts.exact()
    assert exact is not None
    samples, total = (
        run.measure(run_round_from_sampler(SamplerV2(seed=7)), lambda _: None),
        count_determinants(molecule),
    )
    for share in SHARES:
        for seed in range(SEEDS):
            bounds = replace(run.bounds, max_subspace=max(1, int(share * total)), seed=seed)
            solve, log = solve_in_turn(molecule, run.full), RoundLog(lambda _: None)
            found = diagonalize_samples(samples, molecule, solve, bounds, compute_each, log, np.zeros(0))
            extrapolated = extrapolate_variance(found.batches)
            left = remainder_below(found.best, extrapolated, (), None, is_complete=False)
            error = found.best.energy - exact
            yield {"size": found.best.determinants, "total": total, "error": error, "left": left}


def main() -> int:
    """Print a row for each molecule; the exit code is 1 if one of its claims is false."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="molecules whose name contains this")
    only = parser.parse_args().only
    print(machine())
    print("| molecule | determinants | subspaces | shown to be within 1.6 mHa | of these further off |")
    print("| --- | --- | --- | --- | --- |")
    wrong = 0
    for name in (name for name in MOLECULES if only in name):
        rows = list(claims(name))
        shown = [row for row in rows if row["left"].is_little]
        false = sum(row["error"] > CHEMICAL_ACCURACY for row in shown)
        wrong += false
        print(f"| {name} | {rows[0]['total']:,} | {len(rows)} | {len(shown)} | {false} |", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
