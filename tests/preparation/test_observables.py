"""Operators beside the energy: their values against other programs, their errors, and what they cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openfermion import FermionOperator
from pyscf import gto, mcscf, scf
from pyscf.tools import fcidump
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.vqe.expectations import NamedOperator, row_of
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError, RoundTooLarge
from hybridloop.inputs.formats.energies import molecule_text
from hybridloop.inputs.problem_objects import problem_from_object
from hybridloop.preparation.problem import parse_problem
from hybridloop.results.result_text import observable_text
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.preparation_helpers import prepared, settings_for

HEISENBERG = "".join(
    "".join(letter if site in (i, i + 1) else "I" for site in range(4)) + " 1.0\n" for i in range(3) for letter in "XYZ"
)

BESIDE_LEVELS = {"observables": "magnetization"}


def mole(atoms: str, **options: Any) -> Any:
    return gto.M(atom=atoms, basis="sto-3g", verbose=0, **options)


def run(problem: ProblemText, rounds: Any, algorithm: str = "vqe", **values: Any) -> Outcome:
    return prepared(algorithm, problem, settings_for(algorithm, values), 3).run(rounds)


def rows(outcome: Outcome) -> dict[str, Mapping[str, Any]]:
    return {str(row["observable"]): row for row in outcome.observables}


MOLECULES: dict[str, tuple[Any, dict[str, Any]]] = {
    "lithium hydride": (mole("Li 0 0 0; H 0 0 1.6"), {}),
    "a frozen core": (mole("Li 0 0 0; H 0 0 1.6"), {"frozen_core": 1}),
    "water, four in four": (mole("O 0 0 0.1; H 0 0.76 -0.48; H 0 -0.76 -0.48"), {"active_space": "4,4"}),
    "hydroxide": (mole("O 0 0 0; H 0 0 0.97", charge=-1), {"active_space": "6,4"}),
}


MASSES = {"H": 1.00782503, "He": 4.00260325, "Li": 7.0160034, "O": 15.99491462}  # of ¹H, ⁴He, ⁷Li, ¹⁶O in dalton


def centre_of_mass(built: Any) -> np.ndarray:
    """Return the centre of mass of the most common isotopes, in bohr."""
    masses = np.array([MASSES[built.atom_pure_symbol(i)] for i in range(built.natm)])
    return np.asarray(masses @ built.atom_coords() / masses.sum())


def dipole_of_pyscf(built: Any, electrons: int, orbitals: int) -> np.ndarray:
    """Return the dipole (e a0) of the lowest state of an active space, about the centre of mass."""
    field = scf.RHF(built).run()
    space = mcscf.CASCI(field, orbitals, electrons).run()
    origin = centre_of_mass(built)
    with built.with_common_orig(origin):
        electronic = -np.einsum("xij,ji->x", built.intor_symmetric("int1e_r"), space.make_rdm1())
    return np.asarray(electronic + built.atom_charges() @ (built.atom_coords() - origin))


@pytest.mark.parametrize(
    ("name", "ansatz"),
    [
        *(("water, four in four", "uccsd"), ("hydroxide", "auto"), ("hydroxide", "uccsd")),
        pytest.param("lithium hydride", "auto", marks=pytest.mark.slow),
        pytest.param("a frozen core", "uccsd", marks=pytest.mark.slow),
    ],
)
def test_a_dipole_is_that_of_pyscf(name: str, ansatz: str) -> None:
    built, options = MOLECULES[name]
    problem = problem_from_object(built)
    values = {**options, "ansatz": ansatz, "observables": "dipole"}
    found = rows(run(problem, noiseless_rounds(), **values))
    molecule = prepared("vqe", problem, settings_for("vqe", values), 3).problem.molecule  # type: ignore[attr-defined]
    expected = dipole_of_pyscf(built, sum(molecule.electrons), molecule.norb)
    suffix = " about the centre of mass" if built.charge else ""
    for letter, value in zip("xyz", expected, strict=True):
        row = found[f"dipole {letter}{suffix}"]
        assert row["simulated"] == pytest.approx(value, abs=8e-3)  # the circuit's state is not the exact one
        assert row["value"] == pytest.approx(row["simulated"], abs=1e-3 + row["rounding_bound"])


@pytest.mark.parametrize(
    "name",
    [
        "hydroxide",
        pytest.param("a frozen core", marks=pytest.mark.slow),
        pytest.param("water, four in four", marks=pytest.mark.slow),
    ],
)
def test_own_matrices_are_over_atomic_orbitals_or_those_of_the_file(name: str, tmp_path: Path) -> None:
    built, options = MOLECULES[name]
    with built.with_common_orig(centre_of_mass(built)):
        matrices = -built.intor("int1e_r")
    constant = built.atom_charges() @ (built.atom_coords() - centre_of_mass(built))
    own = {"one_body": matrices, "constant": constant}
    values: dict[str, Any] = {**options, "ansatz": "uccsd"}
    values["observables"] = {"dipole": None, "own": own, "z": matrices[2]}
    found = rows(run(problem_from_object(built), noiseless_rounds(), **values))
    suffix = " about the centre of mass" if built.charge else ""
    for letter in "xyz":
        for row in (found[f"own {letter}"], found[f"dipole {letter}{suffix}"]):
            assert row["simulated"] == pytest.approx(found[f"dipole {letter}{suffix}"]["simulated"], abs=1e-8)
            assert row["shots"] or letter != "z"
    assert found["z"]["simulated"] + constant[2] == pytest.approx(found["own z"]["simulated"], abs=1e-8)
    field = scf.RHF(built).run()
    fcidump.from_scf(field, str(tmp_path / "own.fcidump"), tol=1e-12)
    of_file = field.mo_coeff.T @ matrices @ field.mo_coeff
    values["observables"] = {"own": {"one_body": of_file, "constant": constant}}
    from_file = ProblemText(name="own", text=(tmp_path / "own.fcidump").read_text())
    for letter in "xyz":
        again = rows(run(from_file, noiseless_rounds(), **values))[f"own {letter}"]
        assert again["simulated"] == pytest.approx(found[f"own {letter}"]["simulated"], abs=2e-3)


def test_rounding_does_not_choose_the_sign_of_an_orbital_of_a_symmetric_molecule() -> None:
    built = mole("H 0 0 0; H 0 0 0.74")
    field = scf.RHF(built).run()
    texts = set()
    for shift in (-1e-12, 1e-12):
        again = field.copy()
        again.mo_coeff = field.mo_coeff * np.array([[1.0, 1.0 + shift], [1.0, 1.0 - shift]])
        found = parse_problem(problem_from_object(again))
        assert isinstance(found, Molecule)
        texts.add(tuple(np.sign(found.coefficients.orbitals[:, 1])))
    assert len(texts) == 1


def test_a_text_without_room_for_orbitals_takes_no_own_matrices() -> None:
    whole = parse_problem(problem_from_object(mole("H 0 0 0; H 0 0 0.74")))
    assert isinstance(whole, Molecule)
    text = molecule_text(whole, with_orbitals=False)
    assert len(text) < len(molecule_text(whole))
    values = {"ansatz": "uccsd", "observables": {"own": np.eye(2)}}
    with pytest.raises(InputError, match="no room for its orbitals"):
        prepared("vqe", ProblemText(name="H2", text=text), settings_for("vqe", values), 3)


@pytest.mark.parametrize("mapping", list(FermionMapping))
def test_own_products_of_fermions_are_over_the_circuits_orbitals(mapping: FermionMapping) -> None:
    number = FermionOperator("0^ 0") + FermionOperator("1^ 1")
    spins = 0.25 * sum(
        (
            (1 if one == other else -1) * FermionOperator(f"{one}^ {one} {2 + other}^ {2 + other}")
            for one in (0, 1)
            for other in (0, 1)
        ),
        FermionOperator(),
    ) + 0.5 * (FermionOperator("0^ 1 3^ 2") + FermionOperator("1^ 0 2^ 3"))
    values: dict[str, Any] = {
        "observables": {"occupations": None, "spin": None, "number": number, "spins": spins},
        "ansatz": "uccsd",
        "mapping": str(mapping),
    }
    found = rows(run(ProblemText(name="h2"), shot_rounds(1), **values))
    assert found["number"]["simulated"] == pytest.approx(found["occupation 1"]["simulated"], abs=1e-12)
    assert found["spins"]["simulated"] == pytest.approx(found["spin 1 · spin 2"]["simulated"], abs=1e-12)


def test_what_is_zero_at_all_angles_is_not_measured() -> None:
    problem = problem_from_object(MOLECULES["lithium hydride"][0])
    found = rows(run(problem, shot_rounds(1), observables="dipole", ansatz="uccsd", frozen_core=1))
    for letter in "xy":
        row = found[f"dipole {letter}"]
        assert (row["value"], row["standard_error"], row["shots"]) == (0.0, 0.0, 0)
        assert observable_text(row) == "0 e a0 at all angles of the circuit"


def exact_state(problem: ElectronicProblem) -> np.ndarray:
    return np.asarray(np.linalg.eigh(problem.hamiltonian.to_matrix())[1][:, 0])


@pytest.mark.parametrize("mapping", list(FermionMapping))
def test_operators_of_electrons_are_those_of_the_density_matrices(mapping: FermionMapping) -> None:
    small = parse_problem(problem_from_object(mole("H 0 0 0; H 0 0 0.9; H 0 0 1.9; H 0 0 2.8")))
    assert isinstance(small, Molecule)
    problem = electronic_problem(small, mapping)
    state = exact_state(problem)

    def value(operator: SparsePauliOp) -> float:
        return float((state.conj() @ (operator.to_matrix() @ state)).real)

    one = np.random.default_rng(1).normal(size=(4, 4))
    one += one.T
    density = np.array(
        [[value(problem.one_body_operator(_unit(p, q))) / (2 - (p == q)) for q in range(4)] for p in range(4)]
    )
    assert value(problem.one_body_operator(one)) == pytest.approx(np.sum(one * density))
    assert np.trace(density) == pytest.approx(4.0)
    total = sum(value(problem.spin_correlation_operator(p, q)) for p in range(4) for q in range(4))
    assert total == pytest.approx(value(problem.spin_squared_operator), abs=1e-9)


def _unit(p: int, q: int) -> np.ndarray:
    matrix = np.zeros((4, 4))
    matrix[p, q] = matrix[q, p] = 1.0
    return matrix


@pytest.mark.parametrize(
    ("problem", "values"),
    [
        (ProblemText(name="h2"), {"observables": "occupations,spin", "ansatz": "uccsd"}),
        (ProblemText(name="h2"), {"observables": "occupations", "mitigation": "readout", "ansatz": "uccsd"}),
        (ProblemText(name="chain", text=HEISENBERG), {"observables": "magnetization,correlations", "precision": 0.05}),
    ],
)
def test_values_are_within_their_errors(problem: ProblemText, values: dict[str, Any]) -> None:
    """The sum of squares over standard errors of n values is below n + 5 √(2 n) in all but some of a million."""
    squares, number = 0.0, 0
    for seed in range(20):
        if number >= 40:
            break
        for row in run(problem, shot_rounds(seed), **values).observables:
            precision = 0.005 if str(row["observable"]).startswith("occupation") else 0.01
            assert row["standard_error"] <= precision
            if row["standard_error"] > 1e-9:
                squares += ((row["value"] - row["simulated"]) / row["standard_error"]) ** 2
                number += 1
            else:
                assert row["value"] == pytest.approx(row["simulated"], abs=1e-9)
    assert number >= 40
    assert squares <= number + 5.0 * np.sqrt(2.0 * number)


def test_the_dipole_of_lithium_hydride_takes_a_fifth_more_shots_at_most() -> None:
    problem = problem_from_object(MOLECULES["lithium hydride"][0])
    alone = run(problem, shot_rounds(1), ansatz="puccd")
    beside = run(problem, shot_rounds(1), ansatz="puccd", observables="dipole")
    (row,) = (row for name, row in rows(beside).items() if name == "dipole z")
    assert row["standard_error"] <= 0.01
    assert beside.history[-1].total_shots <= 1.2 * alone.history[-1].total_shots


def test_noise_that_shifts_an_operator_is_said() -> None:
    asked = {"observables": "occupations", "ansatz": "uccsd"}
    outcome = run(ProblemText(name="h2"), shot_rounds(2, two_qubit_error=0.1), **asked)
    texts = [observable_text(row) for row in outcome.observables]
    assert any("off by more than shot noise" in text for text in texts)
    quiet = run(ProblemText(name="h2"), shot_rounds(2), **asked)
    assert not any("off by" in observable_text(row) for row in quiet.observables)


def test_a_smaller_error_takes_more_shots() -> None:
    runs = [
        run(
            ProblemText(name="h2"), shot_rounds(2), observables="occupations", ansatz="uccsd", observable_precision=each
        )
        for each in (0.02, 0.0005)
    ]
    shots = [outcome.history[-1].total_shots for outcome in runs]
    assert shots[1] > 2 * shots[0]


def test_a_cap_leaves_larger_errors_and_no_value_where_nothing_was_measured() -> None:
    rounds, asked = shot_rounds(3), 0

    def capped(pubs: Any, /) -> Any:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise RoundTooLarge("max_shots", "all is spent", "Raise it.")
        return rounds(pubs)

    outcome = run(ProblemText(name="h2"), capped, observables="spin", ansatz="uccsd", observable_precision=1e-4)
    assert all(row["standard_error"] > 1e-4 for row in outcome.observables if row["standard_error"])
    unmeasured = row_of(NamedOperator("x", SparsePauliOp("Z"), 0.1), None, None)
    assert observable_text(unmeasured) == "not measured"


def test_own_operators_are_files_texts_or_objects_on_the_circuits_qubits(tmp_path: Path) -> None:
    path = tmp_path / "bond.txt"
    path.write_text("ZZII 0.5\nXXII 0.5\n")
    operator = SparsePauliOp(["ZZII", "XXII"], [0.5, 0.5])
    chain = ProblemText(name="chain", text=HEISENBERG)
    found = [
        rows(run(chain, shot_rounds(1), observables=given, precision=0.05))["bond"]
        for given in (f"correlations,bond={path}", {"bond": operator}, {"bond": "ZZII 0.5\nXXII 0.5"}, {"bond": path})
    ]
    for row in found:
        assert row["simulated"] == pytest.approx(found[0]["simulated"], abs=1e-9)
        assert abs(row["value"] - row["simulated"]) <= 5.0 * row["standard_error"]


def test_operators_have_one_order_so_that_a_resumed_run_has_its_digits() -> None:
    first, second = (VqeSettings.model_validate({"observables": given}) for given in ("spin,dipole", "dipole,spin"))
    assert list(first.observables or ()) == list(second.observables or ()) == ["dipole", "spin"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nope", "no known operator"),
        ("bond=ZZZ 1.0", "the operator bond has 3 qubits, and the circuit uccsd has 2"),
        ("bond=none.txt", "the operator bond"),
        ("dipole=ZZ 1.0", "can't name an operator"),
        ("a=ZZ 1.0,a=XX 1.0", "each name once"),
        ({"bond": 3}, "no problem can be read"),
        ({"bond": np.eye(3)}, "matrices of 3 rows, and h2 has 2 orbitals of its file"),
        ({"bond": np.array([[0.0, 1.0], [0.0, 0.0]])}, "not symmetric"),
        ({"bond": np.eye(2)[0]}, "one_body"),
        ({"bond": '{"one_body": [[1, 2]]}'}, "not square"),
        ({"bond": '{"one_body": [[1, 0], [0, 1]], "constant": [1, 2]}'}, "not as many as the constants"),
        ({"bond": '{"fermions": [[[[9, 1], [9, 0]], 1.0]]}'}, "spin orbitals above 3"),
        ({"bond": '{"fermions": [[[[0, 1], [2, 0]], 1.0]]}'}, "not Hermitian"),
        ({"bond": '{"fermions": [[[[0, 1], [1, 0]], 1.0], [[[1, 1], [0, 0]], 1.0]]}'}, "two parities"),
        ({"bond": json.dumps({"fermions": [[[[0, 1], [0, 0]] * 7, 1.0]]})}, "at most 12 items"),
        ({"bond": '{"fermions": []}'}, None),
        ("", "no known operator"),
    ],
)
def test_own_operators_that_do_not_fit_are_refused(given: Any, message: str | None) -> None:
    if message is None:
        prepared("vqe", ProblemText(name="h2"), settings_for("vqe", {"observables": given, "ansatz": "uccsd"}), 3)
        return
    with pytest.raises(InputError, match=message):
        prepared("vqe", ProblemText(name="h2"), settings_for("vqe", {"observables": given, "ansatz": "uccsd"}), 3)


@pytest.mark.parametrize(("algorithm", "problem"), [("adapt", "heh+"), ("levels", "h2")])
def test_other_searches_for_energies_have_them(algorithm: str, problem: str) -> None:
    outcome = run(ProblemText(name=problem), shot_rounds(4), algorithm, observables="occupations")
    assert len(outcome.observables) == 2
    for row in outcome.observables:
        assert row["standard_error"] <= 0.005
        assert abs(row["value"] - row["simulated"]) <= 5.0 * row["standard_error"] + 1e-9


def test_levels_of_a_pauli_sum_have_no_operators_beside_them() -> None:
    with pytest.raises(InputError, match="observables"):
        prepared("levels", ProblemText(name="chain", text=HEISENBERG), settings_for("levels", BESIDE_LEVELS), 3)


def test_pairs_show_spins_and_moves_of_electrons_without_a_shot() -> None:
    move = json.dumps({"fermions": [[[[4, 1], [0, 0]], 1.0], [[[0, 1], [4, 0]], 1.0]]})
    outcome = run(ProblemText(name="h4"), noiseless_rounds(), ansatz="puccd", observables={"spin": None, "move": move})
    found = rows(outcome)
    assert {found[name]["value"] for name in ("spin squared", "spin 1 · spin 2", "move")} == {0.0}
    assert not any(row["shots"] for row in found.values())


@pytest.mark.parametrize("given", ["spin", {"number": json.dumps({"fermions": [[[[0, 1], [0, 0]], 1.0]]})}])
def test_an_open_circuit_has_the_operators_that_are_asked_for(given: Any) -> None:
    problem, circuits = ProblemText(name="h2"), ("auto", "uccsd")
    both = [run(problem, noiseless_rounds(), ansatz=each, observables=given) for each in circuits]
    ours, uccsds = ([row["value"] for row in each.observables] for each in both)
    assert ours == pytest.approx(uccsds, abs=1e-3)


def test_a_pauli_sum_beside_the_energy_decides_how_many_qubits_the_circuit_has() -> None:
    for width in (5, 8):
        settings = settings_for("vqe", {"observables": {"own": f"{'Z' * width} 1.0"}})
        assert prepared("vqe", ProblemText(name="lih-frozen-core"), settings, 3).facts.num_qubits == width
    with pytest.raises(InputError, match="qubits"):
        prepared(
            "vqe", ProblemText(name="lih-frozen-core"), settings_for("vqe", {"observables": {"own": "ZZZ 1.0"}}), 3
        )


def test_a_scan_has_the_operators_of_each_point() -> None:
    points = '{"points": [{"name": "h2-0.3"}, {"name": "h2"}, {"name": "h2-1.6"}]}'
    problem = ProblemText(name="curve", text=points)
    outcome = run(problem, shot_rounds(1), "scan", observables="occupations", ansatz="uccsd")
    filled = [row["value"] for row in outcome.observables if row["observable"] == "occupation 1"]
    assert filled == sorted(filled, reverse=True)
    assert [row["point"] for row in outcome.observables] == ["h2-0.3"] * 2 + ["h2"] * 2 + ["h2-1.6"] * 2
    assert all(row["standard_error"] <= 0.005 for row in outcome.observables)


@pytest.mark.parametrize(
    ("problem", "values", "message"),
    [
        ("h2", {"observables": "dipole"}, "the dipole needs a geometry"),
        ("h2", {"observables": "magnetization"}, "is of the spins of a Pauli sum"),
        ("heisenberg-4", {"observables": "spin"}, "is of electrons"),
    ],
)
def test_an_operator_that_a_problem_does_not_have_is_refused(
    problem: str, values: dict[str, Any], message: str
) -> None:
    name = ProblemText(name="chain", text=HEISENBERG) if problem == "heisenberg-4" else ProblemText(name=problem)
    with pytest.raises(InputError, match=message):
        prepared("vqe", name, settings_for("vqe", values), 3)
