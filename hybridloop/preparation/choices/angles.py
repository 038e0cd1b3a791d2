"""Angles of QAOA: from its simulation, or from a tree of couplings and searched from there."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.binary.ising import MAX_ENUMERATED_VARIABLES
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.optimizers.names import FIRST_SHOTS, TRUST_REGION
from hybridloop.algorithms.optimizers.registry import SCIPY, SearchSettings
from hybridloop.algorithms.optimizers.scaled import ScaledOptimizer
from hybridloop.algorithms.optimizers.trust_region import TrustRegion
from hybridloop.algorithms.qaoa.angles import with_simulated_angles, with_tree_angles
from hybridloop.algorithms.qaoa.circuit import Mixer, QaoaCircuit
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.errors import InputError
from hybridloop.preparation.choices.optimizer import check_workers_can_import
from hybridloop.preparation.prepared import origin_of_angles
from hybridloop.preparation.problem import RELATIVE_ACCURACY
from hybridloop.runtime.text_table import count_text
from hybridloop.settings import OptimizerName, SearchName
from hybridloop.settings.optimizer_plugins import find_optimizer


def choose_angles(ansatz: QaoaCircuit, settings: QaoaSettings) -> tuple[QaoaCircuit, str, str]:
    """Return the circuit at its first angles, the reason for them, and their origin. Raises InputError."""
    if settings.angles is not None:
        return _given_angles(ansatz, settings, settings.angles)
    variables = ansatz.problem.num_variables
    is_too_large = ansatz.mixer is Mixer.XY and variables > MAX_ENUMERATED_VARIABLES
    if settings.search is SearchName.SIMULATED and is_too_large:
        what = (
            f"{variables} variables are more than the {MAX_ENUMERATED_VARIABLES} that can be simulated with "
            "the xy mixer"
        )
        raise InputError("search", what, "Leave search out, or give search=measured.")
    if settings.search is SearchName.MEASURED:
        ansatz, angles = with_tree_angles(ansatz)
        angles = f"measured, from those {angles}" if angles.startswith("optimized") else f"measured, from {angles}"
        return ansatz, angles, origin_of_angles(settings.target, is_simulated=False)
    ansatz, angles = with_simulated_angles(ansatz)
    if variables > MAX_ENUMERATED_VARIABLES:
        return ansatz, angles, f"angles: {angles}"
    return ansatz, angles, origin_of_angles(settings.target, is_simulated=True)


def _given_angles(
    ansatz: QaoaCircuit, settings: QaoaSettings, angles: tuple[float, ...]
) -> tuple[QaoaCircuit, str, str]:
    if settings.search is SearchName.SIMULATED:
        raise InputError("search", "a simulated search replaces the angles that are given", "Leave one of them out.")
    if len(angles) != 2 * ansatz.layers:
        what = f"{count_text(len(angles), 'angle')} do not fit {count_text(ansatz.layers, 'layer')}"
        raise InputError("angles", what, f"Give {2 * ansatz.layers}: β of each layer, then γ of each.")
    ansatz = ansatz.with_initial_point(np.array(angles))
    if settings.search is SearchName.MEASURED:
        return ansatz, "measured, from those given", origin_of_angles(settings.target, is_simulated=False)
    return ansatz, "as given", "angles as given"


def start_assignment(problem: BinaryProblem, settings: QaoaSettings) -> NDArray[np.uint8] | None:
    """Return the bits (n,) of the assignment to start from; None without one. Raises InputError."""
    text = settings.start_assignment
    if text is None:
        return None
    if len(text) != problem.num_variables:
        count = count_text(problem.num_variables, "variable")
        what = f"{count_text(len(text), 'bit')} do not fit {count}"
        raise InputError("start_assignment", what, f"Give {problem.num_variables}, that of the first variable last.")
    return np.array([int(bit) for bit in reversed(text)], np.uint8)


def optimizer_of_angles(settings: QaoaSettings, seed: int, least: int) -> Callable[[QaoaCircuit], Optimizer] | None:
    """Return the maker of the optimizer, by default the trust region; None for a search without jobs.

    The trust region and SciPy's methods take steps in units of the angles' scales, others in radians. The default
    tolerance of the trust region is a thousandth of the sum of the cost's coefficients' sizes. Raises InputError for an
    optimizer or a tolerance without such a search, and for an optimizer that workers are to resume and can't import.
    """
    name, tolerance = str(settings.optimizer), settings.tolerance
    if settings.search is not SearchName.MEASURED:
        given = "optimizer" if name != OptimizerName.AUTO else "tolerance" if tolerance is not None else ""
        if given:
            raise InputError(given, "it has no effect on fixed angles", "Give search=measured, or leave it out.")
        return None
    check_workers_can_import(name, settings)

    def make(ansatz: QaoaCircuit) -> Optimizer:
        unknown = ((),) * len(ansatz.initial_point)
        if name in (OptimizerName.AUTO, TRUST_REGION):
            size = math.fsum(map(abs, ansatz.cost.terms.values()))
            last, shots = tolerance or RELATIVE_ACCURACY * size, max(FIRST_SHOTS, least)
            return TrustRegion(ansatz.initial_point, unknown, last, shots, shots, scales=ansatz.scales)
        scales = ansatz.scales if name.startswith(SCIPY) else np.ones(len(ansatz.scales))
        searched = Ansatz("qaoa", ansatz.circuit, ansatz.initial_point / scales, unknown, is_near=True)
        search = SearchSettings(
            searched,
            is_near=True,
            seed=seed,
            max_rounds=settings.max_rounds,
            shots=settings.shots,
            least_shots=least,
            tolerance=tolerance,
        )
        optimizer = find_optimizer(name).create(name, search)
        return ScaledOptimizer(optimizer, scales) if name.startswith(SCIPY) else optimizer

    return make
