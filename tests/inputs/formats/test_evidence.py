"""A text that contradicts itself, or may be something else, is refused by its cause, and not read as another one."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.binary import read_binary_problem
from hybridloop.inputs.formats.detect import detect_format
from hybridloop.inputs.formats.energies import read_pauli_sum
from hybridloop.inputs.formats.geometry import read_geometry
from hybridloop.settings.input_format import InputFormat
from tests.inputs.formats.test_dialects import edges_of

WHOLE = st.integers(2, 12).flatmap(
    lambda n: st.lists(st.tuples(st.integers(1, n), st.integers(1, n), st.integers(10, 99)), min_size=3, max_size=12)
)


def drawn_graph(rows: list[tuple[int, int, int]]) -> list[tuple[int, int, float]]:
    found = {frozenset((a, b)): (a, b, weight / 10) for a, b, weight in rows if a != b}
    assume(len(found) >= 3)
    return list(found.values())


def taken(text: str) -> dict[frozenset[str], float] | None:
    try:
        return edges_of(read_binary_problem(text, "drawn"))
    except InputError:
        return None


@given(WHOLE, st.integers(0, 2**32))
def test_edges_that_are_changed_are_refused_or_the_same_graph(rows: list[tuple[int, int, int]], seed: int) -> None:
    edges, generator = drawn_graph(rows), random.Random(seed)
    lines = [f"{a} {b} {weight:.1f}" for a, b, weight in edges]
    text, expected = "\n".join(lines) + "\n", {frozenset((str(a), str(b))): w for a, b, w in edges}
    assert taken(text) == expected
    nodes = max(node for a, b, _ in edges for node in (a, b))
    assert taken(f"{nodes} {len(edges)}\n{text}") == expected
    chosen = generator.randrange(1, len(lines))  # a first line without its weight may be a count that is right
    a, b, weight = lines[chosen].split()
    start = text.rstrip().rfind("\n") + 1
    changed = {
        "cut within its last line": text[: generator.randrange(start + 1, len(text) - 1)],
        "with a wrong count": f"{nodes} {len(edges) + generator.choice([-1, 1, 7])}\n{text}",
        "with turned columns": "\n".join([*lines[:chosen], f"{weight} {a} {b}", *lines[chosen + 1 :], ""]),
        "with a real node": "\n".join([*lines[:chosen], f"{a}.5 {b} {weight}", *lines[chosen + 1 :], ""]),
        "without a weight": "\n".join([*lines[:chosen], f"{a} {b}", *lines[chosen + 1 :], ""]),
    }
    for what, other in changed.items():
        assert taken(other) in (None, expected), what


@given(st.lists(st.tuples(st.text("IXYZ", min_size=4, max_size=4), st.integers(100, 999)), min_size=3, max_size=8))
def test_pauli_tables_that_are_changed_are_refused_or_the_same_sum(rows: list[tuple[str, int]]) -> None:
    terms = {label: value / 100 for label, value in rows}
    assume(len(terms) >= 3)
    lines = [f"{value:.2f} {label}" for label, value in terms.items()]
    text = "\n".join(lines)
    for end in range(text.rfind("\n") + 2, len(text)):
        with pytest.raises(ProblemError):
            read_pauli_sum(text[:end], "cut")
    for changed in ([f"{lines[0]} 2", *lines[1:]], [lines[0].split()[1], *lines[1:]], [lines[0][:-1], *lines[1:]]):
        with pytest.raises(ProblemError):
            read_pauli_sum("\n".join(changed), "changed")
    turned = "\n".join([" ".join(reversed(lines[0].split())), *lines[1:]])
    assert dict(read_pauli_sum(turned, "turned").hamiltonian.to_list()) == terms


def test_a_format_that_is_given_forces_the_reading() -> None:
    text = "0 1 2.0 1082040961\n1 2 1.0 1082040962\n"
    problem = read_binary_problem(text, "forced", form=InputFormat.EDGES)
    assert edges_of(problem) == {frozenset("01"): 2.0, frozenset("12"): 1.0}
    assert problem.unused == ("column 4 of the edges",)
    rows = "4 3\n1 2\n2 3\n3 1\n"
    assert len(read_binary_problem(rows, "edges", form=InputFormat.EDGES).labels) == 4
    assert len(edges_of(read_binary_problem(rows, "edges", form=InputFormat.EDGES))) == 4
    assert len(edges_of(read_binary_problem(rows, "rudy", form=InputFormat.RUDY))) == 3


MISLEADING = {  # texts that may be taken for something else, and the cause that is said
    "a matrix or terms": ("1 1 2\n1 2 2\n2 2 -3\n", "a matrix or the terms of a QUBO"),
    "terms in JSON": ("[[0, 0, 1], [0, 1, 1], [1, 1, -2]]", "a matrix or the terms of a QUBO"),
    "decimal commas in CSV": ("1,2,1,5\n2,3,2,5\n3,4,1,5\n", "4 columns"),
    "printed tuples": ("(0, 1)\n(1, 2)\n(2, 0)\n(0, 3)\n", "bracket that is not closed"),
    "a printed array": ("array([[0, 1],\n       [1, 0]])", "bracket that is not closed"),
    "data in data": ("1 2 {'attr': {'weight': 9}}\n2 3 {}\n", "is not two nodes and their data"),
    "directed edges of Gephi": ("Source,Target,Type,Weight\n1,2,Directed,1.5\n2,3,Directed,2.5\n", "is directed"),
    "a matrix below its size": ("3 3\n0 1 1\n1 0 1\n1 1 0\n", "is given twice"),
    "nodes of pandas": ("source,target,weight\n1.0,2,5\n2.0,3,6\n", "'1.0' in a column of nodes"),
    "a number in two ways": ("01 02 1\n1 2 3\n2 3 1\n", "two names of nodes are one number"),
    "a variable above the count": ("p qubo 0 4 1 1\n0 0 1\n3 9 3\n", "not among 4 stated ones"),
    "an attribute of some edges": (
        "graph [\n node [ id 0 ]\n node [ id 1 ]\n node [ id 2 ]\n edge [ source 0 target 1 LineStyle 3 ]\n"
        " edge [ source 1 target 2 ]\n]\n",
        "has no 'LineStyle'",
    ),
    "names of columns over two rows": ("Person 1,Person 2\nAlice,Bob\nBob,Carl\n", "names of columns or an edge"),
    "neighbours with two weights": ("3 2 1\n2 5\n1 4 3 7\n2 7\n", "1 and 2 do not name each other with one weight"),
    "neighbours of fewer edges": ("3 3\n2\n1 3\n2\n", "3 edges, and the lines have 2"),
    "a weight of nothing": (
        '{"nodes": [{"id": 0}, {"id": 1}], "links": [{"source": 0, "target": 1, "weight": null}]}',
        "the weight 'None' is not a number",
    ),
    "blanks": ("1 2" + " " * 10**6 + "x\n2 3\n", "500 blanks"),
    "objects without equal names": (json.dumps([{f"k{n}": 0} for n in range(6000)]), "6000 names"),
}


@pytest.mark.parametrize("case", MISLEADING)
def test_a_text_that_may_be_something_else_is_refused_by_its_cause(case: str) -> None:
    text, message = MISLEADING[case]
    with pytest.raises(ProblemError, match=message):
        read_binary_problem(text, "misleading")


def test_rows_of_numbers_are_no_atoms_and_no_settings() -> None:
    assert detect_format("5,1,2,3\n1,6,1,2\n2,1,7,1\n3,2,1,8\n") is InputFormat.MATRIX
    assert detect_format("-1 -2 -3\n-2 -1 -4\n-3 -4 -1\n") is InputFormat.MATRIX
    for data in ('{"weight": 2.5}', "{'gewicht': 2.5}"):
        assert edges_of(read_binary_problem(f"1 2 {data}\n2 3 {data}\n", "data")) == {
            frozenset("12"): 2.5,
            frozenset("23"): 2.5,
        }
    for head in ("# vartype: SPIN", "# of a program, vartype=SPIN"):
        assert read_binary_problem(f"{head}\n0 0 1.0\n0 1 2.0\n1 1 3\n", "spins").kind == "ising"
    assert read_binary_problem("# vartype=BINARY\n0 1 2.0\n1 2 -1.0\n", "coo").kind == "qubo"
    links = {"nodes": [{"name": name} for name in "120"], "links": [{"source": 1, "target": 2, "value": 3}]}
    assert edges_of(read_binary_problem(json.dumps(links), "d3")) == {frozenset("20"): 3.0}


@pytest.mark.parametrize(
    ("comment", "charge"),
    [
        ("charge=-1.0", -1),
        ("total_charge=1 mult=2", 1),
        ("charge 2-", -2),
        ("the charge is fitted", None),
        ("Au dimer, E = -1.1 a.u.", None),
        ("charge=1e-5", "states charge '1e-5'"),
        ("charge=1 charge=2", "states charge {1, 2}"),
        ('Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3', "periodic"),
    ],
)
def test_a_comment_states_a_whole_charge_once(comment: str, charge: int | str | None) -> None:
    text = f"2\n{comment}\nH 0 0 0\nH 0,5 0 0,74\n"
    if isinstance(charge, str):
        with pytest.raises(ProblemError, match=charge):
            read_geometry(text, "molecule")
        return
    found = read_geometry(text, "molecule")
    assert (found.charge, found.atoms[1]) == (charge, ("H", (0.5, 0.0, 0.74)))
