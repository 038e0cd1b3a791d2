"""Equilibrium of a potential-energy curve: distance, depth and harmonic wavenumber, with the errors of its points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.problems.energy_units import CHEMICAL_ACCURACY

MIN_POINTS, MAX_DEGREE = 4, 5
NEAREST, FARTHEST = 0.6, 1.6  # of the lowest point's distance: the points of the fit
SIGMAS = 2.0  # standard errors by which the lowest point must be below both ends
_STEP = 1e-6  # hartree: of the derivatives by the points' energies
# CODATA 2022: hartree in J, dalton in kg, speed of light in cm/s
_HARTREE, _DALTON, _LIGHT = 4.3597447222060e-18, 1.66053906892e-27, 2.99792458e10


@dataclass(frozen=True, slots=True)
class Measured:
    """A quantity with its standard error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class CurveFit:
    """Minimum of a curve of energies in hartree over a distance in Å.

    `wavenumber` is the harmonic one in 1/cm, None where there are no masses. `depth` is the energy of the point at
    `farthest` (Å) above the minimum: the dissociation energy with `is_flat`, where the last two points have the same
    energy up to their errors or chemical accuracy. `points` of the curve were fitted by a polynomial of a `degree`.
    """

    distance: Measured
    energy: Measured
    wavenumber: Measured | None
    depth: Measured
    farthest: float
    is_flat: bool
    points: int
    degree: int


def fit_curve(
    distances: Sequence[float],
    energies: Sequence[float],
    errors: Sequence[float],
    bounds: Sequence[float],
    reduced_mass: float | None = None,
) -> CurveFit | str:
    """Fit a curve of energies (hartree) over distances (Å); return why where that shows nothing.

    `errors` are standard errors, `bounds` those on rounding of a target that does not sample, which add up.

    Near the minimum the energy is a polynomial in 1 − r0/r (G. Simons, R. G. Parr and J. M. Finlan, J. Chem. Phys. 59
    (1973) 3229), r0 the distance of the lowest point. Standard errors of the points are propagated to first order; the
    largest difference to the polynomials of one and two degrees less is added, as the curve is no polynomial.
    `reduced_mass` is in dalton.
    """
    order = np.argsort(distances)
    r, energy, sigma, bound = (np.array(values, float)[order] for values in (distances, energies, errors, bounds))
    lowest = int(np.argmin(energy))
    if lowest in (0, len(r) - 1):
        return f"no minimum: the lowest point is the {'first' if lowest == 0 else 'last'} one, {r[lowest]:g} Å"
    for end in (0, -1):
        if energy[end] - energy[lowest] <= SIGMAS * math.hypot(sigma[end], sigma[lowest]) + bound[end] + bound[lowest]:
            return f"no minimum is resolved: {r[lowest]:g} Å is not below {r[end]:g} Å by two errors"
    near = (r >= NEAREST * r[lowest]) & (r <= FARTHEST * r[lowest])
    count = int(near.sum())
    if count < MIN_POINTS:
        return f"no fit: {count} points lie between {NEAREST:g} and {FARTHEST:g} times the lowest one's distance"
    degree = min(MAX_DEGREE, count - 1)
    weights = 1.0 / np.maximum(sigma[near], 1e-3 * max(sigma.max(), 1e-9))
    fit = _Fit(r[near], weights, float(r[lowest]), reduced_mass)

    def found(values: NDArray[np.float64], of_degree: int) -> NDArray[np.float64] | None:
        minimum = fit.minimum(values[near], of_degree)
        return None if minimum is None else np.array([*minimum, values[-1] - minimum[1]])

    best = found(energy, degree)
    others = [other for less in (1, 2) if (other := found(energy, degree - less)) is not None]
    if best is None or not others:
        return "no fit: the polynomial through the points near the lowest one has no minimum among them"
    slopes = np.zeros((len(best), len(r)))
    for index in range(len(r)):
        moved = [found(energy + sign * _STEP * np.eye(len(r))[index], degree) for sign in (1.0, -1.0)]
        if any(each is None for each in moved):
            return "no fit: the minimum is too flat for its errors"
        ahead, behind = (each for each in moved if each is not None)
        slopes[:, index] = (ahead - behind) / (2.0 * _STEP)
    total = np.sqrt((slopes**2) @ sigma**2) + np.abs(slopes) @ bound
    total += np.max([np.abs(best - each) for each in others], axis=0)
    distance, at, wavenumber, depth = (Measured(*pair) for pair in zip(best.tolist(), total.tolist(), strict=True))
    limit = max(SIGMAS * math.hypot(sigma[-1], sigma[-2]), CHEMICAL_ACCURACY)
    is_flat = abs(energy[-1] - energy[-2]) <= limit
    harmonic = None if reduced_mass is None else wavenumber
    return CurveFit(distance, at, harmonic, depth, float(r[-1]), bool(is_flat), count, degree)


def as_plain(found: CurveFit | str) -> dict[str, Any]:
    """Return a fit as plain values for an outcome, or the reason why there is none."""
    if isinstance(found, str):
        return {"reason": found}
    values: dict[str, Any] = {"farthest": found.farthest, "is_flat": found.is_flat, "points": found.points}
    for name in ("distance", "energy", "depth", "wavenumber"):
        measured: Measured | None = getattr(found, name)
        values[name], values[f"{name}_error"] = (None, None) if measured is None else (measured.value, measured.error)
    return values


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Weighted fit of a polynomial in 1 − r0/r, at distances (k,)."""

    distances: NDArray[np.float64]
    weights: NDArray[np.float64]
    start: float
    reduced_mass: float | None

    def minimum(self, energies: NDArray[np.float64], degree: int) -> tuple[float, float, float] | None:
        """Return distance, energy and harmonic wavenumber (0 without a mass) at the minimum nearest to the start."""
        x = 1.0 - self.start / self.distances
        powers = np.vander(x, degree + 1) * self.weights[:, None]
        polynomial = np.poly1d(np.linalg.lstsq(powers, energies * self.weights)[0])
        roots = polynomial.deriv().roots
        inside = [
            float(root.real)
            for root in roots
            if abs(root.imag) < 1e-9 and x.min() <= root.real <= x.max() and polynomial.deriv(2)(root.real) > 0.0
        ]
        if not inside:
            return None
        at = min(inside, key=abs)
        distance = self.start / (1.0 - at)
        force = polynomial.deriv(2)(at) * (self.start / distance**2) ** 2  # hartree per Å²
        wavenumber = 0.0
        if self.reduced_mass is not None:
            frequency = math.sqrt(force * _HARTREE * 1e20 / (self.reduced_mass * _DALTON))
            wavenumber = frequency / (2.0 * math.pi * _LIGHT)
        return distance, float(polynomial(at)), wavenumber
