"""`hybridloop targets | problems | molecule | optimizers`: list what a run can use, and make a molecule's file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybridloop.cli.output import (
    AsJson,
    Workspace,
    print_json,
    print_line,
    print_message,
    print_rows,
    print_table,
    print_text,
)
from hybridloop.errors import InputError


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
        str, typer.Argument(metavar="FILE.xyz", help="XYZ file, or atoms ('H 0 0 0; H 0 0 0.74'); coordinates in Å.")
    ],
    *,
    basis: Annotated[str, typer.Option(help="Basis set, by PySCF's name.")] = "sto-3g",
    charge: Annotated[int, typer.Option(help="Charge in elementary charges.")] = 0,
    spin: Annotated[int, typer.Option(min=0, help="Number of unpaired electrons.")] = 0,
    output: Annotated[Path | None, typer.Option(metavar="FILE.fcidump", help="Default: standard output.")] = None,
) -> None:
    """Compute a molecule's integrals from its geometry, and write them as an FCIDUMP file. Requires PySCF.

    Example: hybridloop molecule water.xyz --output water.fcidump
    """
    from hybridloop.api.geometry import molecule

    problem = molecule(geometry, basis=basis, charge=charge, spin=spin)
    assert problem.text is not None
    if output is None:
        print_text(problem.text, end="")
    else:
        output.write_text(problem.text, encoding="utf-8")
        print_message(f"{output}: {problem.name} in {basis}")


def problems(*, json: AsJson = False) -> None:
    """List the built-in problems: molecules with their energies in hartree, binary problems with their optimum.

    The qubits of a molecule are those of the default mapping. With --json, each problem has the source of its values.

    Example: hybridloop problems
    """
    from hybridloop.data import load_table

    columns = ("name", "qubits", "exact_energy", "hartree_fock_energy", "title")
    molecules = [{"name": name, **entry} for name, entry in load_table("problems").items()]
    binary_columns = ("name", "qubits", "objective", "variables", "optimum", "title")
    binary = [
        {"name": name, "qubits": entry["variables"], **entry} for name, entry in load_table("binary_problems").items()
    ]
    if json:
        tables = ((molecules, columns), (binary, binary_columns))
        print_json([{name: row[name] for name in (*names, "source")} for rows, names in tables for row in rows])
    else:
        print_table(columns, molecules)
        print_line()
        print_table(("name", "qubits", "objective", "optimum", "title"), binary)


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
