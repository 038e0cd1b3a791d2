"""Circuit whose samples choose a subspace: UCCSD at chosen angles, or an own circuit with its angles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.initial_point import MAX_ANGLE_RAD, gradient_and_hessian, newton_start
from hybridloop.algorithms.circuits.uccsd import symmetry_allowed_excitations, uccsd
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.compiler.languages.qsharp_ansatz import is_qsharp_ansatz
from hybridloop.descriptions.sqd import SqdSettings
from hybridloop.errors import InputError
from hybridloop.preparation.choices.circuit import own_circuit
from hybridloop.preparation.choices.initial_point import choose_start
from hybridloop.preparation.sampled_electrons import check_electrons
from hybridloop.settings import AnsatzName, StartName

_BUILT_IN = frozenset({AnsatzName.HARDWARE_EFFICIENT, AnsatzName.HAMILTONIAN_VARIATIONAL})


def choose_sampled_circuit(problem: ElectronicProblem, settings: SqdSettings, seed: int) -> tuple[Ansatz, str | None]:
    """Return the circuit at its angles, and the reason for angles that the settings left open. Raises InputError."""
    if settings.ansatz in _BUILT_IN:
        what = f"{settings.ansatz} has no angles that are known to be near a molecule's state"
        raise InputError("ansatz", what, "Give uccsd, or your own circuit with its angles.")
    if settings.ansatz is AnsatzName.GROWN:
        what = "a circuit grows to the exact energy, which leaves nothing to find"
        raise InputError("ansatz", what, "Give uccsd, or your own circuit with its angles.")
    if settings.ansatz is AnsatzName.PUCCD:
        what = "pairs of electrons reach no determinant with singly occupied orbitals"
        raise InputError("ansatz", what, "Give uccsd, or your own circuit with its angles.")
    if not isinstance(settings.ansatz, AnsatzName):
        ansatz = own_circuit(settings.ansatz, problem, settings.initial_point, seed)
        if not is_qsharp_ansatz(settings.ansatz):
            check_electrons(ansatz, problem, settings.shots)
        return ansatz, None
    if settings.initial_point is not StartName.AUTO:
        return choose_start(problem, settings.initial_point, seed).ansatz, None
    point, reason = _sampling_point(problem)
    return replace(uccsd(problem), initial_point=point), reason


def _sampling_point(problem: ElectronicProblem) -> tuple[NDArray[np.float64], str]:
    """Return angles (n,) whose state has the important determinants, without a job.

    The Newton start, where its model has a minimum. Else each excitation has the angle of its own minimum next to
    Hartree-Fock, E(θ) = g sin 2θ / 2 + h (1 − cos 2θ) / 4: together these are too large, which samples the more.
    """
    excitations = symmetry_allowed_excitations(problem)
    newton = newton_start(problem, excitations)
    if newton.gain > 0.0:
        return newton.point, f"Newton start, {1e3 * newton.gain:.0f} mHa below Hartree-Fock by its model"
    gradient, hessian = gradient_and_hessian(problem, excitations)
    angles: Any = 0.5 * np.arctan2(-0.5 * gradient, 0.25 * np.diag(hessian))
    angles[np.abs(gradient) < 1e-6] = 0.0  # rounding of the integrals, by which no angle follows
    point = np.round(np.clip(angles, -MAX_ANGLE_RAD, MAX_ANGLE_RAD), 9) + 0.0
    return point, "each excitation at its own minimum next to Hartree-Fock, as the Newton model has none nearby"
