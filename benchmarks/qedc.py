"""QED-C's published instances through hybridloop: max-cut and hydrogen chains, beside the package's own figures.

The instances are in `qedcbench` (Apache-2.0), whose folder is the argument.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hybridloop as hl
from benchmarks.bounds import machine

LAYERS, SHOTS = 2, 1000
LARGEST = 16  # nodes of a cut that a run's target simulates in a second
HYDROGENS = ("h002", "h004", "h006")
MHA = 1e-3


def cuts(package: Path) -> Iterator[dict[str, Any]]:
    """Run QAOA of two layers on each graph, in one job. Ratios are of the largest cut."""
    folder = package / "maxcut" / "_common"
    angles = json.loads((folder / "angles_regular_graphs.json").read_text())
    for path in sorted((folder / "instances").glob("mc_*.txt")):
        _, nodes, degree, _ = path.stem.split("_")
        if int(nodes) > LARGEST:
            continue
        edges = [(int(i), int(j), 1.0) for i, j in (line.split() for line in path.read_text().splitlines()[1:])]
        largest = float(path.with_suffix(".sol").read_text().split()[0])
        result = hl.qaoa(edges, layers=LAYERS, shots=SHOTS, seed=7)
        assert result.value is not None
        fixed = angles.get(str(int(degree)), {}).get(str(LAYERS))
        yield {
            "instance": path.stem,
            "fixed angles guarantee": "" if fixed is None else f"{fixed['AR']:.3f}",
            "approx_ratio": f"{result.value / largest:.3f}",
            "bestcut_ratio": f"{(result.best_value or 0.0) / largest:.3f}",
            "jobs; shots": f"{result.jobs}; {result.shots:,}",
        }


def chains(package: Path) -> Iterator[dict[str, Any]]:
    """Run VQE on each hydrogen chain. Errors are from the full configuration interaction, in mHa."""
    folder = package / "hydrogen_lattice" / "_common" / "instances"
    for path in sorted(each for name in HYDROGENS for each in folder.glob(f"{name}_chain_???_??.json")):
        stated = json.loads(path.read_text())
        known = dict(line.split(": ") for line in path.with_suffix(".sol").read_text().splitlines() if ": " in line)
        exact, pairs = float(known["fci_energy"]), float(known["doci_energy"])
        places = zip(stated["atoms"], stated["x"], stated["y"], stated["z"], strict=True)
        result = hl.vqe("; ".join(f"{atom} {x} {y} {z}" for atom, x, y, z in places), seed=7)
        assert result.value is not None
        yield {
            "instance": path.stem,
            "best of QED-C's circuit": f"{(pairs - exact) / MHA:.2f}",
            "error": f"{(result.value - exact) / MHA:.2f} ± {(result.standard_error or 0.0) / MHA:.2f}",
            "status": result.status,
            "jobs; shots": f"{result.jobs}; {result.shots:,}",
        }


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.qedc", description=__doc__)
    parser.add_argument("package", type=Path, help="folder of qedcbench")
    package = parser.parse_args().package
    print(f"machine    {machine()}")
    for rows in (cuts(package), chains(package)):
        for number, row in enumerate(rows):
            if not number:
                print("", f"| {' | '.join(row)} |", f"|{' --- |' * len(row)}", sep="\n")
            print(f"| {' | '.join(map(str, row.values()))} |", flush=True)


if __name__ == "__main__":
    main()
