"""QAOA circuits (quantum approximate optimization algorithm), their mixers, initial angles and angle interpolation."""

from __future__ import annotations

import enum
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression, ParameterVector

from hybridloop.algorithms.binary.annealing import descend
from hybridloop.algorithms.binary.constraints import Group, disjoint_groups
from hybridloop.algorithms.binary.ising import Ising
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.circuits.ansatz import validate_initial_point
from hybridloop.errors import InputError

WARM_START_EPSILON = 0.25  # regularization: probability of the other bit in a warm start
RAMP = 0.6  # step of the initial linear ramps, in units of the scales
_CUBIC_GAMMA = math.atan(1 / math.sqrt(2))  # optimal γ of one layer on triangle-free 3-regular graphs


class Mixer(enum.StrEnum):
    """The mixer Hamiltonian, which moves amplitude between assignments."""

    STANDARD = "standard"  # Σ X, from the uniform superposition
    XY = "xy"  # Σ (XX + YY) / 2 on a ring of each group, from the uniform superposition of all with its ones
    WARM_START = "warm-start"  # rotated towards an assignment found by local search


@dataclass(frozen=True, slots=True, eq=False)
class QaoaCircuit:
    """A QAOA circuit without measurements, with its problem and initial point.

    `cost` is the Ising energy of the phase separator; it is measured and minimized. Points are (β_1 … β_p, γ_1 … γ_p)
    in radians, in the order of `circuit.parameters`. `scales` (2p,) are comparable step sizes of the angles.
    `warm_start_angles` (n,) are the RY angles of a warm start, else None. `groups` are those whose number of ones an XY
    mixer keeps; other mixers have none.
    """

    problem: BinaryProblem
    cost: Ising
    circuit: QuantumCircuit
    initial_point: NDArray[np.float64]
    scales: NDArray[np.float64]
    mixer: Mixer
    warm_start_angles: tuple[float, ...] | None
    groups: tuple[Group, ...] = ()

    def __post_init__(self) -> None:
        start = validate_initial_point(self.initial_point, self.circuit.num_parameters)
        object.__setattr__(self, "initial_point", start)

    @property
    def layers(self) -> int:
        """The number of layers p, with two angles each."""
        return len(self.initial_point) // 2

    @property
    def num_states(self) -> int:
        """The number of assignments of all qubits that the mixer reaches."""
        return num_states(self.cost.num_variables, self.groups)

    def with_initial_point(self, point: NDArray[np.float64]) -> QaoaCircuit:
        return replace(self, initial_point=point)

    def with_added_layer(self) -> QaoaCircuit:
        """Return the circuit with one more layer, at angles interpolated from the initial point."""
        start = np.concatenate([interpolate_angles(angles) for angles in np.split(self.initial_point, 2)])
        return _build(self.problem, self.cost, self.mixer, self.warm_start_angles, start, self.groups)


def qaoa_circuit(
    problem: BinaryProblem,
    *,
    layers: int,
    mixer: Mixer = Mixer.STANDARD,
    seed: int = 0,
    assignment: NDArray[np.uint8] | None = None,
) -> QaoaCircuit:
    """Build Π_l exp(−i β_l B) exp(−i γ_l C) on the mixer's initial state, C = −cost (E. Farhi et al., arXiv:1411.4028).

    Its angles are linear ramps (J. A. Montañez-Barrera and K. Michielsen, arXiv:2405.09169), in units of the scales.
    XY mixer: S. Hadfield et al., Algorithms 12 (2019) 34, for groups of variables with a fixed number of ones, which
    need no penalty; the other variables have the standard one. Warm start: D. J. Egger et al., Quantum 5 (2021) 479,
    from the bits (n,) of an assignment, by default those of a local search with a start drawn by `seed`. Raises
    InputError for an XY mixer without such a constraint.
    """
    groups = disjoint_groups(problem.constraints) if mixer is Mixer.XY else ()
    if mixer is Mixer.XY and not groups:
        what = f"the xy mixer needs a fixed number of ones, and {problem.source} has no such constraint"
        raise InputError("mixer", what, "Choose the standard mixer, or state a budget.")
    cost = problem.cost_beside(groups) if groups else problem.cost
    warm_start_angles = None
    if mixer is Mixer.WARM_START:
        bits = _local_optimum(cost, seed) if assignment is None else problem.completed(assignment[None, :])[0]
        warm_start_angles = _warm_start_angles(bits)
    start = linear_ramps(layers, RAMP, RAMP) * _scales(cost, layers)
    return _build(problem, cost, mixer, warm_start_angles, start, groups)


