"""Problems of a caller: names, files or objects, read to the text that flows take."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hybridloop.algorithms.formats.detect import is_atom_list, is_xyz_geometry
from hybridloop.algorithms.formats.geometry import check_atoms
from hybridloop.data import load_table
from hybridloop.descriptions import ALGORITHMS, Subject
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.validation import validate
from hybridloop.settings import MAX_PROBLEM_BYTES, MoleculeSettings, ProblemText, RunSettings

_LONGEST_SHOWN = 200
_NO_TEXT = (
    "the file is no text",
    "Give a molecule's or a graph's text, or read the file in Python: hl.qaoa(numpy.load(FILE)).",
)
DEFAULT_BASIS = "sto-3g"  # PySCF's own default


@dataclass(frozen=True, slots=True)
class GeometryOptions:
    """Basis set, charge and multiplicity of a geometry; the multiplicity left out is the lowest for its electrons."""

    basis: str | None = None
    charge: int | None = None
    multiplicity: int | None = None

    def check_unused(self, name: str) -> None:
        """Raise InputError for options of a geometry with a problem that has its integrals already."""
        for field in ("basis", "charge"):
            if getattr(self, field) is not None:
                raise InputError(field, f"{name} is no geometry, and has its integrals already", "Leave it out.")


def read_problem(problem: Any, geometry: GeometryOptions | None = None) -> ProblemText:
    """Return a problem of a built-in name, a file, or a Python object (`hybridloop.problem`).

    With `geometry`, an XYZ file and atoms such as `H 0 0 0; H 0 0 0.74` become integrals, which needs PySCF. Raises
    InputError for a file that can't be read, and for an object that is no problem.
    """
    if isinstance(problem, Mapping) and "geometry" in problem:
        given = dict(problem)
        source, name = given.pop("geometry"), given.pop("name", None)
        found = read_problem(source, _geometry_options(given))
        if name is None:
            return found
        if found.text is None:
            raise InputError("problem", f"{found.name} is a built-in problem, which has its name", "Leave name out.")
        return validate(ProblemText, {"name": name, "text": found.text}, of="problem")
    if isinstance(problem, str) and geometry is not None and is_atom_list(problem):
        return _integrals(problem, "", geometry)
    read = _read(problem)
    if geometry is not None:
        if read.text is not None and (is_xyz_geometry(read.text) or is_atom_list(read.text)):
            return _integrals(read.text, read.name, geometry)
        geometry.check_unused(read.name)
    return read


def read_problems(
    problems: Iterable[Any], geometry: GeometryOptions | None = None, places: Sequence[str] = ()
) -> list[ProblemText]:
    """Return several problems; objects and geometries that have one name are numbered: H2-1, H2-2.

    `places` name them in errors.
    """
    given = list(problems)
    named = zip(given, places or itertools.repeat("problem"), strict=False)
    read = [read_problem_at(place, problem, geometry) for problem, place in named]
    names = [problem.name for problem in read]
    seen = Counter[str]()
    for position, (value, name) in enumerate(zip(given, names, strict=True)):
        is_named = isinstance(value, ProblemText | Path) or (isinstance(value, str) and not is_atom_list(value))
        if names.count(name) > 1 and not is_named:
            seen[name] += 1
            read[position] = read[position].model_copy(update={"name": f"{name}-{seen[name]}"})
    return read


def read_problem_at(place: str, problem: Any, geometry: GeometryOptions | None = None) -> ProblemText:
    """Return one problem of several; an error that does not name a file names the place."""
    try:
        return read_problem(problem, geometry)
    except ProblemError:
        raise
    except InputError as error:
        inner = error.field.removeprefix("problem").strip(" .")
        raise error.at(f"{place}.{inner}" if inner else place) from error


def pop_geometry(algorithm: str, options: dict[str, Any]) -> GeometryOptions:
    """Take the options of a geometry, `basis` and `charge`, out of the options of a run; binary problems have none."""
    if algorithm not in ALGORITHMS or not ALGORITHMS[algorithm].is_on_molecules:
        return GeometryOptions()
    basis, charge = options.pop("basis", None), options.pop("charge", None)
    if not isinstance(basis, str | None) or isinstance(charge, bool) or not isinstance(charge, int | None):
        raise InputError("basis", f"{basis!r} with charge {charge!r}", "Give a name and a whole number.")
    return GeometryOptions(basis, charge)


def read_for(algorithm: str, problem: Any, settings: RunSettings, geometry: GeometryOptions) -> ProblemText:
    """Return the problem of an algorithm; a geometry gets the multiplicity of the settings.

    Raises InputError, also for several problems where one is needed.
    """
    options = None
    if isinstance(settings, MoleculeSettings):
        options = replace(geometry, multiplicity=settings.multiplicity)
    if ALGORITHMS[algorithm].subject is not Subject.SERIES:
        return read_problem(problem, options)
    if isinstance(problem, ProblemText):  # the series already
        return problem
    return read_scan(problem if isinstance(problem, Sequence) and not isinstance(problem, str) else [problem], options)


def _read(problem: Any) -> ProblemText:
    if isinstance(problem, ProblemText):
        return problem
    if isinstance(problem, Mapping) and "name" in problem:  # as flows take it
        return validate(ProblemText, problem, of="problem")
    if not isinstance(problem, str | os.PathLike):
        from hybridloop.inputs.problem_objects import problem_from_object

        return problem_from_object(problem)
    if isinstance(problem, str):
        check_atoms(problem)
    if isinstance(problem, str) and "\n" in problem:
        remedy = 'Give hybridloop.ProblemText(name="mine", text=text).'
        raise InputError("problem", "it is a text, and a name or a file is needed", remedy)
    path = Path(problem)
    try:
        if path.is_file():
            return _read_file(path)
        state = "it is a folder" if path.is_dir() else "there is no such file"
    except UnicodeDecodeError as error:
        raise ProblemError(str(path), None, *_NO_TEXT) from error
    except OSError as error:  # also a name that is too long, which Path does not take for a missing file
        name = str(path) if len(str(path)) < _LONGEST_SHOWN else f"{str(path)[:_LONGEST_SHOWN]!r}…"
        raise ProblemError(name, None, f"it can't be read ({error.strerror})", "Check the path.") from error
    is_built_in = any(str(problem).lower() in load_table(table) for table in ("problems", "binary_problems"))
    if not isinstance(problem, str) or problem != path.name or (path.suffix and not is_built_in):
        raise ProblemError(str(problem), None, state, "Check the path, or name a built-in problem.")
    return validate(ProblemText, {"name": problem}, of="problem")


def _read_file(path: Path) -> ProblemText:
    with path.open("rb") as file:  # bounded: a device has no size
        data = file.read(MAX_PROBLEM_BYTES + 1)
    if len(data) > MAX_PROBLEM_BYTES:
        size = f"the file has {path.stat().st_size:,} bytes, at most {MAX_PROBLEM_BYTES:,} are taken"
        raise ProblemError(str(path), None, size, "Choose a smaller active space or graph.")
    text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:  # valid UTF-8, but refused by databases
        raise ProblemError(str(path), None, *_NO_TEXT)
    return validate(ProblemText, {"name": path.stem, "text": text}, of="problem")


def read_scan(problems: Sequence[Any], geometry: GeometryOptions | None = None) -> ProblemText:
    """Return the points of a scan as one problem, in the order given."""
    points = read_problems(problems, geometry)
    name = f"{points[0].name} to {points[-1].name}" if points else "nothing"
    text = json.dumps({"points": [point.model_dump() for point in points]})
    return validate(ProblemText, {"name": name, "text": text}, of="problem")


def _geometry_options(values: Mapping[str, Any]) -> GeometryOptions:
    """Return the options beside a geometry in a mapping. Raises InputError for others."""
    for name, value in values.items():
        kind = {"basis": str, "charge": int, "multiplicity": int}.get(name)
        if kind is None:
            raise InputError("problem", f"a geometry has no {name!r}", "There are: name, basis, charge, multiplicity.")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError("problem", f"the {name} of a geometry is {value!r}", "Give sto-3g, 0 and 1, for example.")
    return GeometryOptions(**values)


def _integrals(text: str, name: str, options: GeometryOptions) -> ProblemText:
    """Return the integrals of a geometry over its Hartree-Fock orbitals."""
    from hybridloop.algorithms.formats.geometry import formula, read_geometry
    from hybridloop.inputs.problem_objects.molecules import as_kept, geometry_fcidump

    atoms = read_geometry(text, name or "geometry")
    basis, charge = options.basis or DEFAULT_BASIS, options.charge or 0
    spin = None if options.multiplicity is None else options.multiplicity - 1
    name = f"{name or formula(symbol for symbol, _ in atoms)}-{basis}"
    integrals = as_kept(geometry_fcidump(atoms, name, basis=basis, charge=charge, spin=spin), name)
    if len(integrals) > MAX_PROBLEM_BYTES:
        size = f"its integrals have {len(integrals):,} bytes, at most {MAX_PROBLEM_BYTES:,} are taken"
        raise ProblemError(name, None, size, "Choose a smaller basis, or give a CASCI of PySCF.")
    return validate(ProblemText, {"name": name, "text": integrals}, of="problem")


def is_file(path: Path) -> bool:
    """Return whether there is a file at the path; False for a text that can be no path, such as a problem's text."""
    return os.path.isfile(path)  # Path.is_file raises OSError for a long name
