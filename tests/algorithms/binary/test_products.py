"""Problems with products of three and more variables: circuits beside exponentials, values by brute force."""

from __future__ import annotations

import json
from collections.abc import Mapping

import dimod
import numpy as np
import pytest
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector

from hybridloop.algorithms.binary.ising import Ising, Spins
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.binary.problem_kinds import Clause, low_autocorrelation, max_sat
from hybridloop.algorithms.choices import GraphObjective
from hybridloop.algorithms.circuits.basis import two_qubit_gates
from hybridloop.algorithms.qaoa.angles import expected_mean, with_simulated_angles
from hybridloop.algorithms.qaoa.circuit import qaoa_circuit
from hybridloop.algorithms.qaoa.recursive import rqaoa
from hybridloop.algorithms.qaoa.search import qaoa
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.binary import read_binary_problem
from hybridloop.inputs.formats.detect import detect_format
from hybridloop.inputs.problems import read_problem
from hybridloop.preparation.binary import read_binary
from hybridloop.settings import ProblemText
from hybridloop.settings.input_format import InputFormat
from tests.algorithms.batched_state_helpers import noiseless_rounds


def random_polynomial(seed: int) -> Ising:
    rng = np.random.default_rng(seed)
    count, order = int(rng.integers(5, 8)), 2 + seed % 4
    terms = dict[Spins, float]()
    for _ in range(12):
        spins = rng.choice(count, rng.integers(1, order + 1), replace=False)
        terms[tuple(sorted(spins.tolist()))] = float(rng.normal())
    terms[tuple(range(order))] = 1.0  # the order itself
    return Ising.of(count, terms.items())


def by_definition(terms: Mapping[tuple[int, ...], float], count: int) -> np.ndarray:
    """Return the energy of each assignment of bits, bit i of the index for variable i."""
    values = []
    for index in range(1 << count):
        bits = [index >> i & 1 for i in range(count)]
        values.append(sum(value * all(bits[i] for i in product) for product, value in terms.items()))
    return np.array(values)


def energies_of(problem: BinaryProblem) -> np.ndarray:
    return problem.objective.all_energies()


@pytest.mark.parametrize("seed", range(8))
def test_the_energies_are_those_of_the_operator(seed: int) -> None:
    cost = random_polynomial(seed)
    energies = cost.all_energies()
    np.testing.assert_allclose(energies, np.real(np.diag(Operator(cost.operator()).data)), atol=1e-12)
    bits = np.arange(len(energies))[:, None] >> np.arange(cost.num_variables) & 1
    np.testing.assert_allclose(cost.energies(bits), energies, atol=1e-12)
    np.testing.assert_allclose(cost.plus(cost.scaled(0.5)).all_energies(), 1.5 * energies, atol=1e-12)


def test_shared_ladders_take_fewer_gates_than_a_ladder_for_each_term() -> None:
    cost = low_autocorrelation(12).cost
    gates = two_qubit_gates(qaoa_circuit(low_autocorrelation(12), layers=1).circuit)
    assert gates < 0.5 * sum(2 * (len(spins) - 1) for spins in cost.terms)


def test_two_layers_raise_the_probability_of_the_best_sequences_of_12() -> None:
    problem = low_autocorrelation(12)
    circuit, why = with_simulated_angles(qaoa_circuit(problem, layers=2))
    assert why.startswith("optimized on a classical simulation of 12")
    shares = Statevector(circuit.circuit.assign_parameters(circuit.initial_point)).probabilities()
    best = np.isclose(energies_of(problem), 10.0)
    assert shares[best].sum() >= 3.0 * best.sum() / 4096
    rng = np.random.default_rng(1)
    for index in rng.choice(4096, 20, p=shares / shares.sum()):
        spins = [1 - 2 * (int(index) >> i & 1) for i in range(12)]
        energy = sum(sum(a * b for a, b in zip(spins, spins[lag:], strict=False)) ** 2 for lag in range(1, 12))
        assert energies_of(problem)[index] == energy


@pytest.mark.parametrize(("length", "energy"), [(3, 1), (5, 2), (7, 3), (11, 5), (13, 6), (10, 13)])
def test_the_best_sequences_have_the_energies_of_the_literature(length: int, energy: int) -> None:
    """S. Mertens, J. Phys. A 29 (1996) L473, table 1; Barker sequences of 3, 5, 7, 11, 13."""
    assert read_binary(ProblemText(name=f"labs-{length}"), GraphObjective.MAX_CUT).optimum.found == energy


