"""Initial angles from a classical simulation of the circuit, without any job."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import DIFFERENCE_RAD, EnergyModel
from hybridloop.algorithms.circuits.simulation import SPIN_PENALTY, SimulatedCircuit
from hybridloop.algorithms.circuits.statevector import CALL, MAX_OPERATIONS, StatevectorModel
from hybridloop.algorithms.minimization import minimize

MIN_REFERENCE_WEIGHT = 0.9  # W. Jiang, N. J. DeYonker and A. K. Wilson, J. Chem. Theory Comput. 8 (2012) 460
RANDOM_STARTS = (8, 24)  # least, where the operations are left, and most
RANDOM_SHARE = 0.05  # of the operations: above it, no more than the least number of random starts are made
FEW_ITERATIONS = 150  # of a search from a random start; the lowest one is continued to its end
RANDOM_RAD = 0.5  # angles of the random starts of a molecule: most of a minimum's are smaller
LEAST_GAIN = 1e-10  # of the energy in a step: spin models have valleys that fall 1e-5 further in thousands of steps
FLAT = 0.01  # hartree per square radian: directions of less curvature gain below 0.8 mHa over 0.4 rad
EQUAL = 1e-5  # hartree: minima of the same energy, as symmetries make them; a valley may end a search as much higher
ANGLE_DECIMALS = 9  # digits that another machine's rounding may change are cut off
_POLISHING_STEPS = 3
_LARGEST_POLISH_RAD = 0.1
_MOST_ITERATIONS = 10_000
_MEMORY = 30  # steps that L-BFGS-B keeps: its default of 10 takes three times the gradients for spin models
_LIMITED = 1  # status of SciPy's L-BFGS-B that ended by a limit

SEARCH = (  # what a result depends on, beside the circuit and its start
    *(
        MAX_OPERATIONS,
        MIN_REFERENCE_WEIGHT,
        RANDOM_STARTS,
        RANDOM_SHARE,
        FEW_ITERATIONS,
        RANDOM_RAD,
        LEAST_GAIN,
        FLAT,
        EQUAL,
    ),
    *(_POLISHING_STEPS, _LARGEST_POLISH_RAD, _MOST_ITERATIONS, _MEMORY, CALL, SPIN_PENALTY, DIFFERENCE_RAD),
)
OnGradient = Callable[[int, int], None]  # takes the searches that have ended, and the operations so far


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedStart:
    """Lowest minimum that was found: angles (n,) in radians, and its energy below the start's in hartree.

    `searches` were made from `searches` points and ended within `spread` (hartree) of the lowest, up to the highest of
    them. They took so many `operations`.
    """

    point: NDArray[np.float64]
    gain: float
    searches: int
    spread: float
    operations: int


def simulated_start(simulation: SimulatedCircuit, on_gradient: OnGradient | None = None) -> SimulatedStart | None:
    """Minimize the simulated objective, from Hartree-Fock, and from random angles too where it is no safe reference.

    It is none if the state found has less than `MIN_REFERENCE_WEIGHT` of it, or if it is unstable: there the energy has
    negative curvature (J. Čížek and J. Paldus, J. Chem. Phys. 47 (1967) 3976). Then one search starts from it along the
    softest direction, and `RANDOM_STARTS` start from random angles, always the same; fewer of a larger circuit.
    None if the first search does not end within `MAX_OPERATIONS`.
    """
    model, origin = _Metered(simulation, on_gradient), np.zeros(simulation.sequence.num_angles)
    curvatures, axes = np.linalg.eigh(model.hessian(origin))
    first = model.minimum(origin)
    if not first.has_ended:
        return None
    starts: list[NDArray[np.float64]] = []
    if curvatures[0] < -FLAT or simulation.reference_weight(first.point) < MIN_REFERENCE_WEIGHT:
        starts = [RANDOM_RAD * axes[:, 0], *_random_points(len(origin), RANDOM_RAD)]
    return model.lowest(origin, first, starts)


def simulated_start_near(
    simulation: StatevectorModel, start: NDArray[np.float64], on_gradient: OnGradient | None = None
) -> SimulatedStart | None:
    """Minimize a simulated energy from a start (n,), and from some random points, always the same.

    None if the first search does not end within `MAX_OPERATIONS`.
    """
    model = _Metered(simulation, on_gradient)
    first = model.minimum(start)
    return model.lowest(start, first, _random_points(len(start), np.pi)) if first.has_ended else None


def simulated_minimum(
    simulation: SimulatedCircuit | StatevectorModel, start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the minimum (n,) that the simulated objective has downhill of a start (n,), also of a saddle."""
    if not len(start):  # a circuit without angles, as of ADAPT-VQE that needs no operator
        return start
    model = _Metered(simulation, None)
    first = model.minimum(start)
    curvatures, axes = np.linalg.eigh(model.hessian(first.point))
    sides = (1.0, -1.0) if curvatures[0] < -FLAT else ()
    return model.lowest(start, first, [first.point + side * RANDOM_RAD * axes[:, 0] for side in sides]).point


