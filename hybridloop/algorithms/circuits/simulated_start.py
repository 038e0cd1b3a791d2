"""Initial angles from a classical simulation of the circuit, without any job."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms.circuits.simulation import SimulatedCircuit

MIN_REFERENCE_WEIGHT = 0.9  # W. Jiang, N. J. DeYonker and A. K. Wilson, J. Chem. Theory Comput. 8 (2012) 460
RANDOM_STARTS = (8, 24)  # least and most
RANDOM_WORK = 100_000  # of one energy in each start: some seconds in all
RANDOM_RAD = 0.5  # angles of the random starts: most of a minimum's are smaller
FLAT = 0.01  # hartree per square radian: directions of less curvature gain below 0.8 mHa over 0.4 rad
ANGLE_DECIMALS = 9  # digits that another machine's rounding may change are cut off
_POLISHING_STEPS = 3
_LARGEST_POLISH_RAD = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedStart:
    """Lowest minimum that was found: angles (n,) in radians, and its energy below Hartree-Fock in hartree.

    `searches` were made from `searches` points and ended within `spread` (hartree) of the lowest, up to the highest of
    them.
    """

    point: NDArray[np.float64]
    gain: float
    searches: int
    spread: float


def simulated_start(simulation: SimulatedCircuit) -> SimulatedStart:
    """Minimize the simulated objective, from Hartree-Fock, and from random angles too where it is no safe reference.

    It is none if the state found has less than `MIN_REFERENCE_WEIGHT` of it, or if it is unstable: there the energy has
    negative curvature (J. Čížek and J. Paldus, J. Chem. Phys. 47 (1967) 3976). Then one search starts from it along the
    softest direction, and `RANDOM_STARTS` start from random angles, always the same; fewer of a larger circuit.
    """
    count = simulation.num_angles
    origin = np.zeros(count)
    curvatures, axes = np.linalg.eigh(simulation.hessian(origin))
    minima = [_minimum(simulation, origin)]
    if curvatures[0] < -FLAT or simulation.reference_weight(minima[0]) < MIN_REFERENCE_WEIGHT:
        generator = np.random.default_rng(count)
        random = int(np.clip(RANDOM_WORK // simulation.work, *RANDOM_STARTS))
        starts = [RANDOM_RAD * axes[:, 0], *generator.uniform(-RANDOM_RAD, RANDOM_RAD, (random, count))]
        minima += [_minimum(simulation, start) for start in starts]
    values = [simulation.objective_and_gradient(point)[0] for point in minima]
    point = np.round(_polish(simulation, minima[int(np.argmin(values))]), ANGLE_DECIMALS) + 0.0
    return SimulatedStart(
        point=point,
        gain=simulation.energy(origin) - simulation.energy(point),
        searches=len(minima),
        spread=max(values) - min(values),
    )


def _minimum(simulation: SimulatedCircuit, start: NDArray[np.float64]) -> NDArray[np.float64]:
    found = minimize(
        simulation.objective_and_gradient,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7},
    )
    return np.asarray(found.x, float)


def _polish(simulation: SimulatedCircuit, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Newton steps in the directions that are not flat, down to rounding."""
    curvatures, axes = np.linalg.eigh(simulation.hessian(point))
    stiff = axes[:, curvatures > FLAT]
    for _ in range(_POLISHING_STEPS):
        step = -stiff @ ((stiff.T @ simulation.objective_and_gradient(point)[1]) / curvatures[curvatures > FLAT])
        if np.abs(step).max(initial=0.0) > _LARGEST_POLISH_RAD:
            return point
        point = point + step
    return point