@pytest.mark.parametrize("is_weighted", [False, True])
def test_clauses_are_counted_as_brute_force_counts_them(*, is_weighted: bool) -> None:
    rng = np.random.default_rng(5)
    literals = [rng.choice([-1, 1], 3) * (1 + rng.choice(12, 3, replace=False)) for _ in range(40)]
    weights = [int(rng.integers(1, 9)) if is_weighted else 1 for _ in literals]
    words = [" ".join(map(str, clause)) for clause in literals]
    lines = [f"{weight if is_weighted else ''} {word} 0" for weight, word in zip(weights, words, strict=True)]
    text = f"c random\np {'wcnf' if is_weighted else 'cnf'} 12 40\n" + "\n".join(lines)
    problem = read_binary_problem(text, "random")
    values = energies_of(problem)
    for index in range(4096):
        held = [any((index >> abs(x) - 1 & 1) == (x > 0) for x in clause) for clause in literals]
        assert values[index] == pytest.approx(sum(w for w, holds in zip(weights, held, strict=True) if holds))
    assert problem.optimum.found == pytest.approx(values.max())
    assert "MaxSAT of 12 variables, 40 clauses" in problem.title


@pytest.mark.parametrize(
    "text",
    [
        "p wcnf 3 4 100\n100 1 2 0\n100 -1 -2 0\n3 3 0\n2 -3 1 0\n",
        "c new form\nh 1 2 0\nh -1 -2 0\n3 3 0\n2 -3 1 0\n",
        "3 3 0\nh 1 2 0\nh -1 -2 0\n2 -3 1 0\n",
    ],
)
def test_hard_clauses_are_a_constraint(text: str) -> None:
    problem = read_binary_problem(text, "hard")
    assert problem.extremes == (5.0, 2.0)
    bits = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1]])
    assert problem.is_feasible(bits).tolist() == [False, True, False]
    assert int(np.argmin(problem.cost.all_energies())) == 0b101


