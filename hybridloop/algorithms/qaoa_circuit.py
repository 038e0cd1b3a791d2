"""The circuits of the quantum approximate optimization algorithm, and the angles that need no search."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import RYGate, XXPlusYYGate

from hybridloop.algorithms.ising import Ising
from hybridloop.algorithms.optimizer import checked_start
from hybridloop.algorithms.qubo import BinaryProblem
from hybridloop.errors import InputError

GATES = ["x", "h", "s", "sdg", "cx", "rx", "ry", "rz"]  # what every target's compiler takes
SOFTENING = 0.25  # how far a warm start's qubits are kept from 0 and 1
_CUBIC = math.atan(1 / math.sqrt(2))  # best γ of one layer on 3-regular graphs without triangles


class Mixer(enum.StrEnum):
    """What moves amplitude between assignments."""

    STANDARD = "standard"  # Σ X, from all assignments alike
    XY = "xy"  # Σ (XX + YY) / 2 on a ring, from all assignments that meet a budget alike
    WARM_START = "warm-start"  # turned towards an assignment that local search has found


@dataclass(frozen=True, slots=True, eq=False)
class QaoaCircuit:
    """A problem, the circuit for it without measurements, and the point to start at.

    `cost` is what the circuit is driven by and what is measured, to be minimized. Points are (β_1 … β_p, γ_1 … γ_p) in
    radians, in the order of `circuit.parameters`; `scales` (2p,) says which differences of each angle are alike.
    `table` has the fixed angles that it was built from, `warm` (n,) a warm start's angles about Y.
    """

    problem: BinaryProblem
    cost: Ising
    circuit: QuantumCircuit
    initial_point: NDArray[np.float64]
    scales: NDArray[np.float64]
    table: Mapping[str, Any]
    mixer: Mixer
    warm: tuple[float, ...] | None

    def __post_init__(self) -> None:
        start = checked_start(self.initial_point)
        if len(start) != self.circuit.num_parameters:
            problem = f"there are {len(start)} angle(s), the circuit has {self.circuit.num_parameters} parameter(s)"
            raise InputError("initial_point", problem, "Give one finite angle in radians for each parameter.")
        object.__setattr__(self, "initial_point", start)

    @property
    def layers(self) -> int:
        """Number of layers, two angles each."""
        return len(self.initial_point) // 2

    def started_at(self, point: NDArray[np.float64]) -> QaoaCircuit:
        """The same circuit with another first point."""
        return replace(self, initial_point=point)

    def deepened(self) -> QaoaCircuit:
        """The same with one layer more: at its own fixed angles as long as the first point is one of fixed angles and
        the table goes on, else at those that the first point interpolates to.
        """
        longer = str(self.layers + 1)
        if longer in self.table and np.allclose(self.initial_point, self._fixed(self.layers), rtol=0, atol=1e-9):
            start = self._fixed(self.layers + 1)
        else:
            start = np.concatenate([interpolated(each) for each in np.split(self.initial_point, 2)])
        return _built(self.problem, self.cost, self.table, self.mixer, self.warm, start)

    def _fixed(self, layers: int) -> NDArray[np.float64]:
        return _fixed_point(self.table, layers, gamma_scale(self.cost))


def qaoa_circuit(
    problem: BinaryProblem,
    table: Mapping[str, Any],
    *,
    layers: int,
    mixer: Mixer = Mixer.STANDARD,
    seed: int = 0,
) -> QaoaCircuit:
    """Π_l exp(−i β_l B) exp(−i γ_l C) on the mixer's first state, C = −cost (E. Farhi et al., arXiv:1411.4028).

    `table` has fixed angles by number of layers, for unit weights on 3-regular graphs. XY: S. Hadfield et al.,
    Algorithms 12 (2019) 34, for problems that say how many variables are 1; no penalty is needed then. Warm start:
    D. J. Egger et al., Quantum 5 (2021) 479, from a local search that `seed` draws the start of.
    """
    fixed_angles(table, layers)  # refuses what the table lacks
    budget = problem.constraint.ones if problem.constraint is not None else None
    if mixer is Mixer.XY and budget is None:
        what = f"the xy mixer conserves how many variables are 1, and {problem.source} does not say how many"
        raise InputError("mixer", what, "Choose the standard mixer, or state a budget.")
    cost = problem.objective.scaled(problem.sign) if mixer is Mixer.XY else problem.cost
    warm = _warm_rotations(cost, seed) if mixer is Mixer.WARM_START else None
    return _built(problem, cost, table, mixer, warm, _fixed_point(table, layers, gamma_scale(cost)))


def _built(
    problem: BinaryProblem,
    cost: Ising,
    table: Mapping[str, Any],
    mixer: Mixer,
    warm: tuple[float, ...] | None,
    start: NDArray[np.float64],
) -> QaoaCircuit:
    layers = len(start) // 2
    circuit = QuantumCircuit(problem.num_variables, name=f"qaoa-{layers}")
    betas, gammas = ParameterVector("beta", layers), ParameterVector("gamma", layers)
    if mixer is Mixer.XY:
        assert problem.constraint is not None
        assert problem.constraint.ones is not None
        _prepare_dicke(circuit, problem.constraint.ones)
    elif warm is None:
        circuit.h(circuit.qubits)
    else:
        for qubit, angle in enumerate(warm):
            circuit.ry(angle, qubit)
    for beta, gamma in zip(betas, gammas, strict=True):
        _append_phase(circuit, cost, gamma)
        if mixer is Mixer.XY:
            _append_xy(circuit, beta)
        else:
            _append_turns(circuit, beta, warm)
    unrolled = transpile(circuit, basis_gates=GATES, optimization_level=0)
    scales = np.repeat([1.0, gamma_scale(cost)], layers)
    return QaoaCircuit(problem, cost, unrolled, start, scales, table, mixer, warm)


def interpolated(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """One kind's angles for a layer more: the line through them, read at one place more (L. Zhou et al., Phys. Rev. X
    10 (2020) 021067, INTERP).
    """
    layers = len(angles)
    before = np.arange(layers + 1) / layers
    padded = np.concatenate(([0.0], angles, [0.0]))
    found: NDArray[np.float64] = before * padded[:-1] + (1 - before) * padded[1:]
    return found


def fixed_angles(table: Mapping[str, Any], layers: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The table's β and γ, each (layers,), for 3-regular graphs of unit weight."""
    if (entry := table.get(str(layers))) is None:
        problem = f"there are no fixed angles for {layers} layers"
        raise InputError("layers", problem, f"Give one of {', '.join(sorted(table, key=int))}.")
    return np.array(entry["beta"], float), np.array(entry["gamma"], float)


