"""Accuracy of ADAPT-VQE, and of the warning about a wrong number of electrons."""

from __future__ import annotations

import itertools
import math

import numpy as np
from qiskit.quantum_info import Statevector

from benchmarks.accuracy_energies import MHA, CountedRounds, fcidump, on_qubits, percent
from benchmarks.bounds import Bound, Side
from hybridloop.algorithms.adapt.excitation_pool import ExcitationPool
from hybridloop.algorithms.adapt.growth import Growth, adapt
from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.exact import exact_ground_energy
from hybridloop.algorithms.search import Search
from hybridloop.descriptions.adapt import AdaptSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.settings import AnsatzName, ProblemText
from hybridloop.settings.energies import GroupingName
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.preparation_helpers import prepare_adapt, prepare_vqe

MANY = 10**9  # shots that leave 1e-7 hartree of rounding
WRONG_SPREAD = 0.5  # mean squared deviation of electrons; noise of a right state stays far below
KEEPS_NO_ELECTRONS = VqeSettings(ansatz=AnsatzName.HARDWARE_EFFICIENT, mapping=FermionMapping.JORDAN_WIGNER)


def operators(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Count the operators of noiseless ADAPT-VQE until the energy is chemically accurate."""
    cases = [("H2_0.735", 1)] if quick else [("H2_0.735", 1), ("LiH_1.595_fc", 4), ("H4_1", 9)]
    bounds = []
    for name, most in cases:
        pool = ExcitationPool.of(on_qubits(name))
        exact, matrix = exact_ground_energy(pool.problem.molecule), pool.problem.hamiltonian.to_matrix(sparse=True)
        grown = adapt(
            pool,
            _rotosolve,
            noiseless_rounds(),
            growth=Growth(max_operators=most),
            sampling=Sampling(MANY, 1e-6),
        )
        needed = math.inf
        for count, step in reversed(list(enumerate(grown.operators, start=1))):
            chosen = [each.index for each in grown.operators[:count]]
            state = Statevector(pool.ansatz(chosen).circuit.assign_parameters(np.array(step.parameters))).data
            if float(np.vdot(state, matrix @ state).real) - exact <= 1.6 * MHA:
                needed = count
        bounds.append(Bound(f"ADAPT, {name}: operators to 1.6 mHa", needed, Side.AT_MOST, most))
    return bounds


def grown_circuits(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Run ADAPT-VQE with sampled shots in the groups of its default, and in qubit-wise ones."""
    cases = {"H2_0.735": 1.1} if quick else {"H4_1": 0.5, "LiH_1.595_fc": 0.3}  # most shots by those of qubit-wise
    bounds = []
    for name, most in cases.items():
        shots, scores = dict.fromkeys((GroupingName.QUBIT_WISE, GroupingName.AUTO), 0), []
        for grouping, seed in itertools.product(shots, range(2 if quick else 4)):
            counted = CountedRounds(shot_rounds(seed))
            problem = ProblemText(name=name, text=fcidump(name))
            outcome = prepare_adapt(problem, AdaptSettings(grouping=grouping), 0).measure(counted, lambda _: None)
            shots[grouping] += counted.shots
            error = outcome.value - exact_ground_energy(on_qubits(name).molecule)
            beyond = max(0.0, abs(error) - 1.6 * MHA) / outcome.standard_error
            scores.append(beyond if outcome.converged else math.inf)
        ratio = shots[GroupingName.AUTO] / shots[GroupingName.QUBIT_WISE]
        bounds.append(Bound(f"ADAPT, {name}: shots by those in qubit-wise groups", ratio, Side.AT_MOST, most))
        bounds.append(Bound(f"ADAPT, {name}: error beyond 1.6 mHa, standard errors", max(scores), Side.AT_MOST, 3))
    return bounds


def electrons(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Check the warning of a wrong electron number with a circuit that does not conserve it (Jordan-Wigner).

    HeH+ with more electrons lies lower; H2 does not, and mostly ends with its two.
    """
    wrong, right = list[bool](), list[bool]()  # whether the warning was given, for states with right and wrong numbers
    for name in ("HeH+_0.7743", "H2_0.735"):
        problem = ProblemText(name=name, text=fcidump(name))
        for seed in range(2 if quick else 20):
            prepared = prepare_vqe(problem, KEEPS_NO_ELECTRONS, seed)
            outcome = prepared.measure(CountedRounds(shot_rounds(seed)), lambda _: None)
            assert isinstance(prepared.problem, ElectronicProblem)
            state = Statevector(prepared.ansatz.circuit.assign_parameters(np.array(outcome.parameters)))
            spread = state.expectation_value(prepared.problem.electron_deviation_operator).real
            is_reported = "wrong particle number" in outcome.reason and not outcome.converged
            (wrong if spread > WRONG_SPREAD else right).append(is_reported)
    return [
        Bound("other electrons: runs that end at them", len(wrong), Side.AT_LEAST, 1),
        Bound("other electrons: of these, said", percent(wrong), Side.AT_LEAST, 100, "%"),
        Bound("the right electrons: runs that end at them", len(right), Side.AT_LEAST, 1),
        Bound("the right electrons: of these, accused", percent(right), Side.AT_MOST, 0, "%"),
    ]


def _rotosolve(ansatz: Ansatz) -> Search:
    return Search(Rotosolve(ansatz.initial_point, ansatz.frequencies))
