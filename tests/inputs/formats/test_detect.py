"""Format detection: every built-in problem, each format that is read, and no text raises."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridloop.data import load_table
from hybridloop.inputs.formats.detect import detect_format
from hybridloop.settings.input_format import BINARY_FORMATS, ENERGY_FORMATS, InputFormat
from tests.long_form import long_form, short_or_long
from tests.paths import DATA

FCIDUMP = (DATA / "H2_0.735.fcidump").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FCIDUMP, InputFormat.FCIDUMP),
        ("\ufeff\n &fci norb=2,nelec=2\n", InputFormat.FCIDUMP),
        ('{"terms": {"ZZ": -1.0}}', InputFormat.PAULIS),
        ("2\nH2\nH 0 0 0\nH 0 0 0.735\n", InputFormat.XYZ),
        ("\n H 0 0 0 ;\n\nH 0. .5 -7.35e-1;\n", InputFormat.ATOMS),
        ("H 10 10 10; " * 40 + "X", None),  # must not try each way to divide the digits
        ("9" * 5000 + "\n\nH 0 0 0\n", None),
        ("# roads\noslo bergen 4\nbergen, stavanger 2\n", InputFormat.EDGES),
        ("% rudy\n3 2\n1 2 1\n2 3 -1\n", InputFormat.RUDY),
        ('<?xml version="1.0"?><graphml><graph/></graphml>', InputFormat.GRAPHML),
        ('{"nodes": [], "links": []}', InputFormat.NODE_LINK),
        ('{"qubo": {"variables": 2, "terms": [[0, 1, 1]]}}', InputFormat.BINARY),
        ('{"h": [1], "J": []}', InputFormat.BINARY),
        ('{"numbers": [3, 1]}', InputFormat.BINARY),
        ('{"returns": [1], "covariance": [[1]], "risk_aversion": 1, "budget": 1}', InputFormat.BINARY),
        ('{"linear_biases": [1.0], "variable_labels": ["a"]}', InputFormat.BINARY),
        ('// by hand\nOPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\n', InputFormat.CIRCUIT),
        ("shots: 100\nfailure:\n  retries: 5\n", InputFormat.SETTINGS),
        ("algorithm: vqe\nproblems:\n  - h2\n", InputFormat.SETTINGS),
        ("", None),
        ("hello world, this is a letter\nof two lines\n", None),
        ("oslo bergen far\n", None),
        ('{"qubo": [], "terms": {}}', None),
        ('{"mine": 1}', None),
        ("[1, 2]", None),
        ("<html></html>", None),
    ],
)
def test_the_format_is_detected_by_content(text: str, expected: InputFormat | None) -> None:
    assert detect_format(text) == expected


def test_every_built_in_problem_is_detected_as_its_kind() -> None:
    texts = [entry["fcidump"] for entry in load_table("problems").values() if "fcidump" in entry]
    assert {detect_format(text) for text in texts} == {InputFormat.FCIDUMP}
    assert {detect_format(entry["text"]) for entry in load_table("binary_problems").values()} <= BINARY_FORMATS
    assert not ENERGY_FORMATS & BINARY_FORMATS


@long_form
@settings(max_examples=short_or_long(30, 300))
@given(st.text(max_size=300) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_detection_never_raises(text: str) -> None:
    assert detect_format(text) in {None, *InputFormat}
