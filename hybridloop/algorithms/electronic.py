"""A molecule on qubits: its Hamiltonian, its reference determinant and what it conserves."""

from __future__ import annotations

from dataclasses import dataclass

from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.fermions import Encoding, FermionMapping, hamiltonian_terms, to_pauli_sum
from hybridloop.algorithms.molecule import Molecule
from hybridloop.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class ElectronicProblem:
    """A molecule under an encoding. `hamiltonian` is in hartree, with the core energy inside its identity.

    `flips` spans, over GF(2), the sets of spin orbitals (as masks) whose occupation one application of the
    Hamiltonian can change; what lies outside breaks one of its Z2 symmetries (spin parities and point group).
    """

    molecule: Molecule
    encoding: Encoding
    hamiltonian: SparsePauliOp
    flips: tuple[int, ...]

    @property
    def reference_state(self) -> int:
        """The Hartree-Fock determinant's basis state; bit i is qubit i."""
        return self.encoding.basis_state(self.encoding.hartree_fock_occupation())

    def conserves_symmetry(self, flip: int) -> bool:
        """Whether flipping these spin orbitals keeps every Z2 symmetry that the Hamiltonian has."""
        return _reduced(flip, self.flips) == 0


def electronic_problem(molecule: Molecule, mapping: FermionMapping = FermionMapping.PARITY) -> ElectronicProblem:
    """The molecule under a mapping."""
    encoding = Encoding(mapping, molecule.norb, molecule.electrons)
    if encoding.num_qubits == 0:
        problem = f"{molecule.source} has one orbital, of which the parity mapping leaves no qubit"
        raise InputError("mapping", problem, "Choose jordan-wigner.")
    terms = hamiltonian_terms(molecule)
    hamiltonian = to_pauli_sum(encoding.encode(terms), encoding.num_qubits)
    basis: list[int] = []
    for flip in {x for x, _ in terms}:
        if remainder := _reduced(flip, basis):
            basis.append(remainder)
            basis.sort(reverse=True)
    return ElectronicProblem(molecule, encoding, hamiltonian, tuple(basis))


def _reduced(mask: int, basis: tuple[int, ...] | list[int]) -> int:
    """What is left of the mask after elimination by a basis with distinct leading bits, largest first."""
    for vector in basis:
        mask = min(mask, mask ^ vector)
    return mask
