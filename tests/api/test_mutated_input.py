"""Mutated input of every format that a user gives: it is taken or refused by one error, soon and with little memory."""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.api.sweep_input import read_sweep
from hybridloop.data import load_table
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import HybridloopError
from hybridloop.inputs.formats.binary import read_binary_problem
from hybridloop.inputs.problems import read_problem
from hybridloop.inputs.sources import Layer, resolve_settings
from hybridloop.inputs.yaml import read_yaml
from hybridloop.preparation.choices.circuit import choose_circuit
from hybridloop.preparation.problem import parse_problem
from hybridloop.settings import MAX_PROBLEM_BYTES, ProblemText
from tests.long_form import long_form, short_or_long
from tests.paths import DATA
from tests.reports.test_hostile_bundles import mutated

CPU_S = 5.0
MEMORY_KB = 1 << 20

H2 = load_table("problems")["h2"]["fcidump"]
LINKS = [{"source": "a", "target": "b", "weight": 1.5}, {"source": "b", "target": "c"}]
CIRCUIT = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float[64] a;\nqubit[2] q;\nrx(2*a) q[0];\ncx q[0], q[1];\n'
DIMOD = {
    **{"type": "BinaryQuadraticModel", "linear_biases": [1.0, 2.0], "quadratic_biases": [0.5], "offset": 0.5},
    **{"quadratic_head": [0], "quadratic_tail": [1], "variable_labels": ["a", "b"], "variable_type": "SPIN"},
}
PORTFOLIO = {"returns": [1, 2], "covariance": [[1, 0], [0, 1]], "risk_aversion": 0.5, "budget": 1}
BINARY = {
    "edges": "# towns\na b 1.5\nb c 2\n",
    "rudy": "3 2\n1 2 1\n2 3 -1\n",
    "graphml": '<graphml><key id="w" for="edge" attr.name="weight"/><graph edgedefault="undirected"><node id="a"/>'
    '<node id="b"/><edge source="a" target="b"><data key="w">1.5</data></edge></graph></graphml>',
    "node-link": json.dumps({"directed": False, "nodes": [{"id": "a"}, {"id": "b"}, {"id": "c"}], "links": LINKS}),
    "qubo": json.dumps({"qubo": [[1, 2], [0, -1]], "offset": 0.5}),
    "sparse": json.dumps({"qubo": {"variables": 2, "terms": [[0, 0, 1], [0, 1, 2]]}}),
    "ising": json.dumps({"h": [1, 0], "J": [[1, 0, -2.0]], "offset": 1}),
    "numbers": json.dumps({"numbers": [3, 1, 2]}),
    "portfolio": json.dumps(PORTFOLIO),
    "dimod": json.dumps(DIMOD),
}
ENERGY = {
    "fcidump": H2,
    "pauli": json.dumps({"terms": {"ZZ": -1.0, "XI": 0.5}}),
    "pauli list": json.dumps({"terms": [["ZZ", -1.0], ["XI", 0.5]]}),
}
ALGORITHMS = {"shots": 100, "failure": {"retries": 2}, "max_cost": "5USD", "ansatz": "uccsd", "deadline": "8h"}
SWEEP = {
    **{"algorithm": "vqe", "problems": ["h2", {"name": "mine", "text": "x"}], "settings": ALGORITHMS, "attempts": 2},
    **{
        "grid": {"shots": [10, 20]},
        "points": [{"problem": "h2", "seed": 5}, {"failure.retries": 1, "problem": "lih-3.0-cas22"}],
    },
}
WORDS = (
    *("\x00", "\x1b[2J", "\u0661", "\ud7ff\U0001f600", "9" * 400, "0x" + "f" * 99, "[" * 500),
    *(" ", "\n", "\t", "\r", "!!int x", "? [a]\n: ", "&a *a", "<<: ", "<!DOCTYPE a [", "ctrl @ "),
    *"1e308 -1e308 1_0 nan inf { } !!python/name:os.system 2024-13-45 ~ null &b; <a> , : ; - ** q".split(),
    *'" 1000000 0 -1 true'.split(),
)


def mutated_text(text: str, chance: random.Random) -> str:
    """Change a few places of a text, or one of its JSON document."""
    if text.startswith("{") and chance.random() < 0.6:
        return json.dumps(mutated(json.loads(text), chance), ensure_ascii=chance.random() < 0.5)
    for _ in range(chance.choice((1, 1, 2, 5))):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice((0, 0, 1, 1, 5, 60)))
        inserted = chance.choice((chance.choice(WORDS), text[start:end] * 2, "", chr(chance.randrange(0xD800))))
        text = text[:start] + inserted + text[end:]
    return text[: chance.choice((len(text), len(text), chance.randrange(len(text) + 1)))]


def give(kind: str, text: str, folder: Path) -> None:
    """Read a text as the product does, up to the point where numerics begin."""
    file = folder / "given"
    file.write_text(text, encoding="utf-8", newline="")
    if kind == "settings":
        resolve_settings("vqe", Layer("--config", read_yaml(file, "--config")), environ={})
    elif kind == "sweep":
        read_sweep(file)
    elif kind == "circuit":
        subject = parse_problem(ProblemText(name="it", text=ENERGY["pauli"]))
        assert isinstance(subject, PauliProblem)
        choose_circuit(subject, VqeSettings().model_copy(update={"ansatz": text}), 0)
    elif kind in ENERGY:
        parse_problem(read_problem(file))
    else:
        read_binary_problem(read_problem(file).text or "", "it")


SEEDS = {
    **BINARY,
    **ENERGY,
    "circuit": CIRCUIT,
    "settings": yaml.safe_dump(ALGORITHMS),
    "settings in JSON": json.dumps(ALGORITHMS),
    "sweep": yaml.safe_dump(SWEEP),
}


def taken_or_refused(kind: str, text: str, folder: Path) -> None:
    """Assert that a text is taken or refused within the bounds of time and memory."""
    started, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with suppress(HybridloopError):
        give(kind.partition(" in ")[0], text, folder)
    if sys.gettrace() is None:  # coverage's takes as much time again
        assert time.process_time() - started < CPU_S  # CPU time, which other processes do not change
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < MEMORY_KB


@pytest.mark.parametrize("kind", SEEDS)
def test_unchanged_text_is_taken(kind: str, tmp_path: Path) -> None:
    give(kind.partition(" in ")[0], SEEDS[kind], tmp_path)


@long_form
@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=short_or_long(25, 1200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_mutated_text_is_taken_or_refused(kind: str, seed: int, tmp_path: Path) -> None:
    taken_or_refused(kind, mutated_text(SEEDS[kind], random.Random(seed)), tmp_path)


@long_form
@settings(max_examples=short_or_long(40, 2000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_mutated_sweep_is_taken_or_refused(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    document = json.loads(json.dumps(SWEEP))
    for _ in range(chance.choice((1, 1, 3))):
        document = mutated(document, chance)
    text = yaml.safe_dump(document, default_flow_style=chance.choice((True, False)))
    taken_or_refused("sweep", text, tmp_path)


@pytest.mark.parametrize("kind", SEEDS)
def test_the_longest_text_of_one_kind_is_taken_or_refused(kind: str, tmp_path: Path) -> None:
    text = SEEDS[kind]
    taken_or_refused(kind, (text * (MAX_PROBLEM_BYTES // len(text)))[: MAX_PROBLEM_BYTES - 1], tmp_path)


def test_the_data_of_the_tests_is_still_taken() -> None:
    for path in (DATA / "fcidump").iterdir():
        parse_problem(read_problem(path))
