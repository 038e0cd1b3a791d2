"""Initial angles from a classical simulation of the circuit, without any job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from hybridloop.algorithms.circuits.ansatz import EnergyModel
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit
from hybridloop.algorithms.circuits.statevector import StatevectorModel

MIN_REFERENCE_WEIGHT = 0.9  # W. Jiang, N. J. DeYonker and A. K. Wilson, J. Chem. Theory Comput. 8 (2012) 460
RANDOM_STARTS = (8, 24)  # least and most
RANDOM_WORK = 100_000  # of one energy in each start: some seconds in all
RANDOM_POINTS, GATE_WORK = (4, 24), 20_000  # the same for state vectors, whose gates take longer
FEW_ITERATIONS = 150  # of such a search; the lowest point is polished
RANDOM_RAD = 0.5  # angles of the random starts: most of a minimum's are smaller
FLAT = 0.01  # hartree per square radian: directions of less curvature gain below 0.8 mHa over 0.4 rad
EQUAL = 1e-7  # hartree: minima of the same energy, as symmetries make them
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
    return _lowest(simulation, origin, minima)


def simulated_start_near(model: StatevectorModel, start: NDArray[np.float64]) -> SimulatedStart:
    """Minimize a simulated energy from a start (n,), and from some random points, always the same."""
    generator = np.random.default_rng(len(start))
    random = int(np.clip(GATE_WORK // model.work, *RANDOM_POINTS))
    starts = [start, *generator.uniform(-np.pi, np.pi, (random, len(start)))]
    return _lowest(model, start, [_minimum(model, each, FEW_ITERATIONS) for each in starts])


def simulated_minimum(simulation: SimulatedCircuit, start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the minimum (n,) that the simulated objective has downhill of a start (n,), also of a saddle."""
    minima = [_minimum(simulation, start)]
    curvatures, axes = np.linalg.eigh(simulation.hessian(minima[0]))
    if curvatures[0] < -FLAT:
        minima += [_minimum(simulation, minima[0] + side * RANDOM_RAD * axes[:, 0]) for side in (1.0, -1.0)]
    return _lowest(simulation, start, minima).point


def _lowest(model: EnergyModel, start: NDArray[np.float64], minima: Sequence[NDArray[np.float64]]) -> SimulatedStart:
    """Return the lowest of minima; of equal ones, the first."""
    values = [model.objective_and_gradient(point)[0] for point in minima]
    first = next(index for index, value in enumerate(values) if value <= min(values) + EQUAL)
    point = np.round(_polish(model, minima[first]), ANGLE_DECIMALS) + 0.0
    return SimulatedStart(
        point=point,
        gain=model.energy(start) - model.energy(point),
        searches=len(minima),
        spread=max(values) - min(values),
    )


def _minimum(simulation: EnergyModel, start: NDArray[np.float64], iterations: int = 500) -> NDArray[np.float64]:
    found = minimize(
        simulation.objective_and_gradient,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "ftol": 1e-13, "gtol": 1e-7},
    )
    return np.asarray(found.x, float)


def _polish(simulation: EnergyModel, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Newton steps in the directions that are not flat, down to rounding."""
    curvatures, axes = np.linalg.eigh(simulation.hessian(point))
    stiff = axes[:, curvatures > FLAT]
    for _ in range(_POLISHING_STEPS):
        step = -stiff @ ((stiff.T @ simulation.objective_and_gradient(point)[1]) / curvatures[curvatures > FLAT])
        if np.abs(step).max(initial=0.0) > _LARGEST_POLISH_RAD:
            return point
        point = point + step
    return point
