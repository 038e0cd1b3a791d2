"""Formats of input text; the value of each is the name by which `--format` forces its reading."""

from __future__ import annotations

import enum


class InputFormat(enum.StrEnum):
    """A format of input text."""

    FCIDUMP = "fcidump"
    MOLECULE = "molecule"
    PAULIS = "paulis"
    XYZ = "xyz"
    ATOMS = "atoms"
    ZMATRIX = "zmatrix"
    QCSCHEMA = "qcschema"
    EDGES = "edges"
    RUDY = "rudy"
    METIS = "metis"
    DIMACS = "dimacs"
    GRAPHML = "graphml"
    GML = "gml"
    GEXF = "gexf"
    NODE_LINK = "node-link"
    MATRIX = "matrix"
    QUBO = "qubo"
    QBSOLV = "qbsolv"
    CNF = "cnf"
    BIQMAC = "biqmac"
    BQPJSON = "bqpjson"
    BINARY = "binary"
    LP = "lp"
    MPS = "mps"
    CIRCUIT = "circuit"
    SETTINGS = "settings"

    @property
    def description(self) -> str:
        """The noun phrase for a text in this format, for messages."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    InputFormat.FCIDUMP: "a molecule's integrals (FCIDUMP)",
    InputFormat.MOLECULE: "a molecule's integrals and geometry (JSON)",
    InputFormat.PAULIS: "a Pauli sum",
    InputFormat.XYZ: "a molecule's geometry (XYZ)",
    InputFormat.ATOMS: "a molecule's geometry (a list of atoms)",
    InputFormat.ZMATRIX: "a molecule's geometry (a Z-matrix)",
    InputFormat.QCSCHEMA: "a molecule's geometry (QCSchema)",
    InputFormat.EDGES: "a graph (edges)",
    InputFormat.RUDY: "a graph (edges below their count)",
    InputFormat.METIS: "a graph (METIS)",
    InputFormat.DIMACS: "a graph (DIMACS)",
    InputFormat.GRAPHML: "a graph (GraphML)",
    InputFormat.GML: "a graph (GML)",
    InputFormat.GEXF: "a graph (GEXF)",
    InputFormat.NODE_LINK: "a graph (node-link JSON)",
    InputFormat.MATRIX: "a square matrix",
    InputFormat.QUBO: "a QUBO (rows of i j value)",
    InputFormat.QBSOLV: "a QUBO (qbsolv)",
    InputFormat.CNF: "clauses of MaxSAT (DIMACS)",
    InputFormat.BIQMAC: "a QUBO (Biq Mac)",
    InputFormat.BQPJSON: "a binary problem (bqpjson)",
    InputFormat.BINARY: "a binary problem (JSON)",
    InputFormat.LP: "a program (LP)",
    InputFormat.MPS: "a program (MPS)",
    InputFormat.CIRCUIT: "a circuit (OpenQASM)",
    InputFormat.SETTINGS: "settings (YAML)",
}
GEOMETRY_FORMATS = frozenset({InputFormat.XYZ, InputFormat.ATOMS, InputFormat.ZMATRIX, InputFormat.QCSCHEMA})
ENERGY_FORMATS = frozenset({InputFormat.FCIDUMP, InputFormat.MOLECULE, InputFormat.PAULIS, *GEOMETRY_FORMATS})
NOT_PROBLEMS = frozenset({InputFormat.CIRCUIT, InputFormat.SETTINGS})
BINARY_FORMATS = frozenset(InputFormat) - ENERGY_FORMATS - NOT_PROBLEMS
