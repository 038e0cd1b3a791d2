"""Reader for problems of energies: FCIDUMP, QCSchema, Pauli sums."""

from __future__ import annotations

from hybridloop.algorithms.formats.detect import is_xyz_geometry
from hybridloop.algorithms.formats.fcidump import read_fcidump
from hybridloop.algorithms.formats.json_lines import read_json_object
from hybridloop.algorithms.formats.pauli import read_pauli_sum
from hybridloop.algorithms.formats.qcschema import read_qcschema
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.errors import ProblemError


def read_energy_problem(text: str, source: str) -> Molecule | PauliProblem:
    """Read a molecule from FCIDUMP or QCSchema text, or an operator from a Pauli sum; `source` names it in errors.

    Raises ProblemError for text in another format.
    """
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        if is_xyz_geometry(text):
            problem = "this is a molecule's geometry (XYZ), and integrals are needed"
            raise ProblemError(source, 1, problem, "Compute them: hybridloop molecule FILE.xyz --output FILE.fcidump")
        return read_fcidump(text, source)
    names = read_json_object(text, source).keys()
    if "terms" in names:
        return read_pauli_sum(text, source)
    if names & {"wavefunction", "properties", "schema_name"}:
        return read_qcschema(text, source)
    problem = (
        f"this JSON is neither QCSchema nor a Pauli sum (keys: {', '.join(map(repr, sorted(names)[:5])) or 'none'})"
    )
    remedy = 'Give a QCSchema result with its wavefunction, or a Pauli sum: {"terms": {"ZZ": -1.0}}.'
    raise ProblemError(source, None, problem, remedy)