def _random_points(angles: int, largest: float) -> NDArray[np.float64]:
    return np.random.default_rng(angles).uniform(-largest, largest, (RANDOM_STARTS[1], angles))


@dataclass(frozen=True, slots=True, eq=False)
class _Minimum:
    """End of a search: point and value, the gradients that it took, and false if a limit ended it."""

    point: NDArray[np.float64]
    value: float
    gradients: int
    has_ended: bool


class _Metered(EnergyModel):
    """Searches of a simulation that share `MAX_OPERATIONS`."""

    def __init__(self, model: SimulatedCircuit | StatevectorModel, on_gradient: OnGradient | None) -> None:
        self._model, self._on_gradient = model, on_gradient
        self._gradients = self._searches = 0

    @property
    def _operations(self) -> int:
        return self._gradients * self._model.operations

    @property
    def _left(self) -> int:
        return MAX_OPERATIONS // self._model.operations - self._gradients

    def energy(self, point: NDArray[np.float64]) -> float:
        return self._model.energy(point)

    def objective_and_gradient(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        self._gradients += 1
        if self._on_gradient is not None:
            self._on_gradient(self._searches, self._operations)
        return self._model.objective_and_gradient(point)

    def minimum(self, start: NDArray[np.float64], iterations: int = _MOST_ITERATIONS) -> _Minimum:
        before = self._gradients
        bounds = {"maxiter": iterations, "maxfun": max(1, self._left)}
        options = {"maxcor": _MEMORY, "ftol": LEAST_GAIN, "gtol": 1e-7}
        found = minimize(self.objective_and_gradient, start, options | bounds)
        self._searches += 1
        return _Minimum(
            np.asarray(found.x, float), float(found.fun), self._gradients - before, found.status != _LIMITED
        )

    def lowest(
        self, start: NDArray[np.float64], first: _Minimum, others: Iterable[NDArray[np.float64]]
    ) -> SimulatedStart:
        """Return the lowest of the first minimum and of those from other points, while operations are left."""
        minima = [first]
        for number, other in enumerate(others):
            if self._left < FEW_ITERATIONS + len(start) or (
                number >= RANDOM_STARTS[0] and self._operations > RANDOM_SHARE * MAX_OPERATIONS
            ):
                break
            minima.append(self.minimum(other, FEW_ITERATIONS))
        values = [minimum.value for minimum in minima]
        lowest = next(minimum for minimum in minima if minimum.value <= min(values) + EQUAL)  # of equal ones the first
        if not lowest.has_ended:
            continued = self.minimum(lowest.point)
            lowest = continued if continued.has_ended else first
        polished = _polish(self, lowest.point) if self._left > len(start) + _POLISHING_STEPS else lowest.point
        point = np.round(polished, ANGLE_DECIMALS) + 0.0
        return SimulatedStart(
            point=point,
            gain=self.energy(start) - self.energy(point),
            searches=len(minima),
            spread=max(values) - min(values),
            operations=self._operations,
        )


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
