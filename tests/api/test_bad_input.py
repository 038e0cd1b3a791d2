"""Invalid input is refused with a message and its line, at once, before a session is opened."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.binary import problem_kinds as qubo
from hybridloop.algorithms.binary.graphs import graph_from_edges
from hybridloop.algorithms.binary.ising import Ising, ising_from_qubo
from hybridloop.algorithms.estimation.joint import group_jointly
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import HybridloopError, InputError
from hybridloop.inputs.problems import read_problem
from hybridloop.settings import MAX_PROBLEM_BYTES, ProblemText
from tests.paths import DATA
from tests.preparation_helpers import prepared as prepare
from tests.preparation_helpers import settings_for

H2 = (DATA / "H2_0.735.fcidump").read_text()
OPENQASM_2 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\nrx(a) q[0];'
ZZ = json.dumps({"terms": {"ZZ": -1.0, "XI": 0.5}})
NAN, INF, HUGE = float("nan"), float("inf"), 1e308
AT_ONCE_S = 4.0  # CPU seconds; a core that is shared with others takes twice as many
ALL = MAX_PROBLEM_BYTES - 100  # characters: the limit of a file


@contextmanager
def refused_at_once(message: str) -> Iterator[pytest.ExceptionInfo[HybridloopError]]:
    """Return the message of the InputError; assert that it took little CPU time."""
    started = time.process_time()
    with pytest.raises(HybridloopError, match=message) as refused:
        yield refused
    assert time.process_time() - started < AT_ONCE_S


def prepared(algorithm: str, text: str, **settings: Any) -> None:
    """Do all steps of a run before the session is opened."""
    prepare(algorithm, ProblemText(name="it", text=text), settings_for(algorithm, settings), 0)


def graphml(inner: str) -> str:
    return f'<graphml>\n<key id="w" for="edge" attr.name="weight"/>\n<graph>\n{inner}\n</graph></graphml>'


def node_link(links: str, nodes: str = '{"id": 0}, {"id": 1}') -> str:
    return f'{{"nodes": [{nodes}],\n"links": [\n{links}]}}'


def portfolio(**changed: Any) -> str:
    stated = {"returns": [1, 2], "covariance": [[1, 0], [0, 1]], "risk_aversion": 1, "budget": 1}
    return json.dumps({**stated, **changed})


def fcidump(line: str, norb: int = 2, electrons: int = 2) -> str:
    others = "".join(f"-0.5 {number} {number} 0 0\n" for number in range(3, norb + 1))
    return f"&FCI NORB={norb},NELEC={electrons},MS2=0\n&END\n-1.0 1 1 0 0\n{line}\n{others}0.7 0 0 0 0\n"


EDGE = '<node id="a"/><node id="b"/><edge source="a" target="{}"><data key="w">{}</data></edge>'
LATE = "{" + ",".join(f'"{i:05d}":1' for i in range(23_000)) + ',"22999":2}'

BINARY: dict[str, tuple[str, int | None, str]] = {
    # coefficients and weights
    "a weight that is none": ("0 1\n1 2 nan\n", 2, "weight is nan"),
    "a weight without end": ("0 1 1e999\n", 1, "weight is inf"),
    "weights that overflow": ("0 1 1e308\n1 2 1e308\n", 1, "weight is 1e\\+308"),
    "weights that vanish": ("0 1 1e-310\n", None, "all coefficients are below"),
    "a weight in XML that is none": (graphml(EDGE.format("b", "nan")), 4, "weight is nan"),
    "a weight in node-link that is none": (
        node_link('{"source": 0, "target": 1, "weight": NaN}'),
        None,
        "NaN is not a finite number",
    ),
    "a weight in node-link without end": (
        node_link('{"source": 0, "target": 1, "weight": 1e999}'),
        None,
        "1e999 is not a finite number",
    ),
    "a QUBO with NaN": ('{"qubo": [[NaN, 1], [1, 0]]}', None, "not a finite number"),
    "a QUBO that overflows": (json.dumps({"qubo": [[HUGE, HUGE], [HUGE, HUGE]]}), None, "not a finite number"),
    "sparse QUBO with infinity": (
        '{"qubo":\n{"variables": 2, "terms": [[0, 1, Infinity]]}}',
        None,
        "Infinity is not a finite",
    ),
    "spins with NaN": ('{"h": [NaN], "J": []}', None, "NaN is not a finite"),
    "couplings that overflow": (json.dumps({"h": [0, 0], "J": [[0, 1, HUGE], [1, 0, HUGE]]}), None, "not \\[i, j"),
    "an offset that is none": ('{"h": [1, 1], "J": [], "offset": "a"}', None, "not a finite number"),
    "numbers with infinity": ('{"numbers": [1, -Infinity]}', None, "Infinity is not a finite"),
    "numbers that overflow": (json.dumps({"numbers": [1e200, 1e200]}), None, "not a list of finite numbers"),
    "a number with too many digits": ('{"numbers": [1, ' + "1" * 200_000 + "]}", None, "digits"),
    "returns with NaN": (portfolio(returns=[NAN, 1]), None, "NaN is not a finite"),
    "risk that overflows": (portfolio(risk_aversion=HUGE), None, "not a finite number"),
    # nothing to choose
    "an empty text": ("", None, "empty"),
    "an empty graph": ("# nothing\n", None, "no edge"),
    "an empty graph in XML": (graphml(""), None, "no edge"),
    "an empty graph in node-link": (node_link("", ""), None, "no edge"),
    "no variable": ('{"qubo": []}', None, "square matrix"),
    "no spin": ('{"h": [], "J": []}', None, "shape"),
    "all alike": ('{"qubo": [[0, 0], [0, 0]]}', None, "as good as any other"),
    # self-loops
    "a loop": ("0 1\n2 2\n", 2, "to itself"),
    "a loop in XML": (graphml(EDGE.format("a", "1")), 4, "to itself"),
    "a loop in node-link": (node_link('{"source": 1, "target": 1}'), None, "to itself"),
    "a spin coupled to itself": ('{"h": [1, 1], "J": [[1, 1, 2]]}', None, "to itself"),
    # budgets
    "a budget above all": (portfolio(budget=3), None, "no assignment of 2 assets meets a budget of 3"),
    "a budget below none": (portfolio(budget=-1), None, "meets a budget of -1"),
    "half an asset": (portfolio(budget=0.5), None, "budget is 0.5"),
    "no budget": (portfolio(budget=None), None, "budget is None"),
    # too large, too deeply nested, or of another format
    "half a million lines": ("0 1\n" * (ALL // 4), 2, "given twice"),
    "a key twice at the end": (LATE, None, "'22999' is given twice"),
    "lists in lists": ('{"qubo": ' + "[" * 200_000, None, "nested too deeply"),
    "objects in objects": ('{"a":' * 40_000, None, "nested too deeply"),
    "elements in elements": ("<graphml>" + "<a>" * 60_000, 1, "not XML"),
    "a name without end": ("a" * 100_000 + " b\n", 1, "too long or not printable"),
    "bytes": ("\0\1 \2\n", 1, "too long or not printable"),
    "a molecule": (H2, None, "looks like a molecule's integrals"),
    # numbers in other digits, and names that would have no effect
    "a weight with an underscore": ("0 1 1_0\n", 1, "'1_0' is not a number"),
    "a weight in Arabic digits": ("0 1 \u0661\n", 1, "is not a number"),
    "a weight with an underscore in XML": (graphml(EDGE.format("b", "1_0")), 4, "'1_0' is not a number"),
    "a weight in Arabic digits in node-link": (
        node_link('{"source": 0, "target": 1, "weight": "\u0661"}'),
        None,
        "is not a number",
    ),
    "a misspelt offset": ('{"qubo": [[1, 2], [0, 1]], "ofset": 1}', None, "no key 'ofset'.*Did you mean 'offset'"),
    "a misspelt offset of spins": ('{"h": [1], "J": [], "Ofset": 1}', None, "no key 'Ofset'.*Did you mean 'offset'"),
    "a misspelt offset of dimod": ('{"linear_biases": [1], "offest": 1}', None, "Did you mean 'offset'"),
    "a misspelt count": ('{"qubo":\n{"variable": 2, "terms": [[0, 1, 1]]}}', None, "Did you mean 'variables'"),
    "a second kind of problem": ('{"qubo": [[1]], "numbers": [1, 2]}', None, "no key 'numbers'"),
    "a comment in numbers": ('{"numbers": [1, 2], "unit": "kg"}', None, "no key 'unit'.*There are: numbers"),
    "a misspelt risk": (portfolio(risk_aversoin=2), None, "Did you mean 'risk_aversion'"),
    "a misspelt id": (node_link('{"source": 0, "target": 1}', '{"Id": 0}, {"id": 1}'), None, "Did you mean 'id'"),
    "directed links": ('{"directed": true, "nodes": [{"id": 0}], "links": []}', None, "is directed"),
    "links and edges": ('{"nodes": [{"id": 0}], "links": [], "edges": []}', None, "'links' and 'edges'"),
    "directed edges in XML": ('<graphml><graph edgedefault="directed"/></graphml>', 1, "is directed"),
    "a directed edge in XML": (graphml(EDGE.format("b", "1").replace("<edge", '<edge directed="true"')), 4, "directed"),
    "data without a key in XML": (graphml(EDGE.format("b", "1").replace('"w"', '"v"')), 4, "'v' is not declared"),
}


@pytest.mark.parametrize("case", BINARY)
@pytest.mark.parametrize("algorithm", ["qaoa", pytest.param("rqaoa", marks=pytest.mark.slow)])
def test_an_invalid_binary_problem_is_refused(algorithm: str, case: str) -> None:
    text, line, message = BINARY[case]
    with refused_at_once(message) as refused:
        prepared(algorithm, text)
    assert getattr(refused.value, "line", None) == line
    assert str(refused.value).startswith("problem")


BOMB = "gate g0 x { h x; h x; }\n" + "".join(f"gate g{i} x {{ g{i - 1} x; g{i - 1} x; }}\n" for i in range(1, 40))


def circuit(body: str, qubits: str = "2") -> str:
    return f'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float[64] a;\nqubit[{qubits}] q;\n{body}'


ENERGIES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "an integral that is none": (fcidump("nan 2 2 0 0"), {}, "problem, line 4", "integral is nan"),
    "an integral without end": (fcidump("1e999 2 2 0 0"), {}, "problem, line 4", "integral is 1e999"),
    "integrals that contradict": (fcidump("1.0 1 2 0 0\n2.0 2 1 0 0"), {}, "problem, line 5", "contradicts line 4"),
    "an integral that overflows": (fcidump("1e308 1 1 1 1"), {}, "problem, line 4", "integral is 1e308"),
    "an integral whose square overflows": (fcidump("1e200 1 2 0 0"), {}, "problem, line 4", "at most 1e\\+09"),
    "an integral in Arabic digits": (fcidump("\u0661.0 1 2 0 0"), {}, "problem, line 4", "is not a number"),
    "an integral with an underscore": (fcidump("1_0.0 1 2 0 0"), {}, "problem, line 4", "is not a number"),
    "orbitals twice": (fcidump("").replace("NORB=2", "NORB=2,NORB=3"), {}, "problem", "gives NORB twice"),
    "electrons twice": (fcidump("").replace("NELEC=2", "NELEC=2,nelec=2"), {}, "problem", "gives NELEC twice"),
    "a misspelt spin": (fcidump("").replace("MS2=0", "MS=2"), {}, "problem", "no key 'MS'.*Did you mean 'MS2'"),
    "a misspelt operator": ('{"terms": {"ZZ": 1},\n"term": {"XX": 1}}', {}, "problem", "Did you mean 'terms'"),
    "no core energy": (fcidump("").rpartition("0.7")[0], {}, "problem", "no core energy"),
    "odd electrons": (fcidump("", electrons=3), {}, "problem", "NELEC=3 electrons"),
    "no orbital": (fcidump("", norb=0), {}, "problem", "NORB=0"),
    "no electron": (fcidump("-0.5 2 2 0 0", electrons=0), {}, "ansatz", "no electrons"),
    "more electrons than fit": (fcidump("", electrons=6), {}, "problem", "electrons of one spin"),
    "orbitals by the dozen": (fcidump("-0.5 2 2 0 0", norb=40, electrons=40), {}, "problem", "40 orbitals"),
    "a coefficient that is none": ('{"terms": {"ZZ": NaN}}', {}, "problem", "not a finite number"),
    "a coefficient that overflows": ('{"terms": {"ZZ": 1e308, "XX": 1e308}}', {}, "problem", "above 1e\\+100"),
    "an operator that is not Hermitian": ('{"terms":\n{"ZZ": [1, 1]}}', {}, "problem", "not a real"),
    "an operator of no qubit": ('{"terms": {"": 1}}', {}, "problem", "not a label"),
    "labels of two lengths": ('{"terms": {"ZZ": 1,\n"Z": 1}}', {}, "problem", "the first label 2"),
    "no term": ('{"terms": {}}', {}, "problem", "no terms"),
    "lists in lists": ("[" * 200_000, {}, "problem", "nested too deeply"),
    "objects in objects": ('{"a":' * 40_000, {}, "problem", "nested too deeply"),
    "digits without end": ('{"terms": {"ZZ": ' + "1" * 200_000 + "}}", {}, "problem", "too many digits"),
    "a header without end": ("&FCI " + "A=" * 100_000, {}, "problem", "the header has no end"),
    "bytes": ("\0\1\2", {}, "problem, line 1", "no known format of a molecule"),
    "a graph": ("0 1\n", {}, "problem", "looks like a graph"),
    "a start of another length": (H2, {"initial_point": "0.1,0.2"}, "initial_point", "parameter"),
    "a start that is none": (H2, {"initial_point": "nan"}, "initial_point", "nan"),
    "an active space that is none": (H2, {"active_space": "9,9"}, "active_space", "9"),
    "a core of all": (H2, {"frozen_core": 9}, "frozen_core", "9"),
    "a circuit of other qubits": (ZZ, {"ansatz": circuit("rx(a) q[0];", "3")}, "ansatz", "3 qubit"),
    "a circuit without end": (ZZ, {"ansatz": circuit(BOMB + "g39 q[0];\nrx(a) q[0];")}, "ansatz", "10,000 gates"),
    "a register without end": (ZZ, {"ansatz": circuit("rx(a) q[0];", "1000000000")}, "ansatz, line 4", "is above"),
    "a register of a million": (ZZ, {"ansatz": circuit("rx(a) q[0];", "1000000")}, "ansatz, line 4", "above 100"),
    "a register in hexadecimal": (ZZ, {"ansatz": circuit("rx(a) q[0];", "0xFFFFF")}, "ansatz, line 4", "above 100"),
    "a register by a product": (
        ZZ,
        {"ansatz": circuit("rx(a) q[0];", "1000*999")},
        "ansatz, line 4",
        "no.* plain number",
    ),
    "a register by a comment": (
        ZZ,
        {"ansatz": circuit("rx(a) q[0];", "/**/ 999999")},
        "ansatz, line 4",
        "above 100",
    ),
    "a former register": (ZZ, {"ansatz": circuit("qreg r[1_000_000];\nrx(a) q[0];")}, "ansatz, line 5", "above 100"),
    "a million bits": (ZZ, {"ansatz": circuit("bit[1000000] c;\nrx(a) q[0];")}, "ansatz, line 5", "above 100"),
    "a physical qubit": (ZZ, {"ansatz": circuit("rx(a) $999999;")}, "ansatz, line 5", "above 100"),
    "gates on whole registers": (ZZ, {"ansatz": circuit("rx(a) q;\n" * 300, "64")}, "ansatz", "10,000 gates"),
    "an unknown character": (ZZ, {"ansatz": circuit("rx(a) q[0];\n\u20ac")}, "ansatz, line 6", "can't be parsed"),
    "a sum without end": (ZZ, {"ansatz": circuit("rx(" + "+".join("a" * 3000) + ") q[0];")}, "ansatz", "too long"),
    "a loop without end": (ZZ, {"ansatz": circuit("for int i in [0:999999999] { rx(a) q[0]; }")}, "line 5", "above"),
    "a gate's name": (
        ZZ,
        {"ansatz": circuit("input float t;")},
        "ansatz, line 5",
        "'t' is declared twice, or .* a gate",
    ),
    "OpenQASM 2": (ZZ, {"ansatz": OPENQASM_2}, "ansatz", "OpenQASM 2 has no angles to vary: write it as OpenQASM 3"),
    "a function": (
        ZZ,
        {"ansatz": len},
        "ansatz",
        r"must be a circuit, not a function.*hybridloop\.ansatz\(function, num_angles",
    ),
    "Q# source": (ZZ, {"ansatz": "operation A(q : Qubit) : Unit {}"}, "ansatz", r"hybridloop\.ansatz\(source\)"),
    "parentheses without end": (
        ZZ,
        {"ansatz": circuit("rx(" + "(" * 3000 + "a" + ")" * 3000 + ") q[0];")},
        "ansatz, line 5",
        "nested too deeply",
    ),
}


@pytest.mark.parametrize("case", ENERGIES)
def test_an_invalid_energy_problem_is_refused(case: str) -> None:
    text, settings, place, message = ENERGIES[case]
    with refused_at_once(message) as refused:
        prepared("vqe", text, **settings)
    assert place in str(refused.value).partition(":")[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: Ising(np.array([NAN]), {}), "finite"),
        (lambda: Ising(np.array([]), {}), "shape"),
        (lambda: Ising(np.zeros(2), {(0, 0): 1.0}), "is invalid for 2 variables"),
        (lambda: ising_from_qubo([[INF]]), "not finite"),
        (lambda: ising_from_qubo([[HUGE, HUGE], [HUGE, HUGE]]), "above 1e\\+100"),
        (lambda: graph_from_edges(2, [(0, 0, 1.0)]), "to itself"),
        (lambda: graph_from_edges(2, [(0, 1, NAN)]), "weight is nan"),
        (lambda: graph_from_edges(0, []), "no edge"),
        (lambda: graph_from_edges(10, ((0, 1, 1.0) for _ in range(10_000_000))), "given twice"),
        (lambda: graph_from_edges(2000, ((i, j, 1.0) for i in range(2000) for j in range(i))), "100,000 edges"),
        (lambda: qubo.number_partitioning([1.0] * 1_000_000), "too many"),
        (lambda: qubo.portfolio([1.0], [[1.0]], risk_aversion=NAN, budget=1), "not finite"),
        (lambda: Molecule(np.full((1, 1), NAN), np.zeros((1, 1, 1, 1)), (1, 0), 0.0, "it"), "finite"),
        (lambda: Molecule(np.zeros((0, 0)), np.zeros((0, 0, 0, 0)), (0, 0), 0.0, "it"), "shapes"),
        (lambda: observable(SparsePauliOp(["ZZ"], [1j])), "not Hermitian"),
        (lambda: observable(SparsePauliOp(["ZZ"], [NAN])), "not a finite number"),
        (lambda: group_jointly([SparsePauliOp(["Z"]), SparsePauliOp(["X"], [1 + 1j])]), "not Hermitian"),
    ],
)
def test_an_invalid_input_of_a_script_is_refused_too(given: Callable[[], object], message: str) -> None:
    with refused_at_once(message):
        given()


def test_a_file_that_is_too_large_or_not_text_is_refused_unread(tmp_path: Path) -> None:
    huge, binary, nothing = tmp_path / "huge.txt", tmp_path / "binary.txt", tmp_path / "nothing.txt"
    with huge.open("wb") as file:
        os.truncate(file.fileno(), 10**11)  # a sparse file takes no disk space
    binary.write_bytes(bytes(range(256)))
    nothing.write_bytes(b"0 1\n\0\n")
    refusals = {huge: "100,000,000,000 bytes", binary: "no text", nothing: "no text", tmp_path: "folder"}
    for path, message in refusals.items():
        with refused_at_once(message):
            read_problem(path)


WATER = (DATA / "fcidump" / "H2O_0.9572.fcidump").read_text()
CHAIN = json.dumps({"terms": {"ZZ": -1.0, "XI": -0.5, "IX": -0.5}})
WIDE = json.dumps({"terms": {"Z" * 13: 1.0}})
STAR = "".join(f"0 {leaf}\n" for leaf in range(1, 30))


@pytest.mark.parametrize(
    ("algorithm", "problem", "text", "values", "field"),
    [
        ("adapt", "h2", None, {"tolerance": 0.0}, "tolerance"),
        ("adapt", "h2", None, {"max_operators": 0}, "max_operators"),
        ("adapt", "h2", None, {"failure": {"on_lost_job": "skip"}}, "on_lost_job"),
        ("adapt", "h5", None, {}, "problem"),
        ("levels", "h2", None, {"target": "rigetti.sim"}, "target"),
        ("levels", "h2", None, {"levels": 5}, "levels"),
        ("levels", "h2", None, {"levels": 0}, "levels"),
        ("levels", "h2", None, {"ansatz": "hardware-efficient"}, "ansatz"),
        ("levels", "h2", None, {"mitigation": "readout"}, "mitigation"),
        ("levels", "chain", CHAIN, {"levels": 5}, "levels"),
        ("levels", "chain", CHAIN, {"ansatz": "hardware-efficient"}, "ansatz"),
        ("levels", "chain", CHAIN, {"optimizer": "rotosolve"}, "optimizer"),
        ("levels", "chain", CHAIN, {"mitigation": "readout"}, "mitigation"),
        ("levels", "wide", WIDE, {}, "problem"),
        ("levels", "water", WATER, {}, "problem"),
        ("qaoa", "petersen", None, {"layers": 21}, "layers"),
        ("qaoa", "petersen", None, {"cvar": 0.5}, "settings"),
        ("qaoa", "petersen", None, {"extend_to": 3}, "settings"),
        ("qaoa", "petersen", None, {"mixer": "xy"}, "mixer"),
        ("qaoa", "petersn", None, {}, "problem"),
        ("qaoa", "h2", None, {}, "problem"),
        ("qaoa", "loop", "1 1\n", {}, "problem, line 1"),
        ("qaoa", "wide", STAR, {"target": "ionq.simulator"}, "target"),
        ("qaoa", "rows", '{"qubo": [[1, 2], [3, 4]]}', {"objective": "independent-set"}, "objective"),
        ("rqaoa", "none", "# nothing\n", {}, "problem"),
        ("rqaoa", "petersen", None, {"brute_force_below": 0}, "brute_force_below"),
        ("rqaoa", "petersen", None, {"target": "rigetti.sim"}, "target"),
        ("sqd", "h4", None, {}, "max_subspace"),
        ("sqd", "field", '{"terms": {"ZZ": 1.0}}', {"max_subspace": 4}, "problem"),
        ("sqd", "h4", None, {"max_subspace": 4, "iterations": 0}, "iterations"),
        ("sqd", "h4", None, {"max_subspace": 4, "precision": 0.1}, "precision"),
    ],
)
def test_what_an_algorithm_does_not_take_is_refused_with_its_field(
    algorithm: str, problem: str, text: str | None, values: dict[str, Any], field: str
) -> None:
    with pytest.raises(InputError) as refused:
        prepare(algorithm, ProblemText(name=problem, text=text), settings_for(algorithm, values), 0)
    assert refused.value.field == field