def test_hard_clauses_that_contradict_each_other_are_refused() -> None:
    problem = max_sat(1, [Clause({0: True}, None), Clause({0: False}, None), Clause({0: True})])
    with pytest.raises(InputError, match="no assignment meets all 2 hard clauses"):
        problem.check_feasible()
    wide = max_sat(24, [Clause({0: True}, None), Clause({0: False}, None), *(Clause({i: True}) for i in range(24))])
    with pytest.raises(InputError, match="no assignment meets all 2 hard clauses"):
        wide.check_feasible()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p cnf 2 1\n1 3 0\n", "states 2 variables and 1 clauses, and 3 and 1 follow"),
        ("p cnf 2 2\n1 2 0\n", "and 2 and 1 follow"),
        ("p cnf 2 1\n1 2\n", "no 0 at its end"),
        ("p cnf 2 1\n1 x 0\n", "'x' is no literal"),
        ("p cnf 2 1\n1 -1 0\n", "always holds"),
        ("p cnf 2\n1 0\n", "`p` is malformed"),
        ("p wcnf 2 1\n-3 1 0\n", "weight is -3"),
        ("p wcnf 2 1\n1e400 1 0\n", "weight is 1e400"),
        ("p cnf 14 1\n" + " ".join(map(str, range(1, 15))) + " 0\n", "14 variables, and at most 12"),
        ("p cnf 0 0\n", "it has 0 variables"),
        (f"p cnf {'9' * 5000} 1\n1 0\n", "`p` is malformed"),
        ("p cnf 99999 1\n1 0\n", "it has 99999 variables"),
    ],
)
def test_malformed_clauses_are_refused(text: str, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        read_binary_problem(text, "clauses")


@pytest.mark.parametrize(
    ("text", "form"),
    [("h 0 0 0\nh 0 0 0.74\n", InputFormat.ATOMS), ("h 0\nh 1\nh 2\n", None), ("h 1\nh 2 0\n", None)],
)
def test_atoms_and_edges_of_a_node_h_are_no_clauses(text: str, form: InputFormat | None) -> None:
    assert detect_format(text) is form


def test_satlib_s_files_end_with_a_percent_sign() -> None:
    assert energies_of(read_binary_problem("p cnf 2 2\n1 2 0\n-1 0\n%\n0\n", "uf")).tolist() == [1, 1, 2, 1]


TERMS = {(0, 1, 2): 2.0, (1, 2): -1.5, (0,): -0.5, (0, 1, 2, 3): -1.0, (): 0.25}


def test_a_polynomial_is_read_from_json_and_from_objects() -> None:
    expected = by_definition(TERMS, 4)
    rows = [[*product, value] for product, value in TERMS.items() if product]
    documents = [
        {"polynomial": {"variables": 4, "terms": rows}, "offset": 0.25},
        {
            "polynomial": {
                "variables": ["0", "1", "2", "3"],
                "terms": [[*map(str, row[:-1]), row[-1]] for row in rows],
            },
            "offset": 0.25,
            "vartype": "BINARY",
        },
    ]
    for document in documents:
        np.testing.assert_allclose(energies_of(read_binary_problem(json.dumps(document), "p")), expected)
    for value in (dimod.BinaryPolynomial(TERMS, "BINARY"), TERMS):
        problem = read_problem(value)
        read = read_binary(problem, GraphObjective.MAX_CUT)
        order = [int(label) for label in read.labels]
        places = {tuple(order.index(i) for i in product): v for product, v in TERMS.items()}
        np.testing.assert_allclose(energies_of(read), by_definition(places, 4))


def test_spins_of_any_order_are_read_alike_in_all_forms() -> None:
    polynomial = dimod.BinaryPolynomial({(0, 1, 2): 2.0, (1, 2): -1.5, (0,): -0.5}, "SPIN")
    fields, couplings, offset = polynomial.to_hising()
    given = [
        read_problem(polynomial),
        read_problem({"h": fields, "J": couplings, "offset": offset}),
        read_problem(SparsePauliOp(["ZZZ", "ZZI", "IIZ"], [2.0, -1.5, -0.5])),
        ProblemText(name="rows", text='{"h": [-0.5, 0, 0], "J": [[0, 1, 2, 2.0], [1, 2, -1.5]]}'),
    ]
    for problem in given:
        read = read_binary(problem, GraphObjective.MAX_CUT)
        for index, energy in enumerate(energies_of(read)):
            spins = {int(label): 1 - 2 * (index >> i & 1) for i, label in enumerate(read.labels)}
            assert energy == pytest.approx(polynomial.energy(spins))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"polynomial": [[0, 1, 2, 1.0]]}', "no object with terms"),
        ('{"polynomial": {"variables": 2, "terms": [[0, 2, 1.0]]}}', "indices outside 0 to 1"),
        ('{"polynomial": {"variables": 2, "terms": [[0, "x"]]}}', r"not \[i, j, value\]"),
        ('{"polynomial": {"variables": 1, "terms": [[0, 1]]}, "vartype": "QUTRIT"}', "BINARY or SPIN"),
        ('{"qubo": {"variables": 3, "terms": [[0, 1, 2, 1.0]]}}', "Give it as 'polynomial'"),
        ('{"h": [0, 0, 0], "J": [[0, 1, 1, 1.0]]}', "couples spin 1 to itself"),
        ('{"labs": 2}', "a sequence of 2 spins is not taken"),
        ('{"labs": "12"}', "the length is '12'"),
        (
            json.dumps({"polynomial": {"variables": 21, "terms": [[*range(21), 1.0]]}}),
            "more than 1,000,000 terms of spins",
        ),
    ],
)
def test_malformed_polynomials_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_binary_problem(text, "mine")


def test_recursion_eliminates_spins_by_products() -> None:
    problem = low_autocorrelation(8)
    result = rqaoa(problem, noiseless_rounds(), shots=4000)
    bits = [[int(bit) for bit in reversed(str(result.best_bitstring))]]
    assert problem.objective.energies(bits)[0] == result.best_value
    assert result.best_value == 8.0
    assert result.rounds <= 5


def test_a_run_measures_the_mean_of_a_polynomial() -> None:
    problem = read_binary_problem("p cnf 3 3\n1 2 -3 0\n-1 0 2\n3 0\n", "short")
    circuit, _ = with_simulated_angles(qaoa_circuit(problem, layers=1))
    result = qaoa(circuit, noiseless_rounds(), shots=100_000)
    shares = Statevector(circuit.circuit.assign_parameters(circuit.initial_point)).probabilities()
    assert result.value == pytest.approx(float(shares @ energies_of(problem)), abs=1e-4)
    assert result.best_value == 3.0
    mean, is_exact = expected_mean(circuit, circuit.initial_point.tolist()) or (0.0, False)
    assert is_exact
    assert mean == pytest.approx(-result.value, abs=1e-4)
