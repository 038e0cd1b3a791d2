"""A text is told by its looks: every built-in problem, each form that is read, and nothing else for one of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.algorithms.kinds import OF_ASSIGNMENTS, OF_ENERGIES, Kind, kind_of
from hybridloop.data import load

FCIDUMP = (Path(__file__).parents[1] / "data" / "H2_0.735.fcidump").read_text()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (FCIDUMP, Kind.FCIDUMP),
        ("\ufeff\n &fci norb=2,nelec=2\n", Kind.FCIDUMP),
        ('{"terms": {"ZZ": -1.0}}', Kind.PAULI_SUM),
        ('{"schema_name": "qcschema_output", "properties": {}, "wavefunction": {}}', Kind.QCSCHEMA),
        ("2\nH2\nH 0 0 0\nH 0 0 0.735\n", Kind.GEOMETRY),
        ("# roads\noslo bergen 4\nbergen, stavanger\n", Kind.EDGE_LIST),
        ("% rudy\n3 2\n1 2 1\n2 3 -1\n", Kind.EDGE_LIST),
        ('<?xml version="1.0"?><graphml><graph/></graphml>', Kind.GRAPHML),
        ('{"nodes": [], "links": []}', Kind.NODE_LINK),
        ('{"qubo": {"variables": 2, "terms": [[0, 1, 1]]}}', Kind.BINARY),
        ('{"h": [1], "J": []}', Kind.BINARY),
        ('{"numbers": [3, 1]}', Kind.BINARY),
        ('{"returns": [1], "covariance": [[1]], "risk_aversion": 1, "budget": 1}', Kind.BINARY),
        ('{"linear_biases": [1.0], "variable_labels": ["a"]}', Kind.BINARY),
        ('// by hand\nOPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\n', Kind.CIRCUIT),
        ("shots: 100\nfailure:\n  retries: 5\n", Kind.SETTINGS),
        ("algorithm: vqe\nproblems:\n  - h2\n", Kind.SETTINGS),
        ("", None),
        ("hello world, this is a letter\n", None),
        ("oslo bergen far\n", None),
        ('{"qubo": [], "terms": {}}', None),
        ('{"mine": 1}', None),
        ("[1, 2]", None),
        ("<html></html>", None),
    ],
)
def test_a_text_looks_like_what_it_is(text: str, kind: Kind | None) -> None:
    assert kind_of(text) == kind


def test_every_built_in_problem_looks_like_one_of_its_own_side() -> None:
    assert {kind_of(entry["fcidump"]) for entry in load("problems").values()} == {Kind.FCIDUMP}
    assert {kind_of(entry["text"]) for entry in load("binary_problems").values()} <= OF_ASSIGNMENTS
    assert not OF_ENERGIES & OF_ASSIGNMENTS


@given(st.text(max_size=300) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_no_text_is_too_odd_to_be_looked_at(text: str) -> None:
    assert kind_of(text) in {None, *Kind}
