"""The library of built-in problems: integrals, exact values and statements, each by an independent computation."""

from __future__ import annotations

import itertools
import json
import math
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hybridloop.algorithms.problems.exact import exact_energy_of_spin
from hybridloop.algorithms.problems.molecule import Molecule, with_multiplicity
from hybridloop.data import built_in_families, load_table
from hybridloop.estimate.planner import plan_run
from hybridloop.inputs.formats.detect import detect_format
from hybridloop.inputs.formats.energies import read_pauli_sum
from hybridloop.preparation.checks import is_in_hartree
from hybridloop.settings import ProblemText
from hybridloop.settings.input_format import InputFormat
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.long_form import IS_LONG, long_form, long_only, short_or_long
from tests.paths import DOCS
from tests.preparation_helpers import parse_problem, prepare_qaoa, prepare_vqe, prepared, settings_for
from tests.problem_recipes import LATTICES, MOLECULES, SPIN_MODELS, hubbard, integrals
from tests.spin_models import MATRICES, dense

ENERGIES: dict[str, dict[str, Any]] = load_table("problems")
BINARY: dict[str, dict[str, Any]] = load_table("binary_problems")
NEW = {
    *("beh2", "n2-cas66", "o2-cas86", "h4-2.0", "h2o-stretched", "n2-2.0-cas66"),
    *(*LATTICES, *SPIN_MODELS, "partition-8", "vertex-cover-8", "knapsack-8"),
}  # other tests plan the others
PLAIN = ("ring-8", "cubic-8", "petersen", "random-10", "weighted-10", "cubic-12", "cubic-16", "sk-8")


def built_in(name: str) -> Molecule:
    found = parse_problem(ProblemText(name=name))
    assert isinstance(found, Molecule)
    return found


def test_every_problem_says_its_purpose_family_and_source() -> None:
    assert 30 <= len(ENERGIES) + len(BINARY) <= 40
    for name, entry in {**ENERGIES, **BINARY}.items():
        for field in ("title", "family", "teaches", "source"):
            assert entry[field] == entry[field].strip() != "", (name, field)
        assert entry["teaches"].endswith(".")
        assert len(entry["teaches"].split()) <= 30
    assert {len(entries) > 1 for entries in built_in_families().values()} == {True}
    assert [name for entries in built_in_families().values() for name in entries] == [*ENERGIES, *BINARY]


def test_every_problem_of_energies_has_a_recipe() -> None:
    assert ENERGIES.keys() == {*MOLECULES, *LATTICES, *SPIN_MODELS}


def test_the_texts_are_small_and_without_noise() -> None:
    for name in (*MOLECULES, *LATTICES):
        assert len(ENERGIES[name]["fcidump"]) < 10_000
    for name in ("beh2", "n2-cas66", "n2-2.0-cas66", "o2-cas86", "h4-2.0", "h2o-stretched", *LATTICES):
        molecule = built_in(name)
        for values in (molecule.one_body, molecule.two_body):
            assert np.abs(values[values != 0]).min() >= 1e-12


@long_form
@pytest.mark.parametrize("name", short_or_long(["h4-2.0", "o2-cas86"], sorted(MOLECULES)))
def test_pyscf_computes_the_integrals_and_energies_again(name: str) -> None:
    found, exact = integrals(MOLECULES[name])
    kept = built_in(name)
    accuracy = 1e-7 if name == "h4" else 1e-8  # the orbitals of h4 were converged to fewer digits
    # an orbital's sign is free, and in older texts it is another
    np.testing.assert_allclose(np.abs(kept.one_body), np.abs(found.one_body), rtol=0, atol=accuracy)
    np.testing.assert_allclose(np.abs(kept.two_body), np.abs(found.two_body), rtol=0, atol=accuracy)
    assert kept.core_energy == pytest.approx(found.core_energy, abs=1e-8)
    assert kept.electrons == found.electrons
    assert ENERGIES[name]["exact_energy"] == pytest.approx(exact, abs=1e-9)
    assert ENERGIES[name]["hartree_fock_energy"] == pytest.approx(found.hartree_fock_energy, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in MOLECULES if "Hartree-Fock is" in ENERGIES[name]["teaches"]])
def test_the_error_of_hartree_fock_is_as_stated(name: str) -> None:
    check_hartree_fock(name)


