"""Parametrized circuits, with what an optimizer may know of them."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2, real_amplitudes

from hybridloop.algorithms.optimizer import checked_start
from hybridloop.algorithms.trigfit import Frequencies
from hybridloop.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Ansatz:
    """A circuit without measurements, in the gates x, h, s, sdg, cx, rx, ry, rz; only rotations carry parameters.

    `initial_point` (n,) is in radians, in the order of `circuit.parameters`. As a function of parameter i alone, any
    energy is a trigonometric polynomial of the positive `frequencies[i]` and a constant, wherever the other parameters
    stand. `is_near` says that the initial point, though not zero, is known to be near the minimum, as a reference
    state's is. `conserves_electrons` says that the circuit keeps the number of electrons of either spin at all angles;
    where it does not, or nobody knows, the state is to be asked (`sector.py`).
    """

    name: str
    circuit: QuantumCircuit
    initial_point: NDArray[np.float64]
    frequencies: tuple[Frequencies, ...]
    conserves_electrons: bool = False
    is_near: bool = False

    def __post_init__(self) -> None:
        start, count = checked_start(self.initial_point), self.circuit.num_parameters
        if len(start) != count:
            problem = f"there are {len(start)} angle(s), the circuit has {count} parameter(s)"
            raise InputError("initial_point", problem, "Give one finite angle in radians for each parameter.")
        if len(self.frequencies) != count:
            problem = f"{len(self.frequencies)} parameters' frequencies are stated, the circuit has {count}"
            raise InputError("ansatz", problem, "State one tuple of frequencies for each parameter.")
        object.__setattr__(self, "initial_point", start)

    @property
    def num_parameters(self) -> int:
        """Number of angles."""
        return len(self.frequencies)

    @property
    def starts_near(self) -> bool:
        """Whether a search may take the start for near the minimum: zero is the reference state."""
        return self.is_near or not self.initial_point.any()


def hardware_efficient_reference(num_qubits: int, state: int, *, reps: int = 1) -> NDArray[np.float64]:
    """The angles (n,) at which the circuit of real rotations gives a basis state, whose bit i is qubit i."""
    last = [math.pi * (state >> qubit & 1) for qubit in range(num_qubits)]
    return np.array([0.0] * (num_qubits * reps) + last)


class Rotations(enum.StrEnum):
    """What a hardware-efficient circuit turns its qubits by."""

    REAL = "ry"  # real amplitudes: enough for a real Hamiltonian such as a molecule's
    COMPLEX = "ry-rz"


def hardware_efficient(
    num_qubits: int,
    initial: ArrayLike | np.random.Generator,
    *,
    reps: int = 1,
    rotations: Rotations = Rotations.REAL,
) -> Ansatz:
    """Layers of rotations with CX chains between them (A. Kandala et al., Nature 549 (2017) 242).

    `initial` is the point to start at, or a generator to draw it from uniformly in [−π, π). Conserves no particle
    number: under Jordan-Wigner it may end at another number of electrons than the molecule's.
    """
    if num_qubits < 1:
        raise InputError("ansatz", "there is no qubit to act on", "Choose another mapping or problem.")
    if reps < 0:
        raise InputError("reps", f"{reps} is below 0", "Give the number of CX layers, 0 or more.")
    library = real_amplitudes if rotations is Rotations.REAL else efficient_su2
    circuit = library(num_qubits, reps=reps, entanglement="linear")
    count = circuit.num_parameters
    if isinstance(initial, np.random.Generator):
        start = initial.uniform(-math.pi, math.pi, count)
    else:
        start = np.array(initial, dtype=float)
    return Ansatz(f"hardware-efficient ({rotations}, {reps} layer(s))", circuit, start, ((1,),) * count)
