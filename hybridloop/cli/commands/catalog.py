"""`hybridloop targets | problems | molecule | optimizers`: list what a run can use, and make a molecule's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hybridloop.cli.completion import built_in_problems, did_you_mean
from hybridloop.cli.options import GEOMETRY_OPTIONS, settings_options, with_options
from hybridloop.cli.output import (
    AsJson,
    Workspace,
    print_facts,
    print_json,
    print_line,
    print_message,
    print_rows,
    print_table,
    print_text,
)
from hybridloop.errors import InputError
from hybridloop.settings import PART_OF_MOLECULE, MoleculeSettings


def targets(*, workspace: Workspace = None, json: AsJson = False) -> None:
    """List the workspace's targets with their state, queue and limits, and what is not known of them.

    Example: hybridloop targets
    """
    from hybridloop.api.environment import resolve_workspace
    from hybridloop.budget.unknown_facts import list_targets

    columns = ("target", "state", "queue_seconds", "qubits", "max_shots", "profile", "samples", "unknown")
    rows = list_targets(resolve_workspace(workspace))
    shown = rows if json else [{**row, "unknown": ", ".join(row["unknown"]) or None} for row in rows]
    print_rows(shown, columns, as_json=json)


def molecule(
    geometry: Annotated[
        str, typer.Argument(metavar="FILE.xyz", help="XYZ file, Z-matrix, or atoms ('H 0 0 0; H 0 0 0.74').")
    ],
    *,
    output: Annotated[Path | None, typer.Option(metavar="FILE.fcidump", help="Default: standard output.")] = None,
    **options: Any,
) -> None:
    """Compute a molecule's integrals from its geometry, and write them as an FCIDUMP file. Requires PySCF.

    Example: hybridloop molecule water.xyz --basis cc-pvdz --active-space 4,4 --output water.fcidump
    """
    from hybridloop.api.geometry import molecule

    problem = molecule(geometry, **{name: value for name, value in options.items() if value is not None})
    assert problem.text is not None
    if output is None:
        print_text(problem.text, end="")
    else:
        output.write_text(problem.text, encoding="utf-8")
        print_message(f"{output}: {problem.name}")


with_options(molecule, [*GEOMETRY_OPTIONS, *settings_options(MoleculeSettings, only=PART_OF_MOLECULE)])


def problems(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this problem alone.", autocompletion=built_in_problems)
    ] = None,
    *,
    json: AsJson = False,
) -> None:
    """List the built-in problems by family, or show one: the purpose, the source of its values, the command to run it.

    Energies of molecules and Hubbard models are in hartree. The qubits are those of the default mapping. With --json,
    each problem has its purpose and source; one that is named is a list of one.

    Example: hybridloop problems
    """
    from hybridloop.data import built_in_families

    families = built_in_families()
    if name is not None:
        _show_problem(
            name, {each: entry for entries in families.values() for each, entry in entries.items()}, json=json
        )
    elif json:
        print_json([_as_row(each, entry) for entries in families.values() for each, entry in entries.items()])
    else:
        for family, entries in families.items():
            print_line(family)
            rows = [_as_row(each, entry) for each, entry in entries.items()]
            print_table([column for column in _PROBLEM_COLUMNS if column in rows[0]], rows)
            print_line()
        print_line(
            "hybridloop problems NAME shows the purpose of a problem, the source of its values, and its command."
        )


_PROBLEM_COLUMNS = ("name", "qubits", "objective", "optimum", "exact_energy", "hartree_fock_energy", "title")
_PROBLEM_FIELDS = ("exact_energy", "hartree_fock_energy", "objective", "variables", "optimum")


def _as_row(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a problem's facts without its text."""
    row = {"name": name, "qubits": entry["qubits"] if "qubits" in entry else entry["variables"]}
    row |= {field: entry[field] for field in _PROBLEM_FIELDS if field in entry}
    return row | {field: entry[field] for field in ("title", "family", "teaches", "source")}


def _show_problem(name: str, known: Mapping[str, Mapping[str, Any]], *, json: bool) -> None:
    if (entry := known.get(name.lower())) is None:
        remedy = did_you_mean(name, known, otherwise="`hybridloop problems` lists the built-in problems.")
        raise InputError("name", f"there is no built-in problem {name!r}", remedy)
    row = _as_row(name.lower(), entry)
    if json:
        print_json([row])
    else:
        algorithm = "qaoa" if "optimum" in row else "vqe"
        print_facts({**row, "command": f"hybridloop run {algorithm} {row['name']} --seed 7"})


def optimizers(*, json: AsJson = False) -> None:
    """List the optimizers, including plug-ins, with the termination settings that each one uses.

    Example: hybridloop optimizers
    """
    from hybridloop.algorithms.optimizers.registry import OPTIMIZERS
    from hybridloop.settings.optimizer_plugins import find_optimizer, optimizer_plugins, package_of

    rows = []
    for name, entry in {**optimizer_plugins(), **dict.fromkeys(OPTIMIZERS)}.items():
        package = "hybridloop" if entry is None else package_of(entry)
        try:
            search = OPTIMIZERS[name] if entry is None else find_optimizer(name)
            settings, description = search.honours, search.does
        except InputError as error:  # a plug-in that can't be used does not prevent the list
            settings, description = frozenset(), error.problem
        goes_by = " ".join(sorted(settings)) or "-"
        rows.append({"name": name, "goes_by": goes_by, "package": package, "does": description})
    print_rows(rows, ("name", "goes_by", "package", "does"), as_json=json)
