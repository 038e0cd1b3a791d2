"""Text of a caller's file: its encoding, and formats of other programs that are named rather than read."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from hybridloop.errors import InputError, ProblemError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_START = 4096  # characters of a file that tell its format

_NETWORKX = "hl.qaoa(networkx.Graph(networkx.read_{}(FILE)))"
_ASE = "ase.io.write('molecule.xyz', ase.io.read(FILE)), and give molecule.xyz"
_PANDAS = "hl.qaoa(list(pandas.read_{}(FILE)[['source', 'target', 'weight']].itertuples(index=False, name=None)))"
_BINARY = {  # first bytes
    b"\x93NUMPY": ("an array of NumPy", "hl.qaoa(numpy.load(FILE))"),
    b"PK\x03\x04": ("an Excel workbook, or another archive", _PANDAS.format("excel")),
    b"PAR1": ("a Parquet table", _PANDAS.format("parquet")),
    b"DIMODBQM": ("a quadratic model of dimod", "hl.qaoa(dimod.BinaryQuadraticModel.from_file(open(FILE, 'rb')))"),
    b"DIMODCQM": (
        "a constrained model of dimod",
        "hl.qaoa(dimod.ConstrainedQuadraticModel.from_file(open(FILE, 'rb')))",
    ),
    b"\x89HDF": ("an HDF5 file", ""),
    b"\x80\x04": ("a pickle of Python", ""),
    b"\x80\x05": ("a pickle of Python", ""),
}
_DOT = "hl.qaoa(networkx.Graph(networkx.nx_pydot.read_dot(FILE)))"
_IGRAPH = "hl.qaoa(igraph.Graph.Read_Lgl(FILE).to_networkx())"
_JSON = "hl.qaoa(networkx.{}_graph(json.load(open(FILE))))"
# The beginning of a text after its comments, what it is, and the Python that reads it. No pattern has a repetition of
# what may match in two ways, so that each takes a time in proportion to the text.
_TEXTS = (
    (r"\*(?:Vertices|Network|Arcs|Edges)\b", "a graph in Pajek's format", _NETWORKX.format("pajek")),
    (r"(?:/\*[^*]*\*/\s*)?(?:strict\s+)?(?:di)?graph\b[^\[{\n]*\{", "a graph in DOT", _DOT),
    (r">>graph6<<", "a graph in graph6", _NETWORKX.format("graph6")),
    (r">>sparse6<<|:\S+\s*\Z", "a graph in sparse6", _NETWORKX.format("sparse6")),
    (r"\S+[ \t]+\d+\n\S+[ \t]+\{", "a multi-line adjacency list", _NETWORKX.format("multiline_adjlist")),
    (r"\{(?s:.{0,400}?)\"adjacency\"\s*:", "a graph in networkx' adjacency format", _JSON.format("adjacency")),
    (r"\{[^{}]*\"elements\"\s*:\s*\{\s*\"nodes\"", "a graph in Cytoscape's format", _JSON.format("cytoscape")),
    (
        r"(?:[^\n]*\n)?[ \t]*[LDCQ][CBMIG][NBLDCQ]\b[^\n]*\n[ \t]*(?:minimize|maximize)\b",
        "a problem of QPLIB",
        "Give its LP file",
    ),
    (r"NAME\s*:(?s:.*)\nTYPE\s*:", "a problem of TSPLIB", "hl.qaoa(tsplib95.load(FILE).get_graph())"),
    (r"(?s:.*)\"__ndarray__\"", "a molecule of ASE", _ASE),
    (r"(?:[^\n]*\n){0,3}[ \d]{6}[^\n]* V[23]000", "a molecule in MOL or SDF format", _ASE),
    (r"(?:[A-Z]{4,6}\d?\b[^\n]*\n){0,50}(?:ATOM|HETATM)\s+\d+\s+[A-Z]\S*\s+\S+\s", "a molecule in PDB format", _ASE),
    (r"\[Molden Format\]", "a Molden file", "hl.vqe(pyscf.tools.molden.load(FILE)[0])"),
    (r"Entering Gaussian System", "an output of Gaussian", _ASE),
    (r"\$coord\b", "a molecule in Turbomole's format", _ASE),
    (r"\$molecule\b", "an input of Q-Chem", _ASE),
    (
        r"[^\n]*\n[ \t]*[-.\d]+[ \t]*\n(?:[ \t]*[-.\d]+[ \t]+[-.\d]+[ \t]+[-.\d]+[ \t]*\n){3}"
        r"[A-Za-z \t]+\n[\d \t]+\n[ \t]*[SDCK]",
        "a crystal in VASP's format",
        "",
    ),
    (r"data_\S*\n(?s:.*)\n\s*_(?:cell|atom)_", "a crystal in CIF", ""),
    (r"(?:[^\n]*\n){0,60}geometry\b[^\n\d]*\n(?:[^\n]*\n){1,60}\s*end\b", "an input of NWChem", _ASE),
    (r"(?:atom|lattice_vector)(?:\s+[-+]?\d+\.\d*){3}", "a molecule in FHI-aims' format", _ASE),
    (r"(?:DIM-GROUP|ATOMS|CRYSTAL|MOLECULE|PRIMVEC)\s*\n\s*\d+\s", "a molecule in XSF", _ASE),
    (r"(?:[^\n]*\n){0,60}\*\s*xyz\s+-?\d+\s+\d+", "an input of ORCA", _ASE),
)
_WHOLE_TEXTS = (  # the same of the text with its comments
    (r"%%MatrixMarket\b", "a matrix in Matrix Market format", "hl.qaoa(scipy.io.mmread(FILE))"),
    (r"# \S+\n(?:[^\s#]\S*(?: [-+.\d]+)?\n)+# \S+\n[^\s#]", "a graph in LGL", _IGRAPH),
    (r"(?:%[^\n]*\n)*#[^\n]*\n\s*\n[^\n]+\n\s*\n\s*-?\d+[ ,]+\d+\s*\n", "an input of Gaussian", _ASE),
)
_COMMENTS = re.compile(r"(?:(?:[ \t]*(?:[#!\\]|//|c\s)[^\n]*|[ \t]*)\n)*[ \t]*")


def is_fcidump(data: bytes) -> bool:
    """Return whether a file's bytes begin as FCIDUMP does."""
    return re.match(rb"(?:\xef\xbb\xbf)?\s*[&$]FCI\b", data[:_START], re.IGNORECASE) is not None