def linear_ramps(layers: int, beta: float, gamma: float) -> NDArray[np.float64]:
    """Return a point (2p,): β falls from `beta` to 0 and γ rises from 0 to `gamma`, in the middle of each step."""
    steps = (np.arange(layers) + 0.5) / layers
    return np.concatenate([beta * (1.0 - steps), gamma * steps])


def _scales(cost: Ising, layers: int) -> NDArray[np.float64]:
    return np.repeat([1.0, gamma_scale(cost)], layers)


def _build(
    problem: BinaryProblem,
    cost: Ising,
    mixer: Mixer,
    warm_start_angles: tuple[float, ...] | None,
    start: NDArray[np.float64],
    groups: Sequence[Group],
) -> QaoaCircuit:
    layers = len(start) // 2
    # the initial state
    circuit = QuantumCircuit(cost.num_variables, name=f"qaoa-{layers}")
    betas, gammas = ParameterVector("beta", layers), ParameterVector("gamma", layers)
    kept = {variable for group in groups for variable in group.variables}
    free = [qubit for qubit in range(cost.num_variables) if qubit not in kept]
    if warm_start_angles is None:
        for group in groups:
            _prepare_dicke(circuit, group)
        for qubit in free:
            circuit.h(qubit)
    else:
        for qubit, angle in enumerate(warm_start_angles):
            circuit.ry(angle, qubit)
    # the layers: phase separator, then mixer
    for beta, gamma in zip(betas, gammas, strict=True):
        _append_phase_separator(circuit, cost, gamma)
        for group in groups:
            _append_xy_mixer(circuit, beta, group)
        _append_x_mixer(circuit, beta, free, warm_start_angles)
    return QaoaCircuit(problem, cost, circuit, start, _scales(cost, layers), mixer, warm_start_angles, tuple(groups))


def num_states(count: int, groups: Sequence[Group]) -> int:
    """Return the number of assignments of `count` variables in which each group has its number of ones."""
    free = count - sum(len(group.variables) for group in groups)
    return math.prod(group.size for group in groups) << free


