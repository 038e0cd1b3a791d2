"""Each reader of a text takes time in proportion to it: for texts of each format, and texts that none has."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

import pytest

from hybridloop.errors import HybridloopError
from hybridloop.inputs.formats.binary import read_binary_problem
from hybridloop.inputs.formats.detect import detect_format
from hybridloop.inputs.formats.energies import read_energy_problem
from hybridloop.inputs.formats.geometry import is_geometry
from hybridloop.inputs.ranges import check_no_range
from hybridloop.inputs.yaml import MAX_BYTES, parse_yaml
from hybridloop.settings.input_format import InputFormat
from hybridloop.settings.parsing import MAX_PROBLEM_BYTES

GROWTH, MOST, LEAST_S = 4, 6.0, 0.05
OF_FORMATS: dict[InputFormat, tuple[str, str, str]] = {  # how a text begins, what is repeated, how it ends
    InputFormat.FCIDUMP: (" &FCI NORB=40,NELEC=2,MS2=0,\n &END\n", " 0.5 1 2 3 4\n", " 0.0 0 0 0 0\n"),
    InputFormat.MOLECULE: ('{"norb": 2, "one": [', "[0.5, 1, 1], ", "[0, 0, 0]]}"),
    InputFormat.PAULIS: ("", "0.5 [X0 Z1] +\n", "0.5 [Z0]\n"),
    InputFormat.XYZ: ("9000\n\n", "H 0.0 0.0 0.7\n", ""),
    InputFormat.ATOMS: ("H 0 0 0", "; H 0 0 0.7", ""),
    InputFormat.ZMATRIX: ("H\n", "H 1 0.7\n", ""),
    InputFormat.QCSCHEMA: ('{"schema_name": "qcschema_molecule", "symbols": [', '"H", ', '"H"], "geometry": []}'),
    InputFormat.EDGES: ("", "oslo bergen 4\n", ""),
    InputFormat.RUDY: ("9 20000\n", "1 2 1\n", ""),
    InputFormat.METIS: ("20000 20000\n", "1 2 3\n", ""),
    InputFormat.DIMACS: ("p edge 9 20000\n", "e 1 2\n", ""),
    InputFormat.GRAPHML: ("<graphml><graph>", '<node id="a"/><edge source="a" target="a"/>', "</graph></graphml>"),
    InputFormat.GML: ("graph [\n", "node [ id 1 ]\nedge [ source 1 target 1 ]\n", "]\n"),
    InputFormat.GEXF: ("<gexf><graph><nodes>", '<node id="a"/>', "</nodes></graph></gexf>"),
    InputFormat.NODE_LINK: ('{"nodes": [{"id": 1}], "links": [', '{"source": 1, "target": 1}, ', "{}]}"),
    InputFormat.MATRIX: ("", "1,2,3\n", ""),
    InputFormat.QUBO: ('{"qubo": {"variables": 9, "terms": [', "[0, 1, 2.5], ", "[0, 0, 1]]}}"),
    InputFormat.QBSOLV: ("p qubo 0 9 9 20000\n", "0 1 2.5\n", ""),
    InputFormat.CNF: ("p cnf 9 20000\n", "1 -2 3 0\n", ""),
    InputFormat.BIQMAC: ("9 20000\n", "1 2 -1\n", ""),
    InputFormat.BQPJSON: ('{"version": "1.0.0", "quadratic_terms": [', '{"id_head": 1, "coeff": 2}, ', "{}]}"),
    InputFormat.BINARY: ('{"numbers": [', "1, ", "1]}"),
    InputFormat.LP: ("Minimize\n obj: x\nSubject To\n", " c: x + y >= 1\n", "Binaries\n x y\nEnd\n"),
    InputFormat.MPS: ("NAME p\nROWS\n N obj\nCOLUMNS\n", " x obj 1\n", "RHS\nBOUNDS\nENDATA\n"),
    InputFormat.CIRCUIT: ("OPENQASM 3.0;\nqubit[2] q;\n", "x q[0];\n", ""),
    InputFormat.SETTINGS: ("", "shots: 100\n", ""),
}
OF_NONE = (
    ("", "\n", "x"),
    ("", "1", "x"),
    ("", "-", ""),
    ("", "a", ""),
    ("", " \n", "x"),
    ("", "# note\n", ""),
    ("", "[", ""),
    ("", '{"a":', ""),
    ("{", '"a": 1, ', '"b": 2}'),
    ("<graphml>", "<a>", ""),
    ("", "X0 + ", "X1"),
    ("1 2\n", "1 ", "\n"),
    ("", "(((", ")))"),
    ("", '"', ""),
    ("H 0 0 {", "1:", "2}"),
    ("", "a: &a [", ""),
    ("", "é", ""),
)


def read(text: str) -> None:
    """Read a text as each command does that takes one: it is looked at, and read as both kinds of problem."""
    calls: tuple[Callable[[], object], ...] = (
        lambda: check_no_range(text),
        lambda: detect_format(text),
        lambda: is_geometry(text),
        lambda: read_energy_problem(text, "x"),
        lambda: read_binary_problem(text, "x"),
        lambda: parse_yaml(text[:MAX_BYTES], "x"),
    )
    for call in calls:
        try:
            call()
        except HybridloopError:
            pass


def seconds(text: str, times: int = 1) -> float:
    """Return the median CPU time, without passes of the collector: they depend on all objects of this process."""
    taken = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(times):
            detect_format.cache_clear()
            began = time.process_time()
            read(text)
            taken.append(time.process_time() - began)
    finally:
        gc.enable()
    return statistics.median(taken)


def growth(family: tuple[str, str, str], number: int) -> float:
    """Return how much longer a text of `number` units takes than a fourth of it; 0 where both are quick."""
    before, unit, after = family
    for times in (1, 5):  # the median of five only where one looks too long
        long = seconds(before + unit * number + after, times)
        short = seconds(before + unit * (number // GROWTH) + after, times)
        ratio = long / max(short, 1e-9) if long >= LEAST_S else 0.0
        if ratio <= MOST:
            break
    return ratio


def test_each_format_has_a_text() -> None:
    assert OF_FORMATS.keys() == set(InputFormat)


@pytest.mark.slow
def test_no_text_takes_longer_than_in_proportion_to_its_length() -> None:
    read("9 9\n")  # imports
    slow = []
    for before, unit, after in (*OF_FORMATS.values(), *OF_NONE):
        most = (MAX_PROBLEM_BYTES - len(before) - len(after)) // len(unit.encode())
        ratio = growth((before, unit, after), most)
        if ratio > MOST:
            slow.append(f"{before[:20]!r} {unit!r}: x {ratio:.1f}")
    assert not slow