def _fixed_point(table: Mapping[str, Any], layers: int, scale: float) -> NDArray[np.float64]:
    betas, gammas = fixed_angles(table, layers)
    return np.concatenate((betas, gammas * scale))


def gamma_scale(cost: Ising) -> float:
    """What γ for 3-regular graphs of unit weight is multiplied by: 1 / mean |w|, and a factor for the mean degree d.

    That factor, arctan(1 / √(d − 1)) / arctan(1 / √2), is exact for one layer on d-regular graphs without triangles
    (Z. Wang et al., Phys. Rev. A 97 (2018) 022304). With w = 2 J; a field counts as an edge to a spin that is fixed.
    """
    weights = [2 * abs(coupling) for coupling in cost.couplings.values()] + [2 * abs(h) for h in cost.fields if h]
    touched = {i for pair in cost.couplings for i in pair} | {int(i) for i in np.flatnonzero(cost.fields)}
    degree = max(1.0, 2 * len(weights) / (len(touched) + bool(cost.fields.any())))
    spread = math.pi / 2 if degree == 1 else math.atan(1 / math.sqrt(degree - 1))
    return len(weights) / math.fsum(weights) * spread / _CUBIC


def _append_phase(circuit: QuantumCircuit, cost: Ising, gamma: Parameter) -> None:
    """exp(i γ cost), but for a global phase."""
    for qubit, field in enumerate(cost.fields):
        if field:
            circuit.rz(-2 * field * gamma, qubit)
    for (i, j), coupling in cost.couplings.items():
        circuit.cx(i, j)
        circuit.rz(-2 * coupling * gamma, j)
        circuit.cx(i, j)


def _append_turns(circuit: QuantumCircuit, beta: Parameter, warm: Sequence[float] | None) -> None:
    """exp(−i β X) on every qubit; of a warm start, about the axis that its first state lies on."""
    for qubit in range(circuit.num_qubits):
        if warm is None:
            circuit.rx(2 * beta, qubit)
        else:
            circuit.ry(-warm[qubit], qubit)
            circuit.rz(2 * beta, qubit)
            circuit.ry(warm[qubit], qubit)


def _append_xy(circuit: QuantumCircuit, beta: Parameter) -> None:
    """Π exp(−i β (XX + YY) / 2) over a ring's pairs, even ones first."""
    count = circuit.num_qubits
    ring = [(i, (i + 1) % count) for i in range(count if count > 2 else count - 1)]
    for i, j in ring[::2] + ring[1::2]:
        circuit.append(XXPlusYYGate(2 * beta), [i, j])


def _prepare_dicke(circuit: QuantumCircuit, ones: int) -> None:
    """All assignments with that many ones, alike (A. Bärtschi and S. Eidenbenz, FCT 2019, 126)."""
    for qubit in range(circuit.num_qubits - ones, circuit.num_qubits):
        circuit.x(qubit)
    for size in range(circuit.num_qubits, 1, -1):
        last = size - 1
        for moved in range(1, min(ones, size - 1) + 1):
            angle = 2 * math.acos(math.sqrt(moved / size))
            controls = [last] if moved == 1 else [last, size - moved]
            circuit.cx(size - moved - 1, last)
            circuit.append(RYGate(angle).control(len(controls), annotated=False), [*controls, size - moved - 1])
            circuit.cx(size - moved - 1, last)


def _warm_rotations(cost: Ising, seed: int) -> tuple[float, ...]:
    """For each qubit the angle about Y that gives it its bit with probability 1 − `SOFTENING`."""
    low, high = (2 * math.asin(math.sqrt(share)) for share in (SOFTENING, 1 - SOFTENING))
    return tuple(high if bit else low for bit in local_search(cost, np.random.default_rng(seed)))


def local_search(cost: Ising, rng: np.random.Generator) -> NDArray[np.int64]:
    """Bits (n,) that no single flip makes better, from a random start by the best flip each time."""
    count = cost.num_variables
    spins = rng.choice([-1.0, 1.0], count)
    matrix = np.zeros((count, count))
    for (i, j), coupling in cost.couplings.items():
        matrix[i, j] = matrix[j, i] = coupling
    while True:
        gains = 2 * spins * (cost.fields + matrix @ spins)  # a flip changes the energy by minus this
        best = int(np.argmax(gains))
        if gains[best] <= 1e-12 * (1 + np.abs(matrix).sum()):
            return (spins < 0).astype(np.int64)
        spins[best] *= -1
