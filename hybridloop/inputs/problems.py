"""Problems of a caller: names, files or objects, read to the text that flows take."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from hybridloop.algorithms.geometries import LengthUnit, formula
from hybridloop.data import TABLES, built_in_problem
from hybridloop.data.synonyms import suggestion
from hybridloop.descriptions import ALGORITHMS, Subject
from hybridloop.errors import InputError, InvalidValue, ProblemError
from hybridloop.inputs.problem_objects.geometry_options import DEFAULT_BASIS, OF_GEOMETRY, GeometryOptions
from hybridloop.inputs.ranges import check_no_range, with_ranges
from hybridloop.inputs.text_files import check_format, decode, is_fcidump
from hybridloop.inputs.validation import validate
from hybridloop.runtime.leaves import leaf
from hybridloop.settings import MAX_PROBLEM_BYTES, PART_OF_MOLECULE, MoleculeSettings, ProblemText, RunSettings
from hybridloop.settings.input_format import GEOMETRY_FORMATS, NOT_PROBLEMS, InputFormat
from hybridloop.settings.parsing import AUTO_SPACE

if TYPE_CHECKING:
    from hybridloop.inputs.formats import geometry as geometry_texts
    from hybridloop.inputs.problem_objects import molecules
else:
    molecules = leaf("hybridloop.inputs.problem_objects.molecules")
    geometry_texts = leaf("hybridloop.inputs.formats.geometry")

GIVEN_FORMATS = [form for form in InputFormat if form not in {*NOT_PROBLEMS, InputFormat.MOLECULE}]
MAX_INTEGRALS_BYTES = 64 << 20  # of a file of integrals, of which an active space is taken
_LONGEST_SHOWN = 200


def read_problem(problem: Any, geometry: GeometryOptions | None = None, form: InputFormat | None = None) -> ProblemText:
    """Return a problem of a built-in name, a file, or a Python object (`hybridloop.problem`).

    With `geometry`, an XYZ file, a Z-matrix and atoms such as `H 0 0 0; H 0 0 0.74` become integrals, which needs
    PySCF. A `form` forces a text's reading. Raises InputError for a file that can't be read, and for an object that is
    no problem.
    """
    if isinstance(problem, str):
        check_no_range(problem)
    if form is not None:
        return _read_as(form, problem, geometry)
    if isinstance(problem, Mapping) and "geometry" in problem:
        given = dict(problem)
        source, name = given.pop("geometry"), given.pop("name", None)
        found = read_problem(source, with_given(given, geometry))
        return found if name is None else named(found, name)
    if isinstance(problem, str) and geometry is not None and geometry_texts.is_geometry(problem):
        return _integrals(problem, "", geometry)
    read = _read(problem, geometry)
    if geometry is not None:
        if read.text is not None and geometry_texts.is_geometry(read.text):
            return _integrals(read.text, read.name, geometry)
        geometry.check_unused(read.name)
    return read


def depends_on_space(problem: Any) -> bool:
    """Return whether the text of a problem depends on its basis set, active space and so on.

    That is so of a geometry: atoms, a mapping with one, or the path of a file with one; and of a file of more integrals
    than a text takes.
    """
    if isinstance(problem, Mapping):
        return "geometry" in problem
    if not isinstance(problem, str | Path):
        return False
    if geometry_texts.is_geometry(str(problem)):
        return True
    text = _text_of(Path(problem)) if is_file(Path(problem)) else ""
    return len(text) > MAX_PROBLEM_BYTES or geometry_texts.is_geometry(text)


def named(problem: ProblemText, name: Any) -> ProblemText:
    """Return the problem under another name. Raises InputError for a built-in one."""
    if problem.text is None:
        raise InputError("name", f"{problem.name} is a built-in problem, whose name is its content", "Leave name out.")
    return validate(ProblemText, {**problem.model_dump(), "name": name}, of="problem")


def read_problems(
    problems: Iterable[Any],
    geometry: GeometryOptions | None = None,
    places: Sequence[str] = (),
    form: InputFormat | None = None,
) -> list[ProblemText]:
    """Return several problems; objects and geometries that have one name are numbered: H2-1, H2-2.

    `places` name them in errors.
    """
    given = list(problems)
    named = zip(given, places or itertools.repeat("problem"), strict=False)
    read = [read_problem_at(place, problem, geometry, form) for problem, place in named]
    names = [problem.name for problem in read]
    seen = Counter[str]()
    for position, (value, name) in enumerate(zip(given, names, strict=True)):
        is_named = isinstance(value, ProblemText | Path) or (
            isinstance(value, str) and not geometry_texts.is_geometry(value)
        )
        if names.count(name) > 1 and not is_named:
            seen[name] += 1
            read[position] = read[position].model_copy(update={"name": f"{name}-{seen[name]}"})
    return read


def read_problem_at(
    place: str, problem: Any, geometry: GeometryOptions | None = None, form: InputFormat | None = None
) -> ProblemText:
    """Return one problem of several; an error that does not name a file names the place."""
    try:
        return read_problem(problem, geometry, form)
    except ProblemError:
        raise
    except InputError as error:
        inner = error.field.removeprefix("problem").strip(" .")
        raise error.at(f"{place}.{inner}" if inner else place) from error


@dataclass(frozen=True, slots=True)
class Reading:
    """A caller's wishes for the reading of a problem: options of a geometry, and a format that is forced."""

    geometry: GeometryOptions = field(default_factory=GeometryOptions)
    form: InputFormat | None = None


