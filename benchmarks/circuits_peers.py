"""Circuits of tequila for molecules of `benchmarks.circuits`, a line of JSON each; runs in its environment.

Two-qubit gates are the CX of its OpenQASM, without a measurement; energies are minimized from small angles, noiseless.
UCCSD of BeH2 has 72 angles, whose minimization takes an hour: its energy is left out.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import tequila

GEOMETRIES = {
    "H4": "H 0 0 0\nH 0 0 1\nH 0 0 2\nH 0 0 3",
    "BeH2": "Be 0 0 0\nH 0 0 1.326\nH 0 0 -1.326",
}
MOST_ANGLES = 40  # of a circuit whose energy is minimized
BONDS = [(0, 1), (2, 3)]  # of H4, for separable pairs


def row(case: str, name: str, molecule: Any, circuit: Any, exact: float, energy: float | None = None) -> str:
    """Return a circuit's line; without its energy (hartree) that is minimized if the angles are few."""
    angles = circuit.extract_variables()
    if energy is None and len(angles) <= MOST_ANGLES:
        value = tequila.ExpectationValue(H=molecule.make_hamiltonian(), U=circuit)
        start = dict.fromkeys(angles, 0.01)
        energy = float(tequila.minimize(value, silent=True, backend="qulacs", initial_values=start).energy)
    gates = tequila.export_open_qasm(circuit, variables=dict.fromkeys(angles, 0.1)).count("cx ")
    excess = None if energy is None else round(1e3 * (energy - exact), 2)
    return json.dumps({"case": case, "circuit": name, "gates": gates, "angles": len(angles), "excess_mha": excess})


def main() -> None:
    """Print all lines."""
    warnings.filterwarnings("ignore")
    for case, geometry in GEOMETRIES.items():
        molecule = tequila.Molecule(geometry=geometry, basis_set="sto-3g", backend="pyscf")
        exact = float(molecule.compute_energy("fci"))
        for name in ("UpCCGSD", "UCCSD"):
            print(row(case, name, molecule, molecule.make_ansatz(name=name), exact), flush=True)
        if case == "H4":  # J. S. Kottmann and A. Aspuru-Guzik, Phys. Rev. A 105 (2022) 032449
            native = molecule.use_native_orbitals()
            pairs = native.make_ansatz(name="SPA", edges=BONDS)
            guess = np.array([[1, 1, 0, 0], [1, -1, 0, 0], [0, 0, 1, 1], [0, 0, 1, -1]]).T / np.sqrt(2)
            best = tequila.chemistry.optimize_orbitals(native, pairs, initial_guess=guess, silent=True)
            print(row(case, "SPA, optimized orbitals", native, pairs, exact, float(best.energy)), flush=True)


if __name__ == "__main__":
    main()
