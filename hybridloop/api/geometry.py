"""Public functions that make the text of a problem: a molecule's integrals, or any object that runs take."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from hybridloop.descriptions.options import GeometryKeywords
from hybridloop.errors import InputError
from hybridloop.inputs.problems import format_of, named, read_problem, with_given
from hybridloop.settings import ProblemText


def molecule(geometry: str | Path, **options: Unpack[GeometryKeywords]) -> ProblemText:
    """Return the molecule of a geometry as a problem: FCIDUMP text, which other programs read too.

    `geometry` is an XYZ file, a Z-matrix, or a list of atoms such as `H 0 0 0; H 0 0 0.74`. The options are those of
    `hybridloop.problem`. The orbitals are Hartree-Fock's, restricted, each with the sign that makes its largest
    coefficient positive. Keep the text and run that: integrals of another machine differ in their last digits, and a
    resumed run needs identical ones. Raises InputError if PySCF is missing or fails.
    """
    from hybridloop.algorithms.problems.molecule import Molecule
    from hybridloop.inputs.formats.detect import detect_format
    from hybridloop.inputs.formats.energies import read_energy_problem
    from hybridloop.inputs.formats.fcidump import fcidump_text
    from hybridloop.settings.input_format import InputFormat

    found = read_problem(geometry, with_given(options))
    is_one = found.text is not None and detect_format(found.text) is InputFormat.MOLECULE
    parsed = read_energy_problem(found.text or "", found.name) if is_one else None
    if not isinstance(parsed, Molecule):
        remedy = "Give an XYZ file, a Z-matrix, or atoms such as 'H 0 0 0; H 0 0 0.74'."
        raise InputError("geometry", f"{found.name} is no geometry", remedy)
    of = [] if parsed.geometry is None else [parsed.geometry.title]
    space = [f"active space {parsed.space}"] if parsed.space else []
    return ProblemText(name=found.name, text=fcidump_text(parsed, ", ".join([*of, *space])))


def problem(
    value: Any,
    *,
    name: str | None = None,
    format: str | None = None,  # the word of the command line
    electrons: tuple[int, int] | None = None,
    **options: Unpack[GeometryKeywords],
) -> ProblemText:
    """Return the problem of a file, a name, a geometry or an object, as runs and deployments take it.

    `value` is as for `hybridloop.vqe` and `hybridloop.qaoa`; the result shows the text that would be stored. `name` is
    shown in results and sweeps, by default that of the file or object. `format` forces the reading of a file, such as
    edges, where its lines do not show one. `electrons` (alpha, beta) are for a Hamiltonian
    of qdk-chemistry. The others are for a geometry: `basis` (PySCF's name, by default sto-3g, or one for each element:
    `Na=lanl2dz,H=6-31g`), `ecp` (effective core potentials, by default those of the basis sets), `charge`,
    `geometry_unit` (angstrom, bohr, pm or nm), `multiplicity`, and `active_space` or `frozen_core`, which are applied
    before the text is made. Raises InputError for a value that is no problem.
    """
    if electrons is not None:
        from hybridloop.inputs.problem_objects import problem_from_object

        text = problem_from_object(value, electrons)
    else:
        text = read_problem(value, with_given(options), format_of(format))
    return text if name is None else named(text, name)
