"""SQD: subspaces against dense matrices, classical subspaces, extrapolation, and what a result claims."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.configurations import Samples
from hybridloop.algorithms.outcome import Outcome, RoundLog
from hybridloop.algorithms.problems.determinants import count_determinants, determinants_of, hamiltonian_matrix
from hybridloop.algorithms.problems.exact import exact_energy_of_spin
from hybridloop.algorithms.problems.interruption import interrupted_by
from hybridloop.algorithms.problems.molecule import Molecule, active_space
from hybridloop.algorithms.sqd.comparison import ClassicalSpace, compare_with_classical
from hybridloop.algorithms.sqd.determinant_spaces import ProductHamiltonian
from hybridloop.algorithms.sqd.determinants import Carried, determinant_record
from hybridloop.algorithms.sqd.diagonalization import Batch, SqdBounds, SqdResult, diagonalize_samples
from hybridloop.algorithms.sqd.extrapolation import Extrapolation, extrapolate_variance
from hybridloop.algorithms.sqd.full_space import FullSpace, solve_in_turn
from hybridloop.algorithms.sqd.product_spaces import (
    StringLimits,
    Strings,
    SubspaceState,
    grow_product,
    hartree_fock_strings,
    lowest_in_product,
)
from hybridloop.algorithms.sqd.remainder import remainder_below
from hybridloop.algorithms.steps import compute_each
from hybridloop.descriptions.sqd import SqdSettings
from hybridloop.errors import InputError
from hybridloop.preparation.prepared import ClassicalPart
from hybridloop.preparation.problem import parse_problem
from hybridloop.preparation.sqd import PreparedSqd
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.paths import DATA
from tests.preparation_helpers import prepared
from tests.value_helpers import known

H4 = ProblemText(name="H4_1.8", text=(DATA / "fcidump" / "H4_1.8.fcidump").read_text("utf-8"))
SAME = 2e-9  # hartree: energies are rounded to 1e-9
ACCURATE = 1.6e-3
QASM = 'OPENQASM 3.0; include "stdgates.inc";'


def h4() -> Molecule:
    molecule = parse_problem(H4)
    assert isinstance(molecule, Molecule)
    return molecule


def triplet() -> Molecule:
    return replace(h4(), electrons=(3, 1))


def masks(alpha: Strings, beta: Strings, norb: int) -> NDArray[np.int64]:
    return np.sort((alpha[:, None] | beta[None, :] << norb).ravel())


def dense(molecule: Molecule, states: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the Hamiltonian between determinants by this project's own Pauli sums, the oracle of PySCF's."""
    matrix: NDArray[np.float64] = hamiltonian_matrix(molecule, states).toarray()
    return matrix


@pytest.mark.parametrize("molecule", [h4(), triplet()], ids=["singlet", "triplet"])
def test_a_subspace_has_the_lowest_eigenvalue_of_its_dense_matrix_and_its_variance(molecule: Molecule) -> None:
    full = FullSpace(molecule)
    generator = np.random.default_rng(1)
    for number in (1, 2, 4):
        alpha, beta = (np.sort(generator.permutation(every)[:number]) for every in full.strings)
        alpha, beta = (
            np.union1d(own, hf) for own, hf in zip((alpha, beta), hartree_fock_strings(molecule), strict=True)
        )
        state = lowest_in_product(molecule, alpha, beta)
        inside, every = masks(alpha, beta, molecule.norb), determinants_of(molecule)
        values, vectors = np.linalg.eigh(dense(molecule, inside))
        assert state.energy >= values[0] - SAME
        assert min(abs(values - state.energy)) < SAME  # Davidson's start may have another symmetry than the lowest
        # the variance by the whole matrix, for the eigenvector of the same energy
        vector = np.zeros(len(every))
        vector[np.searchsorted(every, inside)] = vectors[:, np.argmin(abs(values - state.energy))]
        image = dense(molecule, every) @ vector
        assert full.variance(state) == pytest.approx(image @ image - (vector @ image) ** 2, abs=1e-7)
        assert state.occupations(molecule.norb).sum() == pytest.approx(sum(molecule.electrons))


