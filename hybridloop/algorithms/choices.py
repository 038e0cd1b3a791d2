"""The names under which a user chooses an ansatz and an optimizer, and what they stand for."""

from __future__ import annotations

import enum

import numpy as np

from hybridloop.algorithms.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.cobyla import Cobyla
from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.optimizer import Optimizer
from hybridloop.algorithms.trigonometric import Rotosolve
from hybridloop.algorithms.uccsd import uccsd


class AnsatzName(enum.StrEnum):
    """Circuits for molecules."""

    UCCSD = "uccsd"
    HARDWARE_EFFICIENT = "hardware-efficient"


class OptimizerName(enum.StrEnum):
    """Searches."""

    ROTOSOLVE = "rotosolve"
    COBYLA = "cobyla"


UCCSD_STEP_RAD = 0.3  # amplitudes near equilibrium are about 0.1
HARDWARE_EFFICIENT_STEP_RAD = 1.0  # a random start is anywhere


def build_ansatz(name: AnsatzName, problem: ElectronicProblem, rng: np.random.Generator) -> Ansatz:
    """The named circuit for a molecule; only `hardware-efficient` draws from `rng`, for its start."""
    if name is AnsatzName.UCCSD:
        return uccsd(problem)
    return hardware_efficient(problem.encoding.num_qubits, rng)


def build_optimizer(name: OptimizerName, ansatz: Ansatz) -> Optimizer:
    """The named search, from the ansatz's initial point."""
    if name is OptimizerName.ROTOSOLVE:
        return Rotosolve(ansatz.initial_point, ansatz.frequencies)
    step = UCCSD_STEP_RAD if ansatz.name == AnsatzName.UCCSD else HARDWARE_EFFICIENT_STEP_RAD
    return Cobyla(ansatz.initial_point, step_rad=step)
