"""Files that other programs wrote: each is read as what it is, or refused by its format, with the way to read it.

`tests/data/foreign` has files of networkx 3.6, igraph 1.0, pandas 2.3, NumPy, SciPy, dimod 0.12 and ASE 3.26, of the
graph, model or molecule below.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import dimod
import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyscf import gto, scf
from pyscf.tools import fcidump

import hybridloop as hl
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.formats.binary import read_binary_problem
from hybridloop.inputs.formats.energies import geometry_of
from hybridloop.inputs.problems import read_problem
from hybridloop.inputs.text_files import check_format, decode
from hybridloop.preparation.problem import exact_energy, parse_problem
from hybridloop.settings import MAX_PROBLEM_BYTES
from tests.paths import DATA

FOREIGN = DATA / "foreign"
ROADS = {("Bergen", "Oslo"): 7.5, ("Bergen", "Voss"): 1.25, ("Oslo", "Voss"): 3.0}
READ = (  # all are the weighted graph, by its names or by numbers
    *("igraph.ncol", "igraph.graphml", "networkx.graphml", "networkx_edgelist.txt", "networkx_edgelist_int.txt"),
    *("networkx_weighted.txt", "nx_nodelink.json", "pandas.csv", "pandas_noindex.csv", "pandas_de.csv"),
    *("pandas_bom.csv", "pandas_utf16.csv", "pandas_cp1252.csv", "pandas_matrix.csv", "pandas_matrix_de.csv"),
    *("numpy.csv", "networkx.gml", "igraph.gml", "networkx.gexf"),
)
UNREAD = {
    "networkx.net": ("Pajek", "networkx.read_pajek"),
    "igraph.pajek": ("Pajek", "networkx.read_pajek"),
    "networkx.dot": ("DOT", "read_dot"),
    "igraph.dot": ("DOT", "read_dot"),
    "networkx.g6": ("graph6", "networkx.read_graph6"),
    "networkx.s6": ("sparse6", "networkx.read_sparse6"),
    "networkx_multi.txt": ("adjacency list", "read_multiline_adjlist"),
    "nx_adj.json": ("adjacency format", "networkx.adjacency_graph"),
    "nx_cyto.json": ("Cytoscape", "networkx.cytoscape_graph"),
    "igraph.lgl": ("LGL", "Read_Lgl"),
    "dimod.bqm": ("dimod", "BinaryQuadraticModel.from_file"),
    "scipy.mtx": ("Matrix Market", "scipy.io.mmread"),
    "numpy.npy": ("NumPy", "numpy.load"),
    "pandas.xlsx": ("Excel", "pandas.read_excel"),
    "ase.pdb": ("PDB", "ase.io.read"),
    "ase.gjf": ("Gaussian", "ase.io.read"),
    "ase.nwi": ("NWChem", "ase.io.read"),
    "ase.tm": ("Turbomole", "ase.io.read"),
    "ase.json": ("ASE", "ase.io.read"),
    "ase.cif": ("CIF", "XYZ"),
    "ase.POSCAR": ("VASP", "XYZ"),
    "ase.xsf": ("XSF", "ase.io.read"),
    "ase.mol": ("MOL or SDF", "ase.io.read"),
    "ase.sdf": ("MOL or SDF", "ase.io.read"),
    "small.qplib": ("QPLIB", "LP file"),
    "geometry.in": ("FHI-aims", "ase.io.read"),
}


def weights(name: str) -> dict[tuple[str, ...], float]:
    """Return the weights of a file's edges, with the names that its program gave in place of the roads'."""
    read = read_problem(FOREIGN / name)
    problem = read_binary_problem(str(read.text), read.name)
    assert problem.kind == "max-cut"
    named = {"0": "Oslo", "1": "Bergen", "2": "Voss", "n0": "Oslo", "n1": "Bergen", "n2": "Voss", "Köln": "Bergen"}
    labels = [named.get(label, label) for label in problem.labels]
    return {tuple(sorted((labels[i], labels[j]))): -2 * w for (i, j), w in problem.objective.couplings.items()}


@pytest.mark.parametrize("name", READ)
def test_a_graph_that_another_program_wrote_is_read_with_its_weights(name: str) -> None:
    assert weights(name) == ROADS


def test_an_edge_list_of_igraph_has_no_weights() -> None:
    assert weights("igraph.edgelist") == dict.fromkeys(ROADS, 1.0)


@pytest.mark.parametrize("name", UNREAD)
def test_a_format_that_is_not_read_is_named_with_the_way_to_read_it(name: str) -> None:
    what, way = UNREAD[name]
    with pytest.raises(ProblemError, match=f"this is .*{what}") as refused:
        read_problem(FOREIGN / name)
    assert way in refused.value.remedy


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("networkx_adjlist.txt", "networkx.read_adjlist"),
        ("networkx_adjlist_int.txt", "networkx.read_adjlist"),
        ("igraph.dimacs", "p edge nodes edges"),
    ],
)
def test_a_table_that_can_be_no_graph_is_refused_with_the_way(name: str, remedy: str) -> None:
    read = read_problem(FOREIGN / name)
    with pytest.raises(ProblemError, match=remedy):
        read_binary_problem(str(read.text), read.name)


def test_a_remedy_reads_the_graph_that_was_refused() -> None:
    assert nx.is_isomorphic(nx.Graph(nx.read_pajek(FOREIGN / "networkx.net")), nx.complete_graph(3))


@pytest.mark.parametrize("name", ["dimod.coo", "dimod_head.coo"])
def test_terms_of_a_qubo_that_dimod_wrote_have_its_energies(name: str) -> None:
    text = (FOREIGN / name).read_text()
    model = dimod.BinaryQuadraticModel.from_coo(text, vartype="BINARY")
    problem = read_binary_problem(text, name)
    labels = [int(label) for label in problem.labels]
    for bits in itertools.product((0, 1), repeat=len(labels)):
        energy = problem.objective.energies([bits])[0]
        assert energy == pytest.approx(model.energy(dict(zip(labels, bits, strict=True))))


@pytest.mark.parametrize("name", ["ase.plain.xyz", "ase.ext.xyz"])
def test_a_molecule_that_ase_wrote_is_read_without_its_forces(name: str) -> None:
    geometry = geometry_of(str(hl.problem(FOREIGN / name).text))
    assert geometry is not None
    assert geometry.shortest is not None
    assert [symbol for symbol, _ in geometry.atoms] == ["O", "H", "H"]
    assert geometry.shortest[2] == pytest.approx(0.958, abs=1e-3)


def test_a_periodic_cell_is_no_molecule() -> None:
    with pytest.raises(InputError, match="the geometry is periodic"):
        hl.problem(FOREIGN / "ase.pbc.xyz")


def test_an_active_space_is_taken_of_integrals_that_no_text_of_a_problem_holds(tmp_path: Path) -> None:
    """PySCF writes the file; the same space of the geometry, whose integrals are not read, is its oracle."""
    water = "O 0 0 0.119; H 0 0.763 -0.477; H 0 -0.763 -0.477"
    field = scf.RHF(gto.M(atom=water, basis="cc-pvdz", verbose=0)).run()
    path = tmp_path / "water.fcidump"
    fcidump.from_scf(field, str(path), tol=1e-14)
    assert path.stat().st_size > MAX_PROBLEM_BYTES
    with pytest.raises(InputError, match="24 orbitals, whose integrals take") as refused:
        hl.problem(path)
    assert refused.value.field == "active_space"
    part = parse_problem(hl.problem(path, active_space=(4, 4)))
    expected = parse_problem(hl.problem(water, basis="cc-pvdz", active_space=(4, 4)))
    assert isinstance(part, Molecule)
    assert isinstance(expected, Molecule)
    assert (part.norb, part.electrons, part.space) == (4, (2, 2), "4,4")
    assert exact_energy(part) == pytest.approx(exact_energy(expected), abs=1e-6)


def test_text_is_decoded_by_its_mark_or_as_windows_writes_it() -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        assert decode("Köln;Bonn\r\n".encode(encoding), "file") == "Köln;Bonn\n"
    for data in (b"\x00\x01", b"\x81\x8d", "Köln".encode("utf-16-be")):
        with pytest.raises(ProblemError, match="the file is no text"):
            decode(data, "file")


@given(
    st.sampled_from(["! \n", " \n", "#\n", "a 1\n", "c \n", "%\n", "ABCDEF\n", "min st ", "# a\nb 1", '{"', "end\n"])
)
def test_no_text_is_looked_at_for_long(part: str) -> None:
    """The time limit of the test is the check: a pattern that could match in many ways would take hours."""
    try:
        check_format(part * 100_000, "text")
    except ProblemError:
        assert part == "# a\nb 1"