def decode(data: bytes, source: str) -> str:
    """Return the text of a file in UTF-8, in UTF-16 with its mark, or in Windows' code page of Western Europe.

    Line ends become \\n. Raises ProblemError for a file that is no text, and for one in a format of another program
    that is known and not read, with the Python that reads it.
    """
    for start, (name, way) in _BINARY.items():
        if data.startswith(start):
            raise _not_read(source, name, way)
    try:
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
        text = "\0" if "\ufffd" in text else text
    if _CONTROL.search(text):
        remedy = "Give a molecule's or a graph's text, or read the file in Python: hl.qaoa(numpy.load(FILE))."
        raise ProblemError(source, None, "the file is no text", remedy)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_format(text: str, source: str) -> None:
    """Raise ProblemError for a text in a format of another program that is known and not read."""
    start = text[:_START]
    comments = _COMMENTS.match(start)
    body = start[comments.end() :] if comments else start
    for candidates, beginning in ((_WHOLE_TEXTS, start), (_TEXTS, body)):
        for pattern, name, way in candidates:
            if re.match(pattern, beginning, re.IGNORECASE):
                raise _not_read(source, name, way)


def read_text(path: Path, of: str, kind: str, max_bytes: int) -> str:
    """Return the text of a file. Raises InputError with the setting or option `of`, and the `kind` that is needed.

    At most `max_bytes` are read, also of a pipe or device, whose size is not known beforehand.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise InputError(of, f"{path} has more than {max_bytes:,} bytes", f"Give at most {max_bytes:,}.")
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise InputError(of, f"{path} is no text", f"Give {kind} in UTF-8.") from error
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        reason = getattr(error, "strerror", None) or error
        raise InputError(of, f"{path} can't be read ({reason})", "Check the path.") from error


def _not_read(source: str, name: str, way: str) -> ProblemError:
    remedy = way or "Export it as edges (`node node weight`), FCIDUMP or XYZ"
    remedy = f"In Python: {way}." if "(" in way else f"{remedy}."
    return ProblemError(source, None, f"this is {name}, which is not read", remedy)