def pop_reading(algorithm: str, options: dict[str, Any]) -> Reading:
    """Take how a problem is read, which is no setting, out of the options of a run; binary problems have no geometry.

    Raises InputError.
    """
    form = format_of(options.pop("format", None))
    if algorithm not in ALGORITHMS or not ALGORITHMS[algorithm].is_on_molecules:
        return Reading(GeometryOptions(), form)
    given = {name: options.pop(name) for name in OF_GEOMETRY if name in options}
    return Reading(with_given({name: value for name, value in given.items() if value is not None}), form)


def format_of(name: str | None) -> InputFormat | None:
    """Return the format of a name. Raises InputError for one that there is not."""
    try:
        return None if name is None else InputFormat(name)
    except ValueError as error:
        hint = suggestion(str(name), GIVEN_FORMATS) or f"There are: {', '.join(GIVEN_FORMATS)}."
        raise InputError("format", f"there is no format {str(name)[:40]!r}", hint) from error


def read_for(algorithm: str, problem: Any, settings: RunSettings, reading: Reading) -> ProblemText:
    """Return the problem of an algorithm; a geometry gets the multiplicity and the active space of the settings.

    Raises InputError, also for several problems where one is needed.
    """
    options, geometry = None, reading.geometry
    if isinstance(settings, MoleculeSettings):
        part = {name: getattr(settings, name) for name in PART_OF_MOLECULE}
        options = replace(geometry, **part)
    if ALGORITHMS[algorithm].subject is not Subject.SERIES:
        return read_problem(problem, options, reading.form)
    if isinstance(problem, ProblemText):  # the series already
        return problem
    is_one = isinstance(problem, str | Path) or not isinstance(problem, Sequence)
    problem = with_ranges([problem] if is_one else problem)
    if reading.form is not None:
        problem = [read_problem(each, options, reading.form) for each in problem]
    if options is not None and options.active_space == AUTO_SPACE:  # of all points together, which the run chooses
        options = replace(options, active_space=None)
    return read_scan(problem, options)


def _read_as(form: InputFormat, problem: Any, geometry: GeometryOptions | None) -> ProblemText:
    """Return the problem of a text in the given format. Raises InputError where there is no text to read."""
    is_text = isinstance(problem, str | os.PathLike | ProblemText)
    if form in NOT_PROBLEMS or form is InputFormat.MOLECULE:
        raise InputError(
            "format", f"{form} is no format of a problem's text", f"There are: {', '.join(GIVEN_FORMATS)}."
        )
    if isinstance(problem, str) and not is_file(Path(problem)) and form in GEOMETRY_FORMATS:
        found = ProblemText(name="geometry", text=problem)
    elif isinstance(problem, ProblemText) or not is_text:
        found = _read(problem, geometry)
    else:
        path = Path(problem)
        if not is_file(path):
            raise InputError("format", f"{problem} is no file, so that it has no text to read", "Leave it out.")
        found = validate(ProblemText, {"name": path.stem, "text": _text_of(path)}, of="problem")
    if found.text is None or not is_text:
        raise InputError("format", f"{found.name} is no text in a format of a file", "Leave it out.")
    if form not in GEOMETRY_FORMATS:
        return found.model_copy(update={"format": form})
    if geometry is None:
        return found
    return _integrals(found.text, "" if found.name == "geometry" else found.name, geometry, form)


