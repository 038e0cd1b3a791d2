"""Which of the texts that state a problem of energies one is: told by what it holds, whatever its file is called."""

from __future__ import annotations

from hybridloop.algorithms.fcidump import read_fcidump
from hybridloop.algorithms.json_text import read_object
from hybridloop.algorithms.kinds import is_geometry
from hybridloop.algorithms.molecule import Molecule
from hybridloop.algorithms.pauli_problem import PauliProblem, read_pauli_sum
from hybridloop.algorithms.qcschema import read_qcschema
from hybridloop.errors import ProblemError


def read_energy_problem(text: str, source: str) -> Molecule | PauliProblem:
    """The molecule of an FCIDUMP or QCSchema text, or the operator of a Pauli sum; `source` names it in errors."""
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        if is_geometry(text):
            problem = "this is a geometry, which has no integrals yet"
            raise ProblemError(
                source, 1, problem, "Make them of it: hybridloop molecule FILE.xyz --output FILE.fcidump"
            )
        return read_fcidump(text, source)
    names = read_object(text, source).keys()
    if "terms" in names:
        return read_pauli_sum(text, source)
    if names & {"wavefunction", "properties", "schema_name"}:
        return read_qcschema(text, source)
    what = f"this JSON has {', '.join(map(repr, sorted(names)[:5])) or 'nothing'} in it: no problem of energies"
    remedy = 'Give a QCSchema result with its wavefunction, or a Pauli sum: {"terms": {"ZZ": -1.0}}.'
    raise ProblemError(source, None, what, remedy)
