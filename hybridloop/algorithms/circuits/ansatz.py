"""Ansatz: a parameterized circuit with its initial point and frequencies; the hardware-efficient ansatz."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import efficient_su2, real_amplitudes

from hybridloop.algorithms.choices import Rotations
from hybridloop.errors import InputError, InvalidValue

# of a trigonometric polynomial: (1, 2) stands for a constant, cos θ, sin θ, cos 2θ and sin 2θ; () for unknown ones
Frequencies = tuple[int, ...]
DIFFERENCE_RAD = 1e-6  # of the gradients that a Hessian is made of: third derivatives and rounding change it by 1e-5
# the compiler of every target takes these
BASIS_GATES = ("x", "h", "s", "sdg", "cx", "rx", "ry", "rz", "rxx", "ryy", "rzz")


class EnergyModel(Protocol):
    """Classical model of a circuit's energy; points (n,) in radians, energies in hartree."""

    __slots__ = ()

    def energy(self, point: NDArray[np.float64]) -> float:
        """Return the energy that a measurement without noise would give."""

    def objective_and_gradient(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the energy, with a penalty for states that were not asked for, and its gradient (n,)."""

    def hessian(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the Hessian (n, n) of the same, by differences of gradients."""
        gradient = self.objective_and_gradient(point)[1]
        rows = [self.objective_and_gradient(point + shift)[1] for shift in DIFFERENCE_RAD * np.eye(len(point))]
        hessian = (np.array(rows).reshape(len(point), len(point)) - gradient) / DIFFERENCE_RAD
        return (hessian + hessian.T) / 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Ansatz:
    """A parameterized circuit without measurements, in `BASIS_GATES`; only rotations carry parameters.

    `initial_point` (n,) is in radians, in the order of `circuit.parameters`. As a function of parameter i alone, any
    energy is a trigonometric polynomial of the positive `frequencies[i]` and a constant, for all values of the other
    parameters; where these are (), it may be any function. `is_near` marks an initial point that is not zero but known
    to be near the minimum, as a reference state's is; `is_ramp` marks angles on a path from a reference state to the
    minimum. `conserves_electrons` is true if the circuit keeps the number of electrons of each spin at all angles,
    `conserves_spin` if it keeps its reference state's eigenvalue of S²; if not, or if unknown, the measured state is
    checked (`diagnostics.py`). `model` simulates the circuit classically, where it was made for that; the initial point
    is then a minimum of it.
    """

    name: str
    circuit: QuantumCircuit
    initial_point: NDArray[np.float64]
    frequencies: tuple[Frequencies, ...]
    conserves_electrons: bool = False
    conserves_spin: bool = False
    is_near: bool = False
    model: EnergyModel | None = None
    is_ramp: bool = False

    def __post_init__(self) -> None:
        count = self.circuit.num_parameters
        object.__setattr__(self, "initial_point", validate_initial_point(self.initial_point, count))
        if len(self.frequencies) != count:
            problem = f"frequencies are given for {len(self.frequencies)} parameter(s), the circuit has {count}"
            raise InputError("ansatz", problem, "Give one tuple of frequencies for each parameter.")

    @property
    def num_parameters(self) -> int:
        return len(self.frequencies)

    @property
    def has_frequencies(self) -> bool:
        """True if the energy's frequencies are known in every angle."""
        return all(self.frequencies)

    @property
    def starts_near(self) -> bool:
        """True if the initial point is near the minimum: it is marked so, or zero, which is the reference state."""
        return self.is_near or not self.initial_point.any()


def hardware_efficient_reference(
    num_qubits: int, state: int, *, reps: int = 1, rotations: Rotations = Rotations.REAL
) -> NDArray[np.float64]:
    """Return the angles (n,) at which the hardware-efficient circuit prepares a basis state, up to its phase.

    Bit i of `state` is qubit i. All rotations are 0 but the last RY of the qubits that are 1.
    """
    last = [math.pi * (state >> qubit & 1) for qubit in range(num_qubits)]
    per_layer = num_qubits * (1 if rotations is Rotations.REAL else 2)
    return np.array([0.0] * (per_layer * reps) + last + [0.0] * (per_layer - num_qubits))


def hardware_efficient(
    num_qubits: int,
    initial: ArrayLike | np.random.Generator,
    *,
    reps: int = 1,
    rotations: Rotations = Rotations.REAL,
    entanglement: str = "linear",
) -> Ansatz:
    """Build a hardware-efficient ansatz: rotation layers with CX gates between.

    A. Kandala et al., Nature 549 (2017) 242. `initial` is the initial point, or a generator that draws it uniformly
    from [−π, π). `entanglement` is linear (qubit i to i + 1), circular (the last to the first too) or full (all pairs).
    The circuit does not conserve the particle number: under Jordan-Wigner the energy may be that of another number of
    electrons than the molecule's.
    """
    if num_qubits < 1:
        raise InputError("ansatz", "the problem has no qubit", "Choose another mapping or problem.")
    if reps < 0:
        raise InvalidValue("reps", f"must be at least 0, got {reps}")
    library = real_amplitudes if rotations is Rotations.REAL else efficient_su2
    circuit = library(num_qubits, reps=reps, entanglement=entanglement)
    count = circuit.num_parameters
    gates = "ry" if rotations is Rotations.REAL else "ry-rz"
    name = f"hardware-efficient ({gates}, {reps} layer(s))"
    return Ansatz(name, circuit, draw_initial_point(initial, count), ((1,),) * count)


def draw_initial_point(initial: ArrayLike | np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return the initial point, or `count` angles drawn uniformly from [−π, π) by a generator."""
    if isinstance(initial, np.random.Generator):
        return initial.uniform(-math.pi, math.pi, count)
    return np.array(initial, dtype=float)


def validate_initial_point(initial_point: NDArray[np.float64], count: int | None = None) -> NDArray[np.float64]:
    """Return a read-only copy of an initial point (n,).

    Raises InputError unless its angles are finite, and as many as a circuit's `count` of parameters where it is given.
    """
    start: NDArray[np.float64] = np.array(initial_point, dtype=float)
    problem = None
    if start.ndim != 1:
        problem = f"it has shape {start.shape}"
    elif not np.isfinite(start).all():
        problem = "an angle is not a finite number"
    elif count is not None and len(start) != count:
        problem = f"{len(start)} angle(s) are given, the circuit has {count} parameter(s)"
    if problem is not None:
        raise InputError("initial_point", problem, "Give one finite angle in radians for each parameter.")
    start.setflags(write=False)
    return start
