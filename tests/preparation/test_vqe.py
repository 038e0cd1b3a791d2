"""Preparation of a VQE: built-in problems are right, and unsuitable input is refused."""

from __future__ import annotations

from typing import Any

import pytest

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.optimizers.registry import choose_optimizer
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.optimizers.scipy import ScipyOptimizer
from hybridloop.algorithms.optimizers.trust_region import TrustRegion
from hybridloop.algorithms.problems.electronic import Encoding
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.data import load_table
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.preparation.problem import exact_energy
from hybridloop.settings import AnsatzName, OptimizerName, ProblemText
from tests.algorithms.batched_state_helpers import noiseless_rounds
from tests.preparation_helpers import parse_problem, prepare_vqe

BUILT_IN: dict[str, dict[str, Any]] = {
    name: entry for name, entry in load_table("problems").items() if "fcidump" in entry
}


def read_molecule(problem: ProblemText) -> Molecule:
    found = parse_problem(problem)
    assert isinstance(found, Molecule)
    return found


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_built_in_problem_has_its_published_energies(name: str) -> None:
    molecule = read_molecule(ProblemText(name=name))
    assert exact_energy(molecule) == pytest.approx(BUILT_IN[name]["exact_energy"], abs=1e-9)
    assert molecule.hartree_fock_energy == pytest.approx(BUILT_IN[name]["hartree_fock_energy"], abs=1e-9)
    assert Encoding(FermionMapping.PARITY, molecule.norb, molecule.electrons).num_qubits == BUILT_IN[name]["qubits"]


def test_a_built_in_name_is_found_in_any_case() -> None:
    assert prepare_vqe(ProblemText(name="H2"), VqeSettings(), seed=0).facts.num_qubits == 2


@pytest.mark.parametrize("mapping", list(FermionMapping))
@pytest.mark.parametrize("ansatz", [AnsatzName.AUTO, AnsatzName.UCCSD, AnsatzName.HARDWARE_EFFICIENT])
@pytest.mark.parametrize("optimizer", list(OptimizerName))
def test_every_combination_of_choices_works(
    mapping: FermionMapping, ansatz: AnsatzName, optimizer: OptimizerName
) -> None:
    settings = VqeSettings(mapping=mapping, ansatz=ansatz, optimizer=optimizer)
    prepared = prepare_vqe(ProblemText(name="h2"), settings, seed=0)
    points = prepared.search.make_optimizer().ask()
    assert points.shape[1] == prepared.ansatz.num_parameters > 0
    assert prepared.ansatz.circuit.num_qubits == {FermionMapping.PARITY: 2, FermionMapping.JORDAN_WIGNER: 4}[mapping]


@pytest.mark.parametrize("max_rounds", [1, 1000])
def test_only_max_rounds_limits_cobyla(max_rounds: int) -> None:
    settings = VqeSettings(optimizer="scipy:cobyla", max_rounds=max_rounds)
    optimizer = prepare_vqe(ProblemText(name="heh+"), settings, seed=0).search.make_optimizer()
    assert isinstance(optimizer, ScipyOptimizer)
    assert optimizer.max_evaluations > max_rounds


def test_the_seed_alone_chooses_a_random_start() -> None:
    settings = VqeSettings(ansatz=AnsatzName.HARDWARE_EFFICIENT)

    def start(seed: int) -> list[float]:
        point: list[float] = prepare_vqe(ProblemText(name="h2"), settings, seed).ansatz.initial_point.tolist()
        return point

    assert start(1) == start(1) != start(2)


def test_a_wrong_particle_number_is_a_warning_and_no_convergence() -> None:
    settings = VqeSettings(
        ansatz=AnsatzName.HARDWARE_EFFICIENT, mapping=FermionMapping.JORDAN_WIGNER, optimizer=OptimizerName.ROTOSOLVE
    )
    prepared = prepare_vqe(ProblemText(name="heh+"), settings, seed=0)
    outcome = prepared.run(noiseless_rounds())
    assert outcome.value < -2.85146769 - 0.05  # below the ground state of two electrons: the state has another charge
    assert outcome.reason.startswith("below the exact energy; wrong particle number; ")
    assert not outcome.converged
    wrong, other, below = outcome.warnings
    assert "2 (1 alpha, 1 beta)" in wrong
    assert other.startswith("other electrons: ")
    assert below.startswith("below the exact energy: ")


def test_more_qubits_than_the_target_has_are_refused_before_anything_is_built() -> None:
    orbitals = "".join(f" -1.0 {number} {number} 0 0\n" for number in range(1, 17))
    wide = f"&FCI NORB=16,NELEC=2,MS2=0 &END\n{orbitals} 0.0 0 0 0 0\n"
    settings = VqeSettings(target="ionq.simulator")
    with pytest.raises(InputError, match=r"30 qubits, ionq\.simulator has 29"):
        prepare_vqe(ProblemText(name="wide", text=wide), settings, seed=0)


def test_a_molecule_too_large_for_an_exact_energy_has_none() -> None:
    for norb, electrons in ((10, 10), (32, 2)):
        orbitals = "".join(f" -1.0 {number} {number} 0 0\n" for number in range(1, norb + 1))
        text = f"&FCI NORB={norb},NELEC={electrons} &END\n{orbitals} 0.0 0 0 0 0\n"
        assert exact_energy(read_molecule(ProblemText(name="large", text=text))) is None


def test_a_text_wins_over_the_built_in_of_the_same_name() -> None:
    text = BUILT_IN["heh+"]["fcidump"]
    molecule = read_molecule(ProblemText(name="h2", text=text))
    assert exact_energy(molecule) == pytest.approx(BUILT_IN["heh+"]["exact_energy"], abs=1e-8)


@pytest.mark.parametrize(
    ("problem", "ansatz", "chosen"),
    [
        ("h2", AnsatzName.UCCSD, Rotosolve),
        ("h2", AnsatzName.HARDWARE_EFFICIENT, TrustRegion),
    ],
)
def test_a_search_is_chosen_by_the_number_of_angles(problem: str, ansatz: AnsatzName, chosen: type[Optimizer]) -> None:
    prepared = prepare_vqe(ProblemText(name=problem), VqeSettings(ansatz=ansatz), seed=0)
    assert type(prepared.search.make_optimizer()) is chosen
    assert choose_optimizer(prepared.ansatz).reason
