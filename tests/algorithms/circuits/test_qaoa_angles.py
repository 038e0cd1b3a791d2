"""QAOA's simulated angles: energies against Qiskit's circuits for every mixer, and angles better than the start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from benchmarks.accuracy_kinds import KINDS
from hybridloop.algorithms.binary.annealing import descend
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.qaoa.angles import QaoaSimulation, with_simulated_angles, with_tree_angles
from hybridloop.algorithms.qaoa.circuit import Mixer, interpolate_angles, qaoa_circuit
from hybridloop.algorithms.qaoa.comparison import beside_chance, beside_classical, random_mean
from hybridloop.algorithms.qaoa.search import qaoa
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.algorithms.qaoa_helpers import trained


def problem_of(kind: str, size: int = 6) -> BinaryProblem:
    return KINDS[kind](size, np.random.default_rng(3))


@pytest.mark.parametrize(
    ("kind", "mixer"),
    [("weighted", Mixer.STANDARD), ("fields", Mixer.STANDARD), ("fields", Mixer.WARM_START), ("portfolio", Mixer.XY)],
)
def test_the_simulation_is_that_of_the_circuit(kind: str, mixer: Mixer) -> None:
    circuit = qaoa_circuit(problem_of(kind), layers=2, mixer=mixer)
    simulation = QaoaSimulation.of(circuit.cost, circuit.groups, circuit.warm_start_angles)
    for seed in range(3):
        point = np.random.default_rng(seed).uniform(-1.0, 1.0, 4)
        state = Statevector(circuit.circuit.assign_parameters(point))
        expected = state.expectation_value(circuit.cost.operator()).real
        assert simulation.energy(point) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", ["dense", "portfolio"])
def test_the_random_mean_is_that_of_the_reachable_assignments(kind: str) -> None:
    mixer = Mixer.XY if kind == "portfolio" else Mixer.STANDARD
    circuit = qaoa_circuit(problem_of(kind), layers=1, mixer=mixer)
    simulation = QaoaSimulation.of(circuit.cost, circuit.groups, None)
    assert random_mean(circuit) == pytest.approx(float(simulation.energies.mean()))


@pytest.mark.parametrize("kind", KINDS)
def test_angles_are_better_than_chance_and_than_the_ramps(kind: str) -> None:
    problem = problem_of(kind, 9)
    mixer = Mixer.XY if problem.constraints else Mixer.STANDARD
    circuit = qaoa_circuit(problem, layers=3, mixer=mixer)
    chosen, why = with_simulated_angles(circuit)
    simulation = QaoaSimulation.of(circuit.cost, circuit.groups, None)
    assert simulation.energy(chosen.initial_point) <= simulation.energy(circuit.initial_point) + 1e-4
    assert simulation.energy(chosen.initial_point) < random_mean(circuit)
    assert why.startswith("optimized on a classical simulation")


def test_descents_end_where_no_flip_gains() -> None:
    cost = problem_of("fields", 8).cost
    ends = descend(cost, np.random.default_rng(0).integers(0, 2, (50, 8)))
    energies = cost.energies(ends)
    for qubit in range(8):
        flipped = ends.copy()
        flipped[:, qubit] ^= 1
        assert (cost.energies(flipped) >= energies - 1e-9).all()


def test_a_mean_within_its_rounding_of_chance_is_not_said_to_be_chance() -> None:
    circuit, _ = with_simulated_angles(qaoa_circuit(problem_of("dense", 8), layers=1))
    few = beside_chance(qaoa(circuit, noiseless_rounds(), shots=100), circuit, shots=100)
    (warning,) = few.warnings
    assert warning.startswith("not shown to be better than chance: ")
    assert warning.endswith("Take more shots.")
    many = beside_chance(qaoa(circuit, noiseless_rounds(), shots=100_000), circuit, shots=100_000)
    assert many.warnings == ()


def test_a_mean_that_is_no_better_than_chance_is_said_to_be_none() -> None:
    circuit = qaoa_circuit(problem_of("dense", 8), layers=1)
    circuit = circuit.with_initial_point(circuit.initial_point * [1.0, -1.0])  # towards small cuts
    outcome = beside_chance(qaoa(circuit, shot_rounds(0), shots=500), circuit, shots=500)
    assert outcome.reason.startswith("no better than chance; ")
    good, _ = with_simulated_angles(circuit)
    better = beside_chance(qaoa(good, shot_rounds(0), shots=500), good, shots=500)
    assert better.warnings == ()
    assert better.value > outcome.value


def test_the_descent_begins_at_the_best_sample() -> None:
    problem = problem_of("fields", 10)
    circuit = qaoa_circuit(problem, layers=1)
    starts = np.random.default_rng(0).integers(0, 2, (200, 10))
    reached, other = (problem.objective.energies(descend(problem.cost, bits)) for bits in (starts, starts[:, ::-1]))
    (row, *_) = np.flatnonzero(np.abs(other - reached) > 0.1)
    sampled = "".join(map(str, starts[row][::-1]))  # the rightmost character is variable 0
    outcome = replace(qaoa(circuit, shot_rounds(0), shots=100), best_bitstring=sampled)
    found = beside_classical(outcome, problem)
    assert any(f"from the best assignment reaches {reached[row]:.12g}, " in choice for choice in found.choices)


def test_a_large_problem_has_the_angles_of_its_tree_and_with_the_xy_mixer_those_of_a_part() -> None:
    problem = problem_of("weighted", 24)
    circuit, why = with_simulated_angles(qaoa_circuit(problem, layers=2))
    assert why == "optimized on the tree of couplings, without cycles of up to 5 couplings"
    assert circuit.initial_point.tolist() == trained(problem, 2).initial_point.tolist()
    _, why = with_simulated_angles(qaoa_circuit(problem_of("portfolio", 24), layers=2, mixer=Mixer.XY))
    assert why == "optimized on a classical simulation of 12 of the 24 variables"


def test_a_problem_of_many_short_cycles_has_the_angles_of_a_part() -> None:
    problem = problem_of("dense", 17)
    circuit, why = with_simulated_angles(qaoa_circuit(problem, layers=2))
    assert why == "optimized on a classical simulation of 12 of the 17 variables, then compared on all"
    energy = QaoaSimulation.of(circuit.cost, (), None).energy
    assert energy(circuit.initial_point) < energy(trained(problem, 2).initial_point) - 0.5
    assert with_simulated_angles(qaoa_circuit(problem_of("dense", 22), layers=2))[1].endswith("12 of the 22 variables")


def test_layers_of_which_the_tree_takes_too_long_are_interpolated() -> None:
    problem = problem_of("weighted", 60)
    deeper, why = with_tree_angles(qaoa_circuit(problem, layers=4))
    assert why.endswith(", for 3 layers, and interpolated for 4")
    for longer, shorter in zip(
        np.split(deeper.initial_point, 2), np.split(trained(problem, 3).initial_point, 2), strict=True
    ):
        assert longer == pytest.approx(interpolate_angles(shorter), abs=1e-3)
