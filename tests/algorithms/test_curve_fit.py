"""Fit of a curve's minimum: exact for a Morse curve, within its errors with noise, and none where none is shown."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hybridloop.algorithms.curve_fit import CurveFit, as_plain, fit_curve
from hybridloop.algorithms.geometries import reduced_mass
from hybridloop.results.result_text import curve_texts

# FCI energies in STO-3G (hartree) by distance (Å), by PySCF 2.14
CURVES = {
    ("H", "H"): {
        **{0.5: -1.05516, 0.6: -1.116286, 0.7: -1.136189, 0.8: -1.134148, 0.9: -1.12056, 1.1: -1.079193},
        **{1.5: -0.998149, 2.5: -0.936055, 4.0: -0.933171, 5.0: -0.933164},
    },
    ("Li", "H"): {
        **{1.0: -7.78446, 1.2: -7.852431, 1.4: -7.878454, 1.6: -7.882324, 1.8: -7.874524, 2.1: -7.853463},
        **{2.5: -7.823724, 3.2: -7.793274, 5.0: -7.782583},
    },
    ("H", "F"): {
        **{0.7: -98.437647, 0.8: -98.547695, 0.9: -98.592975, 1.0: -98.603275, 1.1: -98.595121, 1.3: -98.558178},
        **{1.6: -98.503178, 2.2: -98.459049, 3.2: -98.453171},
    },
}
SEEDS, SIGMA = 20, 0.7e-3


def fitted(curve: dict[float, float], seed: int | None, mass: float | None) -> CurveFit:
    """Return the fit of a curve's exact energies, or with noise."""
    noise = 0.0 if seed is None else np.random.default_rng(seed).normal(0.0, SIGMA, len(curve))
    energies = (np.array([*curve.values()]) + noise).tolist()
    found = fit_curve([*curve], energies, [SIGMA] * len(curve), [0.0] * len(curve), mass)
    assert isinstance(found, CurveFit)
    return found


def test_the_minimum_of_a_morse_curve_is_found_within_its_errors() -> None:
    # D (1 − exp(−a (r − r_e)))²: k = 2 D a²
    depth, slope, at = 0.17, 1.9, 0.75
    distances = [0.5, 0.58, 0.66, 0.74, 0.82, 0.9, 1.0, 1.2, 5.0, 6.0]
    energies = [depth * (1.0 - math.exp(-slope * (r - at))) ** 2 - 1.17 for r in distances]
    found = fit_curve(distances, energies, [0.0] * len(distances), [0.0] * len(distances), reduced_mass(["H", "H"]))
    assert isinstance(found, CurveFit)
    mass = 1.007825 / 2.0 * 1.66053906892e-27
    force = 2.0 * depth * slope**2 * 4.3597447222060e-18 * 1e20
    expected = math.sqrt(force / mass) / (2.0 * math.pi * 2.99792458e10)
    assert found.wavenumber is not None
    for measured, true in (
        (found.distance, at),
        (found.energy, -1.17),
        (found.wavenumber, expected),
        (found.depth, depth),
    ):
        assert measured.value == pytest.approx(true, rel=0.01)
        assert measured.value == pytest.approx(true, abs=2.0 * measured.error + 1e-4)
    assert found.is_flat
    assert found.farthest == 6.0


@pytest.mark.parametrize("atoms", CURVES, ids="".join)
def test_noise_moves_the_minimum_within_two_of_its_errors(atoms: tuple[str, str]) -> None:
    mass = reduced_mass(atoms)
    exact = fitted(CURVES[atoms], None, mass)
    runs = [fitted(CURVES[atoms], seed, mass) for seed in range(SEEDS)]
    for name in ("distance", "energy", "wavenumber", "depth"):
        pairs = [(getattr(run, name), getattr(exact, name)) for run in runs]
        assert sum(abs(one.value - other.value) <= 2.0 * one.error for one, other in pairs) >= 17
    # the errors are no guess: they are at most a few times what the noise makes of the values
    spread = np.std([run.distance.value for run in runs])
    assert 0.5 * spread < np.median([run.distance.error for run in runs]) < 10.0 * spread
    assert runs[0].points >= 4


def test_the_error_grows_with_that_of_the_points() -> None:
    curve = CURVES["H", "H"]
    found = [fit_curve([*curve], [*curve.values()], [sigma] * len(curve), [0.0] * len(curve)) for sigma in (1e-4, 1e-3)]
    small, large = (each.distance.error if isinstance(each, CurveFit) else math.nan for each in found)
    assert small < large
    assert isinstance(found[0], CurveFit)
    assert found[0].wavenumber is None  # no mass is given


@pytest.mark.parametrize(
    ("curve", "says"),
    [
        ({0.7: -1.13, 0.8: -1.12, 0.9: -1.11, 1.1: -1.0}, "no minimum: the lowest point is the first one, 0.7 Å"),
        ({0.3: -0.6, 0.4: -0.9, 0.5: -1.05, 0.6: -1.11}, "no minimum: the lowest point is the last one, 0.6 Å"),
        ({0.7: -1.1, 0.8: -1.1005, 0.9: -1.0, 1.1: -0.9}, "no minimum is resolved: 0.8 Å is not below 0.7 Å"),
        ({0.5: -1.0, 0.8: -1.13, 2.5: -0.9, 3.0: -0.9}, "no fit: 2 points lie between"),
    ],
)
def test_a_curve_without_a_minimum_says_so(curve: dict[float, float], says: str) -> None:
    found = fit_curve([*curve], [*curve.values()], [SIGMA] * len(curve), [0.0] * len(curve))
    assert isinstance(found, str)
    assert found.startswith(says)
    assert list(curve_texts(as_plain(found))) == [("minimum", found)]


def test_only_two_known_atoms_have_a_reduced_mass() -> None:
    assert reduced_mass(["H", "Cl"]) == pytest.approx(0.97959, abs=1e-5)  # ¹H³⁵Cl
    assert reduced_mass(["Li1", "h"]) == pytest.approx(7.016004 * 1.007825 / (7.016004 + 1.007825))
    assert reduced_mass(["O", "H", "H"]) is None
    assert reduced_mass(["X", "H"]) is None


def test_a_fit_is_told_in_three_lines() -> None:
    plain = as_plain(fitted(CURVES["H", "H"], None, reduced_mass(["H", "H"])))
    lines = dict(curve_texts(plain))
    assert lines["minimum"].startswith("0.73")
    assert lines["minimum"].endswith(" hartree")
    assert lines["harmonic"].endswith(" 1/cm, of the most common isotopes")
    assert lines["depth"].endswith(" hartree to 5 Å")
    assert list(curve_texts({})) == []