def interpolate_angles(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate β or γ linearly from p to p + 1 layers: INTERP of L. Zhou et al., Phys. Rev. X 10 (2020) 021067."""
    layers = len(angles)
    weights = np.arange(layers + 1) / layers
    padded = np.concatenate(([0.0], angles, [0.0]))
    return weights * padded[:-1] + (1 - weights) * padded[1:]


def gamma_scale(cost: Ising) -> float:
    """Return the factor from γ of 3-regular graphs of unit weight to this problem: 1 / mean |w| times a degree factor.

    The degree factor arctan(1 / √(d − 1)) / arctan(1 / √2), with mean degree d, is exact for one layer on triangle-free
    d-regular graphs (Z. Wang et al., Phys. Rev. A 97 (2018) 022304). w = 2 J; a field is an edge to a fixed spin, and a
    product of more spins an edge of as many ends. It is 1 for a constant cost.
    """
    terms = cost.terms
    if not terms:
        return 1.0
    coupled = {i for spins in terms for i in spins}
    ends = sum(max(2, len(spins)) for spins in terms)
    degree = max(1.0, ends / (len(coupled) + bool(cost.fields.any())))
    degree_factor = math.pi / 2 if degree == 1 else math.atan(1 / math.sqrt(degree - 1))
    return len(terms) / math.fsum(2 * abs(value) for value in terms.values()) * degree_factor / _CUBIC_GAMMA


def _append_phase_separator(circuit: QuantumCircuit, cost: Ising, gamma: Parameter) -> None:
    """Append the phase separator exp(i γ cost), up to a global phase.

    A term turns a qubit that holds the parity of its spins. Where terms have more than two, those on the same qubit
    follow each other so that each has most of the parity of the one before: M. Amy et al., Quantum Sci. Technol. 4
    (2018) 015002, build such networks, with more CNOTs for sparse terms.
    """
    left: dict[frozenset[int], float] = {}
    for spins, value in cost.terms.items():
        if len(spins) == 1:
            circuit.rz(-2 * value * gamma, spins[0])
        elif cost.is_quadratic:
            circuit.rzz(-2 * value * gamma, *spins)
        else:
            left[frozenset(spins)] = value
    while left:
        number_of = Counter(sorted(itertools.chain.from_iterable(left)))
        turned = max(number_of, key=lambda spin: (number_of[spin], -spin))
        terms = {spins - {turned}: left.pop(spins) for spins in list(left) if turned in spins}
        _append_parity_rotations(circuit, {spins: -2 * value * gamma for spins, value in terms.items()}, turned)


def _append_parity_rotations(
    circuit: QuantumCircuit, angles: dict[frozenset[int], ParameterExpression], turned: int
) -> None:
    """Append the rotations of the parities of spins and the turned qubit, each after the nearest one.

    A spin that a parity adds takes a CNOT. One that the next parity drops again is the other qubit of an rzz instead.
    """
    empty: frozenset[int] = frozenset()
    order, left = [empty], set(angles)
    while left:
        order.append(min(left, key=lambda spins: (len(spins ^ order[-1]), sorted(spins))))
        left.remove(order[-1])
    held = empty
    for spins, following in itertools.pairwise([*order[1:], empty]):
        other = sorted((held ^ spins) & (spins ^ following))[:1]
        _change_parity(circuit, held ^ spins ^ set(other), turned)
        rotate = circuit.rzz if other else circuit.rz
        rotate(angles[spins], *other, turned)
        held = spins ^ set(other)
    _change_parity(circuit, held, turned)


def _change_parity(circuit: QuantumCircuit, spins: frozenset[int], turned: int) -> None:
    for spin in sorted(spins):
        circuit.cx(spin, turned)


def _append_x_mixer(
    circuit: QuantumCircuit, beta: Parameter, free: Sequence[int], warm_start_angles: Sequence[float] | None
) -> None:
    """Append exp(−i β X) on every free qubit; for a warm start, rotations about the axis of its initial state."""
    for qubit in free:
        if warm_start_angles is None:
            circuit.rx(2 * beta, qubit)
        else:
            circuit.ry(-warm_start_angles[qubit], qubit)
            circuit.rz(2 * beta, qubit)
            circuit.ry(warm_start_angles[qubit], qubit)


def _append_xy_mixer(circuit: QuantumCircuit, beta: Parameter, group: Group) -> None:
    """Append Π exp(−i β (XX + YY) / 2) over the pairs of a group's ring, even pairs first."""
    for pair in ring_pairs(group.variables):
        circuit.rxx(beta, *pair)
        circuit.ryy(beta, *pair)


def ring_pairs(qubits: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pairs of neighbours on a ring of qubits, in the order of the XY mixer."""
    count = len(qubits)
    ring = [(qubits[i], qubits[(i + 1) % count]) for i in range(count if count > 2 else count - 1)]
    return ring[::2] + ring[1::2]


def _prepare_dicke(circuit: QuantumCircuit, group: Group) -> None:
    """Prepare the Dicke state of a group's qubits, the uniform superposition of all bit strings with that many ones.

    A. Bärtschi and S. Eidenbenz, FCT 2019, 126: the highest of the first `size` qubits have the ones that are left, and
    where these are `moved`, a Givens rotation moves a share of the amplitude to a state in which the last qubit is 0.
    """
    qubits, ones = group.variables, group.ones
    count = len(qubits)
    for qubit in qubits[count - ones :]:
        circuit.x(qubit)
    for size in range(count, 1, -1):
        last, fewest = size - 1, max(1, ones - (count - size))
        for moved in range(fewest, min(ones, size - 1) + 1):
            angle, pair = math.acos(math.sqrt(moved / size)), (qubits[size - moved - 1], qubits[last])
            if size == count:  # a rotation of the only basis state takes one gate
                circuit.rxx(-2 * angle, *pair)
                circuit.s(qubits[last])
            else:
                control = None if moved == fewest else qubits[size - moved]  # it is 0 for fewer ones
                _append_givens_rotation(circuit, angle, pair, control)


def _append_givens_rotation(circuit: QuantumCircuit, angle: float, pair: tuple[int, int], control: int | None) -> None:
    """Append |01⟩ → cos angle |01⟩ + sin angle |10⟩ on a pair, first qubit first, where the `control`, if any, is 1.

    It is exp(i angle (XY − YX) / 2). Quarter turns about XX make its terms of Z on either qubit, and a control makes a
    Z half Z, half −ZZ.
    """
    first, second = pair
    if control is None:
        circuit.sdg(first)
        circuit.rxx(angle, first, second)
        circuit.ryy(angle, first, second)
        circuit.s(first)
        return
    circuit.rxx(-math.pi / 2, first, second)
    circuit.rz(-angle / 2, first)
    circuit.rz(angle / 2, second)
    circuit.rzz(angle / 2, control, first)
    circuit.rzz(-angle / 2, control, second)
    circuit.rxx(math.pi / 2, first, second)


def _local_optimum(cost: Ising, seed: int) -> NDArray[np.uint8]:
    start = np.random.default_rng(seed).integers(0, 2, (1, cost.num_variables))
    return np.asarray(descend(cost, start)[0], np.uint8)


def _warm_start_angles(bits: NDArray[np.uint8]) -> tuple[float, ...]:
    """Return for each qubit the RY angle for its bit with probability 1 − `WARM_START_EPSILON`."""
    low, high = (2 * math.asin(math.sqrt(share)) for share in (WARM_START_EPSILON, 1 - WARM_START_EPSILON))
    return tuple(high if bit else low for bit in bits)
