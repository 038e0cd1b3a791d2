"""`hybridloop targets | problems | molecule | optimizers`: what there is to run on, to run, and to search with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from hybridloop.cli.output import AsJson, Workspace, print_json, print_table, say
from hybridloop.errors import InputError


def targets(*, workspace: Workspace = None, json: AsJson = False) -> None:
    """List the workspace's targets with their state, queue and limits.

    Example: hybridloop targets
    """
    from hybridloop.api.environment import workspace_called
    from hybridloop.azure.listing import list_targets

    rows = list_targets(workspace_called(workspace))
    if json:
        print_json(rows)
    else:
        print_table(("target", "state", "queue_seconds", "qubits", "max_shots", "profile", "samples"), rows)


def molecule(
    geometry: Annotated[Path, typer.Argument(metavar="FILE.xyz", help="XYZ file, coordinates in Å.")],
    *,
    basis: Annotated[str, typer.Option(help="Basis set, by PySCF's name.")] = "sto-3g",
    charge: Annotated[int, typer.Option(help="Charge in units of the elementary one.")] = 0,
    spin: Annotated[int, typer.Option(min=0, help="Unpaired electrons.")] = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.fcidump", help="Where to; left out: standard output.")
    ] = None,
) -> None:
    """Compute a molecule's integrals from its geometry, as an FCIDUMP file to run; takes PySCF.

    Example: hybridloop molecule water.xyz --output water.fcidump
    """
    from hybridloop.api.molecule import molecule

    made = molecule(geometry, basis=basis, charge=charge, spin=spin)
    assert made.text is not None
    if output is None:
        print(made.text, end="")
    else:
        output.write_text(made.text, encoding="utf-8")
        say(f"{output}: {made.name} in {basis}")


def problems(*, json: AsJson = False) -> None:
    """List the built-in problems: molecules with their energies in hartree, binary problems with their optimum.

    A molecule's qubits are those of the default mapping; with --json each has the source of its values.

    Example: hybridloop problems
    """
    from hybridloop.data import load_table

    rows = [
        {
            "name": name,
            **{key: entry[key] for key in ("qubits", "exact_energy", "hartree_fock_energy", "title")},
            **({"source": entry["source"]} if json else {}),
        }
        for name, entry in load_table("problems").items()
    ]
    binary = [
        {
            "name": name,
            "qubits": entry["variables"],
            **{key: entry[key] for key in ("objective", "variables", "optimum", "title")},
            **({"source": entry["source"]} if json else {}),
        }
        for name, entry in load_table("binary_problems").items()
    ]
    if json:
        print_json(rows + binary)
    else:
        print_table(("name", "qubits", "exact_energy", "hartree_fock_energy", "title"), rows)
        print()
        print_table(("name", "qubits", "objective", "optimum", "title"), binary)


def optimizers(*, json: AsJson = False) -> None:
    """List the optimizers, plug-ins too: which settings of a search's end each goes by, and what it does.

    Example: hybridloop optimizers
    """
    from hybridloop.algorithms.optimizers.registry import OPTIMIZERS
    from hybridloop.settings.optimizer_plugins import find_optimizer, optimizer_plugins, package_of

    rows = [_row(name, "hybridloop", search.honours, search.does) for name, search in OPTIMIZERS.items()]
    for name, entry in optimizer_plugins().items():
        try:
            search = find_optimizer(name)
        except InputError as error:  # of one that can't be used the others are listed all the same
            rows.append(_row(name, package_of(entry), (), error.problem))
        else:
            rows.append(_row(name, package_of(entry), search.honours, search.does))
    if json:
        print_json(rows)
    else:
        print_table(("name", "goes_by", "package", "does"), rows)


def _row(name: str, package: str, honours: Iterable[str], does: str) -> dict[str, str]:
    return {"name": name, "goes_by": " ".join(sorted(honours)) or "-", "package": package, "does": does}