def _read(problem: Any, geometry: GeometryOptions | None) -> ProblemText:
    if isinstance(problem, ProblemText):
        return problem
    if isinstance(problem, Mapping) and "name" in problem:  # as flows take it
        return validate(ProblemText, problem, of="problem")
    if not isinstance(problem, str | os.PathLike):
        from hybridloop.inputs.problem_objects import problem_from_object

        return problem_from_object(problem, geometry=geometry)
    if isinstance(problem, str):
        geometry_texts.check_atoms(problem)
    if isinstance(problem, str) and "\n" in problem:
        remedy = 'Give hybridloop.ProblemText(name="mine", text=text).'
        raise InputError("problem", "it is a text, and a name or a file is needed", remedy)
    path = Path(problem)
    try:
        if path.is_file():
            return _read_file(path, geometry)
        state = "it is a folder" if path.is_dir() else "there is no such file"
    except OSError as error:  # also a name that is too long, which Path does not take for a missing file
        name = str(path) if len(str(path)) < _LONGEST_SHOWN else f"{str(path)[:_LONGEST_SHOWN]!r}…"
        raise ProblemError(name, None, f"it can't be read ({error.strerror})", "Check the path.") from error
    is_built_in = any(built_in_problem(table, str(problem)) for table in TABLES)
    if not isinstance(problem, str) or problem != path.name or (path.suffix and not is_built_in):
        raise ProblemError(str(problem), None, state, "Check the path, or name a built-in problem.")
    return validate(ProblemText, {"name": problem}, of="problem")


def _read_file(path: Path, geometry: GeometryOptions | None) -> ProblemText:
    text = _text_of(path)
    if len(text) > MAX_PROBLEM_BYTES:
        text = molecules.part_of_integrals(text, path.stem, geometry or GeometryOptions())
    elif not geometry_texts.is_geometry(text):
        check_format(text, str(path))
    return validate(ProblemText, {"name": path.stem, "text": text}, of="problem")


def _text_of(path: Path) -> str:
    """Return the text of a file; FCIDUMP may have more integrals than the text of a problem. Raises ProblemError."""
    limit = MAX_PROBLEM_BYTES
    with path.open("rb") as file:  # bounded: a device has no size
        data = file.read(limit + 1)
        if len(data) > limit and is_fcidump(data):
            limit = MAX_INTEGRALS_BYTES
            data += file.read(limit + 1 - len(data))
    if len(data) > limit:
        size = f"the file has {path.stat().st_size:,} bytes, at most {limit:,} are taken"
        raise ProblemError(str(path), None, size, "Choose a smaller active space or graph.")
    text = decode(data, str(path))
    check_no_range(text)
    return text


def read_scan(problems: Sequence[Any], geometry: GeometryOptions | None = None) -> ProblemText:
    """Return the points of a scan as one problem, in the order given."""
    points = read_problems(problems, geometry)
    name = f"{points[0].name} to {points[-1].name}" if points else "nothing"
    text = json.dumps({"points": [point.model_dump() for point in points]})
    return validate(ProblemText, {"name": name, "text": text}, of="problem")


def with_given(values: Mapping[str, Any], options: GeometryOptions | None = None) -> GeometryOptions:
    """Return the options of a geometry by name, in place of those in `options`. Raises InputError."""
    names = [field.name for field in fields(GeometryOptions)]
    for name in values:
        if name not in names:
            hint = suggestion(str(name), names) or f"There are: name, {', '.join(names)}."
            raise InputError("problem", f"a geometry has no {name!r}", hint)
    try:
        return TypeAdapter(GeometryOptions).validate_python({**asdict(options or GeometryOptions()), **values})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        remedy = f"Give {_EXAMPLES[name]}, for example."
        raise InvalidValue(name, f"{first.get('input')!r:.80} is not taken for a geometry", remedy) from error


_EXAMPLES = {
    "basis": "sto-3g",
    "ecp": "lanl2dz",
    "charge": "0",
    "geometry_unit": f"{', '.join(LengthUnit)}",
    "multiplicity": "1",
    "active_space": "4,4",
    "frozen_core": "1",
}


def _integrals(text: str, name: str, options: GeometryOptions, form: InputFormat | None = None) -> ProblemText:
    """Return the integrals of a geometry over its Hartree-Fock orbitals, in the options' active space.

    Raises InputError where the text states another charge or multiplicity than the options.
    """
    found = geometry_texts.read_geometry(text, name or "geometry", options.geometry_unit, form)
    of_text = {"charge": found.charge, "multiplicity": found.multiplicity}
    for option, stated in of_text.items():
        given = getattr(options, option)
        if None not in (given, stated) and given != stated:
            problem = f"the geometry states {option} {stated}, and {given} is given ({found.stated})"
            raise InputError(option, problem, "Leave one of them out.")
    options = with_given({name: value for name, value in of_text.items() if value is not None}, options)
    options = replace(options, basis=options.basis or found.basis)
    basis = options.basis or DEFAULT_BASIS
    basis = re.sub("[=,]", "-", basis) if "=" in basis else basis
    name = f"{name or formula(symbol for symbol, _ in found.atoms)}-{basis}"
    molecule = molecules.integrals_of(found.atoms, name, options, found.stated)
    return validate(ProblemText, {"name": name, "text": molecules.written(molecule)}, of="problem")


def is_file(path: Path) -> bool:
    """Return whether there is a file at the path; False for a text that can be no path, such as a problem's text."""
    return os.path.isfile(path)  # Path.is_file raises OSError for a long name
