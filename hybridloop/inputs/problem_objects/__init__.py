"""Problems given as Python objects, turned into the text that flows take, with the names of nodes and variables kept.

An object's library is recognised by the name of its type's module, and imported only where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from os import PathLike
from typing import Any

from hybridloop.errors import InputError
from hybridloop.inputs.validation import validate
from hybridloop.settings import MAX_PROBLEM_BYTES, ProblemText

# converters by the top-level module of an object's type: each returns a name and the text
_CONVERTERS = {
    "networkx": "graphs:networkx_graph",
    "rustworkx": "graphs:rustworkx_graph",
    "numpy": "matrices:matrix",
    "scipy": "matrices:matrix",
    "pandas": "matrices:table",
    "dimod": "matrices:quadratic_model",
    "qiskit_optimization": "matrices:quadratic_program",
    "builtins": "plain:plain_values",
    "qiskit": "operators:qiskit_operator",
    "openfermion": "operators:openfermion_operator",
    "pennylane": "operators:pennylane_operator",
    "pyscf": "molecules:pyscf_object",
    "qdk_chemistry": "molecules:qdk_chemistry_object",
}
_REMEDIES = {  # objects that are close to a problem, by the top-level module of their type
    "docplex": "Give qiskit_optimization.translators.from_docplex_mp(model), or a file that model.export_as_lp writes.",
    "gurobipy": "Give a file that model.write('model.lp') writes.",
    "pulp": "Give a file that problem.writeLP('model.lp') writes.",
    "qiskit_nature": "Give the SparsePauliOp of JordanWignerMapper().map(operator), or an FCIDUMP file.",
    "igraph": "Give graph.to_networkx().",
    "pyqubo": "Give model.to_bqm().",
    "cirq": "Give a SparsePauliOp, such as SparsePauliOp.from_list([('ZZ', -1.0), ('XI', 0.5)]).",
}
_ACCEPTED = (
    "Give a name, a file, a networkx graph, a matrix, a dimod BQM or CQM, weighted edges, a SparsePauliOp, "
    "a QubitOperator, a PennyLane Hamiltonian, or a PySCF molecule."
)


def problem_from_object(value: object, electrons: tuple[int, int] | None = None, geometry: Any = None) -> ProblemText:
    """Return the problem of a Python object; `electrons` (alpha, beta) are for integrals that don't state them.

    `geometry` has the active space of a molecule of PySCF (`molecules.GeometryOptions`).

    Raises InputError for an object that is no problem, and for one that has no text, such as a directed graph.
    """
    convert = _converter(value)
    if electrons is not None and type(value).__module__.partition(".")[0] != "qdk_chemistry":
        raise InputError("electrons", "the problem states its electrons itself, or has none", "Leave electrons out.")
    if convert.__name__ == "pyscf_object":
        name, text = convert(value, geometry)
    else:
        name, text = convert(value) if electrons is None else convert(value, electrons)
    if len(text) > MAX_PROBLEM_BYTES:
        size = f"{name}: its text has {len(text):,} bytes, at most {MAX_PROBLEM_BYTES:,} are taken"
        raise InputError("problem", size, "Choose a smaller active space or graph.")
    return validate(ProblemText, {"name": name[:200], "text": text}, of="problem")


def variables_of(value: object, names: Iterable[str] = ()) -> Mapping[str, Any]:
    """Return the nodes or variables of a graph, of edges, terms or a model by their names.

    Where an object has none, such as a matrix, `names` that count from 0 are whole numbers; none for a name or a file.
    """
    if isinstance(value, str | PathLike | ProblemText):
        return {}
    found = getattr(value, "nodes", getattr(value, "variables", ()))
    if hasattr(value, "columns") and hasattr(value, "index"):
        found = list(value.index)  # of a table of pandas
    if isinstance(value, Mapping):
        parts = [value, *(value.get(key) for key in ("maximize", "minimize", "h", "J"))]
        keys = [key for part in parts if isinstance(part, Mapping) for key in part]
        found = [name for key in keys for name in (key if isinstance(key, tuple) else (key,))]
    elif isinstance(value, list | set | frozenset):
        found = [node for edge in value if isinstance(edge, tuple) for node in edge[:2]]
    found = found if isinstance(found, Iterable) else found() if callable(found) else ()
    if type(value).__module__.startswith("qiskit_optimization"):  # whose variables are objects
        found = [variable.name for variable in found]
    known = {str(each): each for each in found}
    given = list(names)
    numbers = {str(number): number for number in range(len(given))}
    return numbers if numbers.keys() == {*given} and not numbers.keys() <= known.keys() else known


def _converter(value: object) -> Callable[..., tuple[str, str]]:
    """Return the converter for an object's type or for the nearest of its base classes."""
    modules = [base.__module__.partition(".")[0] for base in type(value).__mro__[:-1]]
    if isinstance(value, Mapping) and not set(modules) & set(_CONVERTERS):
        modules.append("builtins")
    for module in modules:
        if module in _CONVERTERS:
            file, _, function = _CONVERTERS[module].partition(":")
            converter: Callable[..., tuple[str, str]] = getattr(import_module(f"{__name__}.{file}"), function)
            return converter
    remedy = next((_REMEDIES[module] for module in modules if module in _REMEDIES), _ACCEPTED)
    raise not_a_problem(value, remedy)


def not_a_problem(value: object, remedy: str = _ACCEPTED) -> InputError:
    """Return the error for an object of a type that states no problem."""
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    origin = "" if library in ("builtins", "__main__") else f" of {library}"
    return InputError("problem", f"no problem can be read from a {kind.__name__}{origin}", remedy)