def check_hartree_fock(name: str) -> None:
    stated = re.search(r"Hartree-Fock is ([\d.]+) mHa off", ENERGIES[name]["teaches"])
    assert stated
    error = ENERGIES[name]["hartree_fock_energy"] - ENERGIES[name]["exact_energy"]
    assert float(stated[1]) == pytest.approx(1e3 * error, abs=0.051)


@pytest.mark.parametrize(("name", "multiplicity"), [("o2-cas86", 1), ("h2o-stretched", 3)])
def test_the_other_spin_lies_as_high_as_stated(name: str, multiplicity: int) -> None:
    stated = re.search(r"lies ([\d.]+) mHa (higher|above)", ENERGIES[name]["teaches"])
    assert stated
    energy = exact_energy_of_spin(with_multiplicity(built_in(name), multiplicity))
    assert 1e3 * (energy - ENERGIES[name]["exact_energy"]) == pytest.approx(float(stated[1]), abs=0.051)


def test_more_orbitals_lower_the_energy_of_lithium_hydride_as_stated() -> None:
    stated = re.search(r"lower the energy by ([\d.]+) mHa", ENERGIES["lih-3.0-cas22"]["teaches"])
    assert stated
    geometry = MOLECULES["lih-3.0-cas22"]
    whole, exact = integrals(type(geometry)(geometry.atoms, 1, 2, 5))
    assert whole.norb == 5
    gained = ENERGIES["lih-3.0-cas22"]["exact_energy"] - exact
    assert 1e3 * gained == pytest.approx(float(stated[1]), abs=0.051)


