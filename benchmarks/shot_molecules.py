"""Molecules whose energies the ways of measuring are compared on, with their exact states."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_energies import fcidump
from hybridloop.algorithms.problems.determinants import determinants_of, hamiltonian_matrix
from hybridloop.algorithms.problems.electronic import Encoding
from hybridloop.algorithms.problems.exact import lowest_state
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.inputs.formats.fcidump import read_fcidump
from hybridloop.inputs.problem_objects.geometry_options import GeometryOptions
from hybridloop.inputs.problem_objects.molecules import integrals_of

Array = NDArray[np.float64]


def molecules() -> dict[str, Molecule]:
    """Return LiH, BeH2, H2O and N2 in STO-3G with frozen core orbitals."""
    beryllium = [("Be", (0.0, 0.0, 0.0)), ("H", (0.0, 0.0, 1.3264)), ("H", (0.0, 0.0, -1.3264))]
    nitrogen = [("N", (0.0, 0.0, 0.0)), ("N", (0.0, 0.0, 1.1))]
    return {name: read_fcidump(fcidump(name), name) for name in ("LiH_1.595_fc", "H2O_eq_fc")} | {
        name: integrals_of(atoms, name, GeometryOptions(frozen_core=core))
        for name, atoms, core in (("BeH2_1.3264_fc", beryllium, 1), ("N2_1.1_cas10e8o", nitrogen, 2))
    }


def ground_state(molecule: Molecule) -> Array:
    """Return the exact ground state as amplitudes (k,) of `determinants_of(molecule)`."""
    return lowest_state(hamiltonian_matrix(molecule, determinants_of(molecule)), molecule.norb)[1]


def on_all_qubits(molecule: Molecule, encoding: Encoding, state: Array) -> Array:
    """Return the amplitudes (2^qubits,) of a state whose amplitudes are of `determinants_of(molecule)`."""
    amplitudes = np.zeros(2**encoding.num_qubits)
    amplitudes[[encoding.basis_state(int(each)) for each in determinants_of(molecule)]] = state
    return amplitudes