@pytest.mark.parametrize("molecule", [h4(), triplet()], ids=["singlet", "triplet"])
def test_classical_subspaces_are_bounds_that_end_at_the_exact_energy(molecule: Molecule) -> None:
    full, total = FullSpace(molecule), count_determinants(molecule)
    exact = exact_energy_of_spin(molecule)
    assert full.ground_state[0] == pytest.approx(exact, abs=SAME)
    sizes = [1, total // 3, total // 2, total]
    energies = [full.selected_ci(size) for size in sizes]
    assert energies[0] == pytest.approx(molecule.hartree_fock_energy, abs=SAME)
    assert energies[-1] == pytest.approx(exact, abs=SAME)
    assert all(high >= low - SAME for high, low in itertools.pairwise(energies))
    for size in sizes:
        limits = StringLimits.of(molecule, size)
        assert limits.alpha * limits.beta <= size
        grown = grow_product(molecule, limits)
        assert grown.size <= size
        assert exact - SAME <= grown.energy <= molecule.hartree_fock_energy + SAME
    assert grown.energy == pytest.approx(exact, abs=SAME)


def noisy(samples: Samples, rate: float) -> Samples:
    """Return the samples with each bit flipped at a rate."""
    generator = np.random.default_rng(5)
    rows = np.repeat(samples.occupied, samples.shots, axis=0)
    rows = rows ^ (generator.random(rows.shape) < rate).astype(np.uint8)
    outcomes, shots = np.unique(rows, axis=0, return_counts=True)
    return Samples(outcomes, shots.astype(np.int64), samples.electrons)


def test_recovery_makes_up_for_noise() -> None:
    run = sqd_of(SqdSettings(max_subspace=16, seed=7), ProblemText(name="h4"))
    samples = run.measure(shot_rounds(0), lambda _: None)
    molecule = run.problem.molecule
    spoilt = noisy(samples, 0.1)
    assert not spoilt.is_valid.all()
    clean, repaired = (diagonalized(run, each) for each in (samples, spoilt))
    assert repaired.best.energy <= clean.best.energy + ACCURATE
    assert repaired.corrected == spoilt.shots[~spoilt.is_valid].sum()
    # without one right sample, the first correction is by the Hartree-Fock determinant
    wrong = Samples(spoilt.occupied[~spoilt.is_valid], spoilt.shots[~spoilt.is_valid], spoilt.electrons)
    found = diagonalized(run, wrong)
    assert found.best.energy <= molecule.hartree_fock_energy


def sqd_of(settings: SqdSettings, problem: ProblemText = H4) -> PreparedSqd:
    run = prepared("sqd", problem, settings, settings.seed or 0)
    assert isinstance(run, PreparedSqd)
    return run


def diagonalized(run: PreparedSqd, samples: Samples) -> SqdResult:
    """Return what a run finds by these samples."""
    molecule, log = run.problem.molecule, RoundLog(lambda _: None)
    solve = solve_in_turn(molecule, run.full)
    return diagonalize_samples(samples, molecule, solve, run.bounds, compute_each, log, np.zeros(0))


def outcome_for(**values: Any) -> tuple[PreparedSqd, Outcome]:
    run = sqd_of(SqdSettings(seed=7, **values))
    return run, run.run(shot_rounds(0))


def test_a_result_is_a_bound_with_its_share_and_says_which_space_is_better() -> None:
    run, outcome = outcome_for(max_subspace=8)
    exact = known(run.facts.exact())
    assert outcome.is_upper_bound
    assert outcome.value >= exact
    assert (outcome.interval95, outcome.standard_error, outcome.rounds) == (None, 0.0, 1)
    assert [source.source for source in outcome.error_budget] == ["subspace"]
    rows = {row["space"]: row for row in outcome.table}
    assert rows["samples, iteration 1"]["share"] == pytest.approx(8 / 36, abs=1e-6)
    assert rows["selected CI"]["determinants"] == 8
    texts = dict(choice.split(": ", 1) for choice in outcome.choices)
    assert texts["subspace"] == "8 of 36 determinants, 22.2% of the full space"
    is_lower = rows["selected CI"]["energy"] < outcome.value
    assert ("it is better" in texts["classical"]) == is_lower
    assert set(texts) == {"start", "subspace", "samples", "variance", "classical", "strings"}
    # more than chemical accuracy is left, and that is said
    assert outcome.value - exact > ACCURATE
    assert not outcome.converged
    assert "mHa lower" in outcome.reason


def test_all_determinants_are_exact_and_converged() -> None:
    run, outcome = outcome_for(max_subspace=1000, initial_point="random")
    assert outcome.value == pytest.approx(run.facts.exact(), abs=SAME)
    assert outcome.converged
    assert outcome.table[0]["share"] == 1.0
    assert outcome.error_budget[0].amount == 0.0


def test_no_more_is_claimed_of_what_is_left_below_than_was_shown() -> None:
    best = Batch(4, -2.0, 100, 0.01, 0.0)
    ci = (ClassicalSpace("selected CI", -2.0005, 100),)
    near, wide, far = (Extrapolation(-2.0 - left, error, 9) for left, error in ((1e-3, 2e-4), (1e-3, 4e-4), (2e-3, 0)))
    disagree = "a line, a parabola and parts of the states disagree"
    # sources of the claim: what is left, whether that is little, and the reason's end
    shown: list[tuple[Extrapolation | str, float | None, bool, float | None, bool | None, str]] = [
        (near, -2.001, False, 1e-3, True, "the exact energy in these orbitals is 1.00 mHa lower"),
        (near, -2.002, False, 2e-3, False, "the exact energy in these orbitals is 2.00 mHa lower"),
        (near, -1.9, False, None, None, "100.00 mHa below the exact one, as a state of another spin"),
        (near, None, False, 1.4e-3, True, "two of its errors included"),
        (wide, None, False, 1.8e-3, None, "two of its errors included"),
        (far, None, False, 2e-3, False, "leaves 2.00 mHa"),
        (disagree, None, False, None, None, disagree),  # iterations and a selected CI that agree show nothing
        (disagree, None, True, 0.0, True, "has all determinants, for states with the symmetry of its determinants"),
    ]
    for extrapolated, exact, is_complete, most, is_little, end in shown:
        left = remainder_below(best, extrapolated, ci, exact, is_complete=is_complete)
        assert left.most == (None if most is None else pytest.approx(most))
        assert left.is_little is is_little
        assert left.reason.endswith(end)
    better = (ClassicalSpace("selected CI", -2.005, 100),)
    left = remainder_below(best, near, better, None, is_complete=False)
    assert left.most == pytest.approx(5e-3)
    assert left.is_little is False


def test_the_exact_state_may_have_another_symmetry_than_the_lowest_determinant() -> None:
    one_body, two_body = np.diag([0.0, 0.0, -0.3]), np.zeros((3, 3, 3, 3))
    two_body[0, 1, 0, 1] = two_body[1, 0, 1, 0] = two_body[0, 1, 1, 0] = two_body[1, 0, 0, 1] = 0.5  # |00⟩ ↔ |11⟩
    two_body[2, 2, 2, 2] = 1.0
    molecule = Molecule(one_body, two_body, (1, 1), 0.0, "three orbitals")
    full = FullSpace(molecule)
    assert not full.is_solved
    energy, vector = full.ground_state
    assert full.is_solved
    assert energy == pytest.approx(exact_energy_of_spin(molecule), abs=SAME)
    assert energy == pytest.approx(-0.5, abs=SAME)  # the lowest determinant, |02⟩, has −0.3
    assert [vector[0, 0] ** 2, vector[1, 1] ** 2] == pytest.approx([0.5, 0.5], abs=1e-4)


def test_a_check_ends_a_diagonalization_before_its_next_product() -> None:
    molecule = h4()
    full = FullSpace(molecule)
    hamiltonian = ProductHamiltonian(molecule, *full.strings)
    every, called = np.arange(36), 0

    def check() -> None:
        nonlocal called
        called += 1
        if called == 3:
            raise InterruptedError

    for diagonalize in (
        lambda: lowest_in_product(molecule, *full.strings),
        lambda: hamiltonian.lowest(every, np.eye(1, 36).ravel()),
        lambda: full.selected_ci(30),
        lambda: full.ground_state,
    ):
        called = 0
        with pytest.raises(InterruptedError), interrupted_by(check):
            diagonalize()
        assert called == 3
    assert lowest_in_product(molecule, *full.strings).size == 36  # outside of the block nothing is checked
    assert called == 3


def test_one_determinant_may_be_another_than_hartree_fock() -> None:
    run = sqd_of(SqdSettings(max_subspace=1, seed=7))
    molecule, norb = run.problem.molecule, run.problem.molecule.norb
    excited = (np.arange(2 * norb) % norb % 2 == 0).astype(np.uint8)[None, :]
    alone = Samples(excited, np.array([10]), molecule.electrons)
    found = diagonalized(run, alone)
    string = np.array([sum(1 << p for p in range(0, norb, 2))])
    own = masks(string, string, norb)
    assert found.lowest_of(1).energy == pytest.approx(dense(molecule, own)[0, 0], abs=SAME)
    assert found.best.determinants == 1


def test_a_choice_of_determinants_has_the_lowest_eigenvalue_of_its_dense_matrix() -> None:
    for molecule in (h4(), triplet()):
        full, generator = FullSpace(molecule), np.random.default_rng(2)
        hamiltonian = ProductHamiltonian(molecule, *(strings[:3] for strings in full.strings))
        chosen = np.sort(np.append(generator.permutation(np.arange(1, 9))[:5], 0))
        state = hamiltonian.lowest(chosen, np.eye(1, 6).ravel())
        inside = (hamiltonian.alpha[:, None] | hamiltonian.beta[None, :] << molecule.norb).ravel()[chosen]
        inside.sort()
        values = np.linalg.eigvalsh(dense(molecule, inside))
        assert min(abs(values - state.energy)) < SAME
        assert state.size == 6
        assert np.count_nonzero(state.amplitudes) <= 6
        # its record has single precision, and the strings in the order of their weights
        carried = Carried.read({**determinant_record(state), "energy": state.energy}, molecule)
        places = [np.searchsorted(strings, masks) for strings, masks in zip(full.strings, carried.masks.T, strict=True)]
        assert state.amplitudes[places[0], places[1]] == pytest.approx(carried.amplitudes, abs=1e-7)
        assert (np.diff(np.abs(carried.amplitudes)) <= 0).all()


def test_few_samples_are_completed_by_excitations_of_the_heaviest_strings() -> None:
    run = sqd_of(SqdSettings(max_subspace=12, seed=7))
    molecule = run.problem.molecule
    hartree_fock = (np.arange(2 * molecule.norb) % molecule.norb < 2).astype(np.uint8)[None, :]
    alone = Samples(hartree_fock, np.array([1000]), molecule.electrons)
    found = diagonalized(run, alone)
    assert found.lowest_of(1).energy == pytest.approx(molecule.hartree_fock_energy, abs=SAME)
    exact = known(run.facts.exact())
    assert found.best.energy - exact < 0.1 * (molecule.hartree_fock_energy - exact)
    assert found.best.determinants <= 12


def test_determinants_give_way_to_those_of_a_larger_second_order_energy() -> None:
    run = sqd_of(SqdSettings(max_subspace=8, seed=1))
    assert run.run(shot_rounds(0)).value <= known(run.full).selected_ci(8) + SAME


def test_strings_that_were_not_sampled_are_added_by_their_second_order_energies() -> None:
    run = prepared("sqd", ProblemText(name="beh2"), SqdSettings(max_subspace=4, seed=7), 7)
    assert isinstance(run, PreparedSqd)
    molecule = run.problem.molecule
    one = np.repeat(np.arange(molecule.norb)[None, :] < molecule.electrons[0], 2, axis=0).reshape(1, -1)
    alone = Samples(one.astype(np.uint8), np.array([1000]), molecule.electrons)
    found = diagonalized(run, alone)
    assert found.best.energy <= known(run.full).selected_ci(4) + SAME  # in the order of their bits: 6 mHa above it


def test_samples_like_random_outcomes_are_a_warning() -> None:
    run = sqd_of(SqdSettings(max_subspace=16, seed=7))
    every = np.arange(2**8)[:, None] >> np.arange(8) & 1
    none = np.repeat(np.arange(4)[None, :] < 4, 2, axis=0).reshape(1, -1)  # all eight orbitals
    for occupied in (every, none):
        samples = Samples(occupied.astype(np.uint8), np.full(len(occupied), 100), run.problem.molecule.electrons)
        outcome = run.finish(samples, ClassicalPart(lambda _: None))
        assert not outcome.converged
        assert outcome.reason.startswith("samples; ")
        assert "no more than of random outcomes" in outcome.warnings[0]


def test_both_mappings_find_the_same_subspace_energies() -> None:
    values = [outcome_for(max_subspace=16, mapping=name)[1].value for name in ("parity", "jordan-wigner")]
    assert values[0] == pytest.approx(values[1], abs=SAME)


def test_energies_on_a_line_are_extrapolated_to_its_end() -> None:
    def batch(energy: float, ratio: float) -> Batch:
        return Batch(1, energy, 4, ratio * energy**2, 0.0)

    line = [batch(-2.0 + 0.5 * x, x) for x in (0.01, 0.02, 0.03, 0.04)]
    found = extrapolate_variance(line)
    assert isinstance(found, Extrapolation)
    assert found.energy == pytest.approx(-2.0)
    assert found.error < 1.3e-3  # a quarter of the way, 5 mHa
    # a curve ends elsewhere than a line through it: the error holds the difference
    ratios = np.linspace(0.01, 0.06, 12)
    curve = [replace(batch(-2.0 + 0.5 * x - 2.0 * x**2, x), iteration=int(100 * x)) for x in ratios]
    wide = extrapolate_variance(curve)
    assert isinstance(wide, Extrapolation)
    assert 1e-4 < abs(wide.energy + 2.0) <= 2 * wide.error
    scattered = [batch(-2.0 + energy, 0.01 + 0.001 * k) for k, energy in enumerate((0.0, 0.03, 0.0, 0.03))]
    assert extrapolate_variance(scattered) == "a line, a parabola and parts of the states disagree"
    for unusable in (
        line[:3],
        [batch(-2.0 - x, x) for x in (0.01, 0.02, 0.03, 0.04)],
        [replace(line[0], variance=None)],
    ):
        assert isinstance(extrapolate_variance(unusable), str)


def test_the_error_of_an_extrapolation_is_at_least_the_jackknife_over_iterations() -> None:
    ratios, iterations = np.linspace(0.01, 0.06, 12), np.repeat(np.arange(6), 2)
    energies = -2.0 + 0.5 * ratios + np.random.default_rng(26).normal(0.0, 6e-4, 12)  # no other estimate is larger
    triples = zip(iterations.tolist(), energies.tolist(), ratios.tolist(), strict=True)
    found = extrapolate_variance([Batch(each, energy, 4, ratio * energy**2, 0.0) for each, energy, ratio in triples])
    assert isinstance(found, Extrapolation)
    left_out = [np.polyfit(ratios[iterations != each], energies[iterations != each], 1)[-1] for each in range(6)]
    # B. Efron and C. Stein, Ann. Stat. 9 (1981) 586
    jackknife = np.sqrt(5 / 6 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
    assert found.error == pytest.approx(jackknife, abs=1e-8)


def test_a_space_too_large_for_vectors_is_compared_with_a_selected_ci_of_strings() -> None:
    molecule = h4()
    strings = StringLimits.of(molecule, 16).cut(*FullSpace(molecule).best_strings(is_shared=True))
    state: SubspaceState = lowest_in_product(molecule, *strings)
    best = Batch(1, state.energy, state.size, None, 0.0)
    (space,) = compare_with_classical(molecule, None, best, compute_each)
    assert isinstance(space, ClassicalSpace)
    assert space.name == "selected CI of strings"
    assert space.determinants <= 16
    assert space.energy <= molecule.hartree_fock_energy


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "max_subspace"),
        ({"max_subspace": 16, "ansatz": "hardware-efficient"}, "ansatz"),
        ({"max_subspace": 16, "ansatz": f"{QASM} input float[64] a; qubit[6] q; rx(a) q[0];"}, "initial_point"),
        # no state of two alpha and two beta electrons, as Hartree-Fock of another order of the qubits
        ({"max_subspace": 16, "mapping": "jordan-wigner", "ansatz": f"{QASM} qubit[8] q; x q[0];"}, "ansatz"),
    ],
)
def test_what_cannot_be_sampled_is_refused(values: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as error:
        sqd_of(SqdSettings(**values))
    assert error.value.field == field


def test_an_own_circuit_is_sampled_at_its_angles() -> None:
    text = 'OPENQASM 3.0; include "stdgates.inc"; input float[64] a; qubit[6] q; x q; rx(a) q[0]; ry(a) q[3];'
    run = sqd_of(SqdSettings(max_subspace=16, ansatz=text, initial_point=(0.9,)))
    assert run.run(shot_rounds(0)).parameters == (0.9,)


def test_an_own_circuit_without_angles_needs_none() -> None:
    run = sqd_of(SqdSettings(max_subspace=16, ansatz=f"{QASM} qubit[6] q; x q[0]; ry(0.9) q[3];"))
    outcome = run.run(shot_rounds(0))
    assert outcome.parameters == ()
    samples = next(line for line in outcome.choices if line.startswith("samples: "))
    assert "(of random outcomes 56.2% would)" in samples  # 36 of the 64 outcomes of six qubits


def test_the_default_is_far_below_the_full_space() -> None:
    water = ProblemText(name="water", text=(DATA / "fcidump" / "H2O_0.9572.fcidump").read_text("utf-8"))
    run = sqd_of(SqdSettings(), water)
    assert run.bounds.max_subspace == count_determinants(run.problem.molecule) // 10
    assert active_space(run.problem.molecule, 4, 4).norb == 4


def test_a_seed_gives_the_same_digits_and_another_one_other_draws() -> None:
    one, same = (outcome_for(max_subspace=9)[1] for _ in range(2))
    assert one.table == same.table
    rules = SqdBounds(9, 5, 10, 1e-5, 8)
    run = sqd_of(SqdSettings(max_subspace=9, seed=7))
    samples = run.measure(shot_rounds(0), lambda _: None)
    assert diagonalized(replace(run, bounds=rules), samples).best.determinants <= 9
