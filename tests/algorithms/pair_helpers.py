"""Molecules of electron pairs for tests, with dense operators of hard-core bosons as an oracle."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.problems.molecule import Molecule, active_space, rotate_orbitals
from hybridloop.algorithms.problems.orbitals import exact_natural_orbitals
from hybridloop.algorithms.problems.pairs import PairedElectrons
from hybridloop.inputs.formats.fcidump import read_fcidump
from hybridloop.settings import ProblemText
from tests.paths import DATA
from tests.preparation_helpers import parse_problem

Array = NDArray[np.float64]
FCIDUMPS = sorted((DATA / "fcidump").glob("*.fcidump"), key=lambda path: path.name)


@functools.cache
def molecule(name: str) -> Molecule:
    """Return a molecule of the tests' data or a built-in one; "h2o-4,4" is water with 4 electrons in 4 orbitals."""
    if name == "h2o-4,4":
        return active_space(molecule("h2o"), 4, 4)
    path = DATA / "fcidump" / f"{name}.fcidump"
    if path.exists():
        return of_file(path)
    built_in = parse_problem(ProblemText(name=name))
    assert isinstance(built_in, Molecule)
    return built_in


def of_file(path: Path) -> Molecule:
    return read_fcidump(path.read_text(), path.stem)


@functools.cache
def natural_pairs(name: str) -> PairedElectrons:
    """Return a molecule's pairs in the natural orbitals of its exact ground state."""
    found = molecule(name)
    return PairedElectrons(rotate_orbitals(found, exact_natural_orbitals(found)))


def random_molecule(norb: int, electrons: tuple[int, int], seed: int) -> Molecule:
    """Return a molecule of random integrals with their eight-fold symmetry, a positive sum of squares."""
    generator = np.random.default_rng(seed)
    one = generator.normal(size=(norb, norb))
    factors = generator.normal(size=(3, norb, norb))
    factors += factors.transpose(0, 2, 1)
    two = np.einsum("kpq,krs->pqrs", factors, factors)
    return Molecule(one + one.T, (two + two.transpose(2, 3, 0, 1)) / 2, electrons, float(generator.normal()), "random")


@functools.cache
def pair_creator(qubit: int, count: int) -> Array:
    """Return the dense b†_p on `count` qubits; qubit 0 is the last factor, as in Qiskit."""
    create = np.array([[0.0, 0.0], [1.0, 0.0]])
    return functools.reduce(np.kron, [create if place == qubit else np.eye(2) for place in reversed(range(count))])


def pair_hop(p: int, q: int, count: int) -> Array:
    """Return the dense b†_q b_p − b†_p b_q."""
    hop = pair_creator(q, count) @ pair_creator(p, count).T
    return np.asarray(hop - hop.T)


def paired_determinants(problem: PairedElectrons) -> tuple[NDArray[np.int64], Array]:
    """Return the determinant of each state, as `determinants_of` numbers them, and its sign (states,).

    A determinant creates alpha electrons first, each spin by ascending orbital. Creators of pairs commute with the
    single electrons, so that each pair above the single ones exchanges its electron with all of them.
    """
    chemist = problem.molecule
    fewer, more = sorted(chemist.electrons)
    singles = (1 << more) - (1 << fewer)
    found, signs = [], []
    for state in problem.states:
        pairs = sum(1 << orbital for qubit, orbital in enumerate(problem.orbitals) if state >> qubit & 1)
        spins = (pairs | singles, pairs) if chemist.electrons[0] == more else (pairs, pairs | singles)
        found.append(spins[0] | spins[1] << chemist.norb)
        signs.append((-1.0) ** ((more - fewer) * (pairs >> more).bit_count()))
    return np.array(found, np.int64), np.array(signs)
