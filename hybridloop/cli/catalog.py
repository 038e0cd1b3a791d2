"""`hybridloop targets | problems`: what there is to run on, and to run."""

from __future__ import annotations

from hybridloop.cli.output import AsJson, print_json, print_table


def targets(*, json: AsJson = False) -> None:
    """List the workspace's targets with their state, queue and limits."""
    from hybridloop import api
    from hybridloop.sessions.catalog import list_targets

    rows = list_targets(api.default_workspace())
    if json:
        print_json(rows)
    else:
        print_table(("target", "state", "queue_seconds", "qubits", "max_shots", "profile", "samples"), rows)


def problems(*, json: AsJson = False) -> None:
    """List the built-in problems: molecules with their energies in hartree, binary problems with their optimum."""
    from hybridloop.data import load

    rows = [
        {
            "name": name,
            "exact_energy": entry["exact_energy"],
            "hartree_fock_energy": entry["hartree_fock_energy"],
            "title": entry["title"],
            **({"source": entry["source"]} if json else {}),
        }
        for name, entry in load("problems").items()
    ]
    binary = [
        {
            "name": name,
            **{key: entry[key] for key in ("objective", "variables", "optimum", "title")},
            **({"source": entry["source"]} if json else {}),
        }
        for name, entry in load("binary_problems").items()
    ]
    if json:
        print_json(rows + binary)
    else:
        print_table(("name", "exact_energy", "hartree_fock_energy", "title"), rows)
        print()
        print_table(("name", "objective", "variables", "optimum", "title"), binary)
