"""Choices that algorithms and their settings share; imports nothing heavy."""

from __future__ import annotations

import enum


class FermionMapping(enum.StrEnum):
    """A fermion-to-qubit mapping. Spin orbitals are ordered: all alpha, then all beta, each by ascending index."""

    PARITY = "parity"  # two qubits fewer: the parities of the alpha electrons and of all electrons are known
    JORDAN_WIGNER = "jordan-wigner"


class Rotations(enum.StrEnum):
    """The amplitudes that the rotations of a hardware-efficient circuit make."""

    REAL = "real"  # by ry: enough for real Hamiltonians, such as those of molecules
    COMPLEX = "complex"  # by ry and rz


class Allocation(enum.StrEnum):
    """The rule that allocates the shots of a final measurement to its groups."""

    NEYMAN = "neyman"  # by standard deviation: the fewest shots in total
    UNIFORM = "uniform"  # the same number for each


class GraphObjective(enum.StrEnum):
    """The objective to solve on a graph; texts of other kinds state their own."""

    MAX_CUT = "max-cut"
    INDEPENDENT_SET = "independent-set"


OF_ORBITALS, OF_SYMMETRY = "orbitals=", "symmetry="  # beginnings of active spaces that list their orbitals
