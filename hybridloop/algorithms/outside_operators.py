"""Gain that operators outside a circuit promise: measured gradients of generalized excitations appended to it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.adapt.operator_pool import OperatorPool, PoolDerivatives
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit
from hybridloop.algorithms.circuits.uccsd import Excitation
from hybridloop.algorithms.optimizers.trigonometric_model import VARIANCE_FLOOR
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import RunRound

MIN_CURVATURE = 0.2  # hartree per square radian: a floor, as for the pool of ADAPT-VQE
MAX_REPEAT = 10.0  # shots of the second round, in those of the first
MARGIN = 1.1  # of shots: the first round's variances are estimates


@dataclass(frozen=True, slots=True)
class OutsideGain:
    """Energy in hartree that `operators` generators outside the circuit are expected to gain, to second order.

    `gain` is Σ_k g_k² / 2 h_k over their gradients g_k and curvatures h_k, `noise` what shot noise may hide,
    Σ_k σ_k² / 2 h_k with the gradients' standard errors σ_k.
    """

    operators: int
    gain: float
    noise: float
    rounds: int
    shots: int


def generalized_excitations(problem: ElectronicProblem) -> tuple[Excitation, ...]:
    """Return the singles and opposite-spin doubles between any orbitals, occupied or not, that keep every Z2 symmetry.

    Excitations from Hartree-Fock alone have no gradient at a minimum of UCCSD, also where it misses the ground state by
    millihartrees; generalized ones do (J. Lee et al., J. Chem. Theory Comput. 15 (2019) 311).
    """
    norb = problem.molecule.norb
    pairs = list(itertools.product(range(norb), repeat=2))
    singles: list[Excitation] = [
        ((i + spin,), (a + spin,)) for spin in (0, norb) for i, a in itertools.combinations(range(norb), 2)
    ]
    doubles: list[Excitation] = [
        ((i, j + norb), (a, b + norb)) for (i, j), (a, b) in itertools.combinations(pairs, 2) if i != a and j != b
    ]
    return tuple(each for each in singles + doubles if problem.conserves_symmetry(_mask(each)))


def measure_outside_gain(
    problem: ElectronicProblem,
    ansatz: Ansatz,
    point: NDArray[np.float64],
    simulation: SimulatedCircuit,
    run_round: RunRound,
    *,
    shots: int,
    tolerance: float,
) -> OutsideGain:
    """Measure the gradients of `generalized_excitations` after the circuit, `shots` for each circuit.

    The simulation predicts gradients and curvatures, and the measured differences from it count by the share that is
    not noise. If noise could hide a gain above the tolerance (hartree), a second round takes as
    many shots as that needs, at most `MAX_REPEAT` times the first. Raises JobFailed where a circuit has no result.
    """
    selected = generalized_excitations(problem)
    gradients = PoolDerivatives.gradients(OperatorPool.of(problem, groups=[(each,) for each in selected]))
    circuits = len(gradients.groups_measured)
    predicted, curvatures = simulation.appended(point, selected)
    doubled = 2.0 * np.maximum(curvatures, MIN_CURVATURE)
    values, variances = _measured(gradients, ansatz, point, run_round, shots)
    gain, noise, rounds = _gain(predicted, values, variances, doubled), float((variances / doubled).sum()), 1
    if gain <= tolerance < noise:
        more = math.ceil(shots * min(MARGIN * noise / tolerance - 1.0, MAX_REPEAT))
        again, their_variances = _measured(gradients, ansatz, point, run_round, more)
        values = (shots * values + more * again) / (shots + more)
        variances = (shots**2 * variances + more**2 * their_variances) / (shots + more) ** 2
        gain, noise, rounds = _gain(predicted, values, variances, doubled), float((variances / doubled).sum()), 2
        shots += more
    return OutsideGain(len(selected), gain, noise, rounds, circuits * shots)


def _measured(
    gradients: PoolDerivatives, ansatz: Ansatz, point: NDArray[np.float64], run_round: RunRound, shots: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    slopes = gradients.measure(ansatz, point, run_round, shots)
    return np.array([slope.value for slope in slopes]), np.array([slope.variance for slope in slopes])


def _gain(
    predicted: NDArray[np.float64],
    values: NDArray[np.float64],
    variances: NDArray[np.float64],
    doubled: NDArray[np.float64],
) -> float:
    differences = values - predicted
    share = 1.0
    if variances.any():
        squared = float((differences**2 / np.maximum(variances, VARIANCE_FLOOR * variances.mean())).sum())
        share = max(0.0, 1.0 - len(differences) / max(squared, 1e-300))
    return float(((predicted + share * differences) ** 2 / doubled).sum())


def _mask(orbitals: Excitation) -> int:
    return sum(1 << orbital for part in orbitals for orbital in part)
