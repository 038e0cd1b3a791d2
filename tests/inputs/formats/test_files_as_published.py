"""Files as people publish them: what is read has the optimum of brute force over its own lines, the rest is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import pytest

from hybridloop.errors import InputError
from hybridloop.inputs.formats.binary import read_binary_problem

GRAPHML = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="undirected">{}</graph></graphml>'
GEXF = (
    '<gexf xmlns="http://www.gexf.net/1.2draft" version="1.2"><graph defaultedgetype="undirected"><nodes>{}'
    '<node id="a" label="a"/><node id="b" label="b"/></nodes><edges>{}</edges></graph></gexf>'
)
NODES = '<node id="a"/><node id="b"/>'
Weights = Mapping[tuple[int, int], float]


def cut(weights: Weights) -> Callable[[Sequence[int]], float]:
    """Return the negative weight of the edges between both sides."""
    return lambda bits: -sum(weight for (i, j), weight in weights.items() if bits[i] != bits[j])


def qubo(terms: Weights, offset: float = 0.0) -> Callable[[Sequence[int]], float]:
    return lambda bits: offset + sum(value * bits[i] * bits[j] for (i, j), value in terms.items())


def spins(terms: Weights, offset: float = 0.0) -> Callable[[Sequence[int]], float]:
    """Return the energy of spins 1 − 2x; entries (i, i) are fields."""

    def energy(bits: Sequence[int]) -> float:
        signs = [1 - 2 * bit for bit in bits]
        return offset + sum(value * (signs[i] if i == j else signs[i] * signs[j]) for (i, j), value in terms.items())

    return energy


@pytest.mark.parametrize(
    ("text", "labels", "energy"),
    [
        (
            "c qbsolv\np qubo unconstrained 3 2 1\n0 0 1\n1 1 -1\n0 1 2\n",
            "012",
            qubo({(0, 0): 1, (1, 1): -1, (0, 1): 2}),
        ),
        (",a,b,c\nb,1,0,3\na,0,1,2\nc,2,3,0\n", "abc", cut({(0, 1): 1, (0, 2): 2, (1, 2): 3})),
        ("0 1\n1 2\n", "012", cut({(0, 1): 1, (1, 2): 1})),
        ("0 1\n1 2\n2 3\n", "0123", cut({(0, 1): 1, (1, 2): 1, (2, 3): 1})),
        ("0 1 5\n1 2 6\n", "012", cut({(0, 1): 5, (1, 2): 6})),
        ("0 1 5\n1 2 6\n2 0 7\n", "012", cut({(0, 1): 5, (1, 2): 6, (0, 2): 7})),
        ("# vartype=SPIN offset=3\n0 0 1.0\n0 1 2.0\n", "01", spins({(0, 0): 1, (0, 1): 2}, 3)),
        ("# vartype=BINARY\n# offset=-3.5\n0 0 1.0\n0 1 -2.0\n", "01", qubo({(0, 0): 1, (0, 1): -2}, -3.5)),
        ("Start;Ziel\n0;1\n1;2\n", "012", cut({(0, 1): 1, (1, 2): 1})),
        ("Start;Ziel\n0;1\n1;2\n2;3\n", "0123", cut({(0, 1): 1, (1, 2): 1, (2, 3): 1})),
        (GRAPHML.format(NODES + '<edge source="a" target="b"/>'), "ab", cut({(0, 1): 1})),
        (GEXF.format("", '<edge id="0" source="a" target="b"/>'), "ab", cut({(0, 1): 1})),
    ],
)
def test_what_is_read_has_the_optimum_of_its_lines(
    text: str, labels: str, energy: Callable[[Sequence[int]], float]
) -> None:
    problem = read_binary_problem(text, "file")
    assert problem.labels == tuple(labels)
    assignments = list(itertools.product((0, 1), repeat=len(labels)))
    values = problem.sign * problem.objective.energies(assignments)
    assert values.tolist() == pytest.approx([energy(bits) for bits in assignments])
    assert problem.sign * problem.optimum.bound == pytest.approx(min(map(energy, assignments)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GRAPHML.format(NODES + '<edge source="a" target="c"/>'), "the edge names 'c', which is no node"),
        (GRAPHML.format("hello" + NODES + '<edge source="a" target="b"/>'), "there is text in <graph>: 'hello'"),
        (GRAPHML.format(NODES + '<edge source="a" target="b">5</edge>'), "there is text in <edge>: '5'"),
        (GEXF.format("", '<edge id="0" source="a" target="c"/>'), "the edge names 'c', which is no node"),
        (GEXF.format("xx", '<edge id="0" source="a" target="b"/>'), "there is text in <nodes>: 'xx'"),
        ("caf\u00e9 bar\nbar cafe\u0301\n", "two names look alike"),
        ('{"qubo": {"variables": ["\u00e9", "e\u0301"], "terms": [["\u00e9", "e\u0301", 1]]}}', "two names look alike"),
        ("# vartype=SPIN offset=much\n0 0 1.0\n", "states the offset 'much', no number"),
        ("0 1 2\n1 0 2\n2 0 1\n", "the edge between '1' and '0' is given twice"),  # a regular adjacency list
        *(
            (f"AAPL,MSFT\n{rows}", "'AAPL' and 'MSFT' are in no other row")
            for rows in ("100,200\n101,199\n", "100,200\n101,199\n102,198\n")
        ),
        *((f"{rows}", "'a' and 'b' are in no other row") for rows in ("a b\nc d\ne f\n", "a b\nc d\ne f\ng h\n")),
        ("date,AAPL,MSFT\n2026-01-01,100,200\n2026-01-02,101,199\n", "this is a table, and not the edges of a graph"),
    ],
)
def test_what_could_be_read_wrongly_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_binary_problem(text, "file")