def hubbard_matrix(sites: int, repulsion: float) -> NDArray[np.float64]:
    """Return the Hubbard chain over all 4^sites states, by Jordan-Wigner ladder operators on sites."""
    modes, lowering = 2 * sites, (MATRICES["X"] + 1j * MATRICES["Y"]) / 2
    ladders = []
    for mode in range(modes):
        product: NDArray[Any] = np.eye(1)
        for k in range(modes):
            product = np.kron(product, MATRICES["Z"] if k < mode else lowering if k == mode else np.eye(2))
        ladders.append(product.real)
    number = [a.T @ a for a in ladders]
    total = np.zeros_like(number[0])
    for spin, i in itertools.product(range(2), range(sites - 1)):
        a, b = ladders[spin * sites + i], ladders[spin * sites + i + 1]
        total -= a.T @ b + b.T @ a
    for i in range(sites):
        total += repulsion * number[i] @ number[sites + i]
    alpha, beta = (np.sum(number[spin * sites : (spin + 1) * sites], axis=0).diagonal() for spin in range(2))
    half_filled = np.flatnonzero((alpha.round() == sites // 2) & (beta.round() == sites // 2))
    block: NDArray[np.float64] = total[np.ix_(half_filled, half_filled)]
    return block


@pytest.mark.parametrize("name", LATTICES)
def test_a_hubbard_model_has_the_energy_of_its_sites(name: str) -> None:
    lattice, entry = LATTICES[name], ENERGIES[name]
    exact = np.linalg.eigvalsh(hubbard_matrix(lattice.sites, lattice.repulsion))[0]
    assert entry["exact_energy"] == pytest.approx(exact, abs=1e-9)
    kept, made = built_in(name), hubbard(lattice)
    np.testing.assert_allclose(np.abs(kept.one_body), np.abs(made.one_body), rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.abs(kept.two_body), np.abs(made.two_body), rtol=0, atol=1e-10)
    # Hartree-Fock at half filling has the density 1 on each site
    levels = -2 * np.cos(np.pi * np.arange(1, lattice.sites // 2 + 1) / (lattice.sites + 1))
    expected = 2 * levels.sum() + lattice.repulsion * lattice.sites / 4
    assert entry["hartree_fock_energy"] == pytest.approx(expected, abs=1e-9)
    check_hartree_fock(name)


def test_the_hubbard_dimer_has_its_analytic_energy() -> None:
    u = LATTICES["hubbard-2"].repulsion
    assert ENERGIES["hubbard-2"]["exact_energy"] == pytest.approx((u - math.sqrt(u**2 + 16)) / 2, abs=1e-12)


@pytest.mark.parametrize("name", SPIN_MODELS)
def test_a_spin_model_has_its_terms_and_exact_energy(name: str) -> None:
    entry = ENERGIES[name]
    assert entry["terms"] == SPIN_MODELS[name]
    assert entry["exact_energy"] == pytest.approx(np.linalg.eigvalsh(dense(entry["terms"]))[0], abs=1e-9)
    assert entry["qubits"] == len(next(iter(entry["terms"])))
    text = json.dumps({"terms": entry["terms"]})
    assert detect_format(text) is InputFormat.PAULIS
    assert read_pauli_sum(text, name).exact_ground_energy() == pytest.approx(entry["exact_energy"], abs=1e-9)


def test_the_ising_chain_has_the_energy_of_free_fermions() -> None:
    """Energies of the fermions are 2 Λ_k = 2 singular values of the bidiagonal matrix of fields and couplings."""
    spins = ENERGIES["ising-6"]["qubits"]
    free = -np.linalg.svd(np.eye(spins) + np.eye(spins, k=1), compute_uv=False).sum()
    assert ENERGIES["ising-6"]["exact_energy"] == pytest.approx(free, abs=1e-10)
    assert free == pytest.approx(1 - 1 / math.sin(math.pi / (2 * (2 * spins + 1))), abs=1e-10)


def test_the_frustrated_ring_has_two_ground_states_of_singlet_pairs() -> None:
    levels = np.linalg.eigvalsh(dense(ENERGIES["majumdar-ghosh-6"]["terms"]))
    assert levels[:2] == pytest.approx([-1.5 * 6] * 2, abs=1e-9)
    assert levels[2] > levels[1] + 1


def bits(count: int) -> NDArray[np.int64]:
    return np.array(list(itertools.product((0, 1), repeat=count)))


def edges_of(name: str) -> list[tuple[int, int, float]]:
    lines = [line.split() for line in BINARY[name]["text"].splitlines()]
    return [(int(words[0]), int(words[1]), float(words[2]) if len(words) > 2 else 1.0) for words in lines]


@pytest.mark.parametrize("name", PLAIN)
def test_a_graph_has_its_maximum_cut(name: str) -> None:
    sides = bits(BINARY[name]["variables"])
    cuts = sum(weight * (sides[:, i] != sides[:, j]) for i, j, weight in edges_of(name))
    assert np.max(cuts) == pytest.approx(BINARY[name]["optimum"], abs=1e-9)


def test_the_petersen_graph_has_the_independent_set_that_is_stated() -> None:
    chosen = bits(10)
    allowed = np.all([chosen[:, i] * chosen[:, j] == 0 for i, j, _ in edges_of("petersen")], axis=0)
    assert chosen[allowed].sum(axis=1).max() == 4
    assert "largest independent set 4" in BINARY["petersen"]["teaches"]


def test_the_numbers_have_an_equal_partition() -> None:
    numbers = np.array(json.loads(BINARY["partition-8"]["text"])["numbers"])
    assert min(((2 * bits(8) - 1) @ numbers) ** 2) == BINARY["partition-8"]["optimum"] == 0


def test_the_best_of_the_cover_qubo_are_the_smallest_covers() -> None:
    chosen = bits(8)
    covers = np.all([chosen[:, i] + chosen[:, j] > 0 for i, j, _ in edges_of("cubic-8")], axis=0)
    smallest = chosen[covers].sum(axis=1).min()
    assert BINARY["vertex-cover-8"]["optimum"] == smallest
    values = objective("vertex-cover-8", chosen)
    assert values.min() == pytest.approx(smallest, abs=1e-9)
    assert values[covers] == pytest.approx(chosen[covers].sum(axis=1), abs=1e-9)


def test_the_knapsack_qubo_has_the_best_contents() -> None:
    title = re.search(
        r"capacity (\d+) with items of weights ([\d, ]+) and values ([\d, ]+),", BINARY["knapsack-8"]["title"]
    )
    assert title
    capacity = int(title[1])
    weights, values = (np.array(list(map(int, title[k].split(", ")))) for k in (2, 3))
    items = bits(len(weights))
    best = max(items[items @ weights <= capacity] @ values)
    assert BINARY["knapsack-8"]["optimum"] == -best
    assert objective("knapsack-8", bits(8)).min() == pytest.approx(-best, abs=1e-9)
    # the best value per weight first
    left, greedy = capacity, 0
    for item in np.argsort(-values / weights):
        if weights[item] <= left:
            left, greedy = left - weights[item], greedy + values[item]
    assert f"first gives {greedy}, not {best}" in BINARY["knapsack-8"]["teaches"]


def objective(name: str, assignments: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the values of a QUBO by its text."""
    text = json.loads(BINARY[name]["text"])
    names = text["qubo"]["variables"]
    matrix = np.zeros((len(names),) * 2)
    for i, j, value in text["qubo"]["terms"]:
        matrix[names.index(i), names.index(j)] += value
    values: NDArray[np.float64] = np.einsum("ki,ij,kj->k", assignments, matrix, assignments) + text["offset"]
    return values


@pytest.mark.parametrize("name", ["partition-8", "vertex-cover-8", "knapsack-8"])
def test_the_product_finds_the_same_optimum(name: str) -> None:
    prepared = prepare_qaoa(ProblemText(name=name), settings_for("qaoa", {}), seed=0)  # type: ignore[arg-type]
    assert prepared.facts.exact() == pytest.approx(BINARY[name]["optimum"], abs=1e-9)


CHEAP = {"ansatz": "hardware-efficient", "layers": 0, "search": "measured", "max_rounds": 1, "seed": 1}


@long_form
@pytest.mark.parametrize("name", short_or_long(sorted(NEW), sorted({*ENERGIES, *BINARY})))
def test_every_problem_is_planned(name: str) -> None:
    algorithm, values = ("qaoa", {"shots": 100}) if name in BINARY else ("vqe", CHEAP)
    if not IS_LONG and name in {*MOLECULES, "hubbard-4"}:  # more qubits take seconds
        values = {**CHEAP, "active_space": "4,3"}
    plan = plan_run(algorithm, ProblemText(name=name), settings_for(algorithm, values))
    entry = {**ENERGIES, **BINARY}[name]
    assert plan.qubits == (4 if "active_space" in values else entry.get("qubits", entry.get("variables")))
    assert plan.jobs.expected >= 1


@long_form
@pytest.mark.parametrize(
    "name",
    short_or_long(
        ["hubbard-2"],
        ["hubbard-2", "ising-6", "heisenberg-6", "majumdar-ghosh-6", "o2-cas86", "beh2"],
    ),
)
def test_a_run_converges_to_the_exact_energy(name: str) -> None:
    vqe = prepare_vqe(ProblemText(name=name), settings_for("vqe", {}), 1)  # type: ignore[arg-type]
    outcome = vqe.measure(shot_rounds(1), lambda _: None)
    assert outcome.converged
    assert outcome.value == pytest.approx(ENERGIES[name]["exact_energy"], abs=1.6e-3 + 3 * outcome.standard_error)


@long_only
@pytest.mark.parametrize("name", ["h4-2.0", "hubbard-4", "n2-2.0-cas66"])
def test_a_strongly_correlated_problem_says_so(name: str) -> None:
    vqe = prepare_vqe(ProblemText(name=name), settings_for("vqe", {}), 1)  # type: ignore[arg-type]
    outcome = vqe.measure(shot_rounds(1), lambda _: None)
    assert not outcome.converged
    assert outcome.reason.startswith("above the ground state")
    assert outcome.value > ENERGIES[name]["exact_energy"] + 1e-3


@long_only
@pytest.mark.parametrize("name", ["h4-2.0", "hubbard-4"])
def test_levels_reach_the_ground_state_of_a_strongly_correlated_problem_as_its_warning_says(name: str) -> None:
    settings = settings_for("levels", {"levels": 1, "precision": 0.003})
    outcome = prepared("levels", ProblemText(name=name), settings, 7).measure(shot_rounds(7), lambda _: None)
    assert outcome.standard_error is not None
    assert outcome.value == pytest.approx(ENERGIES[name]["exact_energy"], abs=3 * outcome.standard_error)


def test_a_spin_model_is_not_in_hartree() -> None:
    assert is_in_hartree(ProblemText(name="hubbard-4"))
    assert not is_in_hartree(ProblemText(name="Ising-6"))
    assert not is_in_hartree(ProblemText(name="h2", text='{"terms": {"Z": 1.0}}'))


def test_the_guide_lists_every_problem_with_its_purpose() -> None:
    guide = (DOCS / "problems.md").read_text("utf-8").partition("\n## Formats")[0]
    for family, entries in built_in_families().items():
        assert f"\n## {family}\n" in guide
        for name, entry in entries.items():
            value = f"{entry['exact_energy']:.6f}" if "exact_energy" in entry else f"{entry['optimum']:g}"
            qubits = entry.get("qubits", entry.get("variables"))
            purpose = entry["teaches"].partition(":")[0].rstrip(".")
            assert f"| `{name}` | {qubits} | {value} | {purpose} |" in guide
    assert guide.count("\n| `") == len(ENERGIES) + len(BINARY)
