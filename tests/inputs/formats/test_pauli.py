"""Pauli sum problems: reading, exact energies and refused text."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.errors import ProblemError
from hybridloop.inputs.formats.energies import read_pauli_sum
from tests.spin_models import MATRICES

LABELS = st.text("IXYZ", min_size=3, max_size=3)


@given(st.lists(st.tuples(LABELS, st.floats(-2, 2)), min_size=1, max_size=8))
def test_a_list_of_terms_is_their_sum_of_kronecker_products(terms: list[tuple[str, float]]) -> None:
    problem = read_pauli_sum(json.dumps({"terms": terms}), "drawn")
    dense = np.zeros((8, 8), complex)
    for label, coefficient in terms:
        dense += coefficient * functools.reduce(np.kron, [MATRICES[letter] for letter in label])
    np.testing.assert_allclose(problem.hamiltonian.to_matrix(), dense, atol=1e-12)
    lowest = problem.exact_ground_energy()
    assert lowest == pytest.approx(np.linalg.eigvalsh(dense)[0], abs=1e-9)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "no terms"),
        ("[1]", None, "term 1"),
        ('{"terms":\n {"ZZ": 1.0,}}', 2, "not JSON"),
        ('{"terms": {}}', None, "no terms"),
        ('{"paulis": {"Z": 1}}', None, "'paulis'"),
        ('{"terms": {"ZZ": 1.0,\n "XQ": 0.5}}', None, "'XQ'"),
        ('{"terms": {"ZZ": 1.0,\n "X": 0.5}}', None, "1 letter"),
        ('{"terms": {"ZZ": 1.0,\n "XX": NaN}}', None, "NaN"),
        ('{"terms": {"ZZ": 1.0,\n "XX": 1e999}}', None, "1e999"),
        ('{"terms": {"ZZ": 1.0,\n "XX": [0, 1]}}', None, "'XX'"),
        ('{"terms": {"ZZ": 1.0,\n "XX": true}}', None, "'XX'"),
        ('{"terms": {"ZZ": 1.0,\n "ZZ": 2.0}}', None, "twice"),
        ('{"terms": [["ZZ", 1.0, 2.0]]}', None, "term 1"),
        ('{"terms": [["ZZ", 1e308], ["ZZ", 1e308]]}', None, "above 1e+100"),
        ('{"terms": {"": 1.0}}', None, "''"),
        ('{"terms": ' + "[" * 100_000, None, "deeply"),
        ('{"terms": {"Z": ' + "9" * 5000 + "}}", None, "digits"),
    ],
)
def test_malformed_text_is_refused_with_its_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(ProblemError, match=r"operator\.json") as caught:
        read_pauli_sum(text, "operator.json")
    assert message in str(caught.value)
    assert caught.value.line == line
