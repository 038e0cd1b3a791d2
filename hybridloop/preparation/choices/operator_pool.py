"""Operator pool of an ADAPT-VQE, as its settings name it."""

from __future__ import annotations

from dataclasses import replace

from hybridloop.algorithms.adapt.coupled_pool import CoupledPool
from hybridloop.algorithms.adapt.excitation_pool import ExcitationPool, PoolKind
from hybridloop.algorithms.adapt.operator_pool import OperatorPool
from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.estimation.observable import Grouping
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem
from hybridloop.descriptions.adapt import AdaptSettings, PoolName
from hybridloop.errors import InputError
from hybridloop.settings import SearchName
from hybridloop.settings.failure_policy import OnLostJob


def grouping_of_derivatives(settings: AdaptSettings) -> Grouping:
    """Return the grouping in which the operators' derivatives are measured."""
    is_qubit_wise = settings.grouping.value == Grouping.QUBIT_WISE.value
    return Grouping.QUBIT_WISE if is_qubit_wise else Grouping.FULLY_COMMUTING


def choose_pool(problem: ElectronicProblem, settings: AdaptSettings) -> OperatorPool:
    """Return a pool over a molecule, on the qubits of its `problem`. Raises InputError for settings that do not fit."""
    is_simulated = settings.search is not SearchName.MEASURED
    pool: OperatorPool
    if settings.pool is PoolName.COUPLED:
        both_spins = electronic_problem(problem.molecule, FermionMapping.JORDAN_WIGNER)
        pool = CoupledPool.of(both_spins, is_simulated=is_simulated)
    else:
        pool = replace(ExcitationPool.tied(problem, PoolKind(settings.pool)), is_simulated=is_simulated)
    if not len(pool):
        what = f"{problem.molecule.source} has no operator that keeps its symmetries"
        raise InputError("problem", what, "Check NELEC, MS2 and NORB.")
    if settings.failure.on_lost_job is OnLostJob.SKIP:
        what = "the search of the first operator needs all of its points, so none can be skipped"
        raise InputError("on_lost_job", what, "Give penalize or fail.")
    return pool
