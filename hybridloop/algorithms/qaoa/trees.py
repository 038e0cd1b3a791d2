"""Mean energies of QAOA circuits of any number of qubits, where couplings form no short cycle; of one layer always.

A mean after p layers depends on the variables within p couplings. If these form a tree, sums over their states at all
layers are products of messages along couplings (belief propagation; for regular trees J. Basso et al., TQC 2022,
arXiv:2110.14206). Cycles of at most 2p + 1 couplings make the means approximate; the best angles are hardly moved.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.binary.ising import Ising, Spins

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_KET, _BRA = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])  # spins of the four states of a layer
_PHASES = np.outer(_KET, _KET) - np.outer(_BRA, _BRA)


@dataclass(frozen=True, slots=True, eq=False)
class CouplingTree:
    """Variables of a cost in classes whose trees of couplings are equal, and how the classes are coupled.

    Class c has `counts[c]` variables, of which `members[c]` is the first, and the couplings `strengths[c]` (d,), padded
    by 0. Along coupling t it receives the message `incoming[c, t]` of the class c' and coupling t' at c' d + t', or the
    last one, which is 1. `classes` (n,) are the variables' classes. `place_of` has the class and coupling of a variable
    i towards j, for i < j.
    """

    cost: Ising
    start_angles: Array  # (classes,): RY angles of the initial state, about which the mixer turns
    members: NDArray[np.intp]
    counts: Array
    strengths: Array
    incoming: NDArray[np.intp]
    classes: tuple[int, ...]
    place_of: dict[tuple[int, int], tuple[int, int]]

    @classmethod
    def of(cls, cost: Ising, warm_start_angles: Sequence[float] | None = None) -> CouplingTree:
        """Divide the variables; `warm_start_angles` (n,) are those of a warm start, None for the standard mixer."""
        count = cost.num_variables
        angles = np.full(count, np.pi / 2.0) if warm_start_angles is None else np.array(warm_start_angles, float)
        neighbors: list[list[tuple[float, int]]] = [[] for _ in range(count)]
        for (i, j), coupling in cost.couplings.items():
            neighbors[i].append((coupling, j))
            neighbors[j].append((coupling, i))
        colors = _numbered(zip(cost.fields.tolist(), angles.tolist(), strict=True))
        while True:
            seen = [tuple(sorted((coupling, colors[k]) for coupling, k in each)) for each in neighbors]
            finer = _numbered(zip(colors, seen, strict=True))
            if max(finer) == max(colors):
                break
            colors = finer
        members = [colors.index(color) for color in range(max(colors) + 1)]
        width = max(1, *(len(neighbors[i]) for i in members))
        strengths, places = np.zeros((len(members), width)), dict[tuple[int, float, int], int]()
        for color, member in enumerate(members):
            for place, (coupling, k) in enumerate(neighbors[member]):
                strengths[color, place] = coupling
                places.setdefault((color, coupling, colors[k]), place)
        incoming = np.full(strengths.shape, strengths.size)
        for color, member in enumerate(members):
            for place, (coupling, k) in enumerate(neighbors[member]):
                incoming[color, place] = colors[k] * width + places[colors[k], coupling, color]
        place_of = {
            (i, j): (colors[i], places[colors[i], coupling, colors[j]]) for (i, j), coupling in cost.couplings.items()
        }
        counts = np.bincount(colors).astype(float)
        return cls(cost, angles[members], np.array(members), counts, strengths, incoming, tuple(colors), place_of)

    def operations(self, layers: int) -> int:
        """Return the products of complex numbers that the means of so many layers take."""
        slots: int = self.strengths.size
        return slots * (2 << 2 * layers + 1) * layers * (layers + 1)

    def energy(self, point: Array) -> float:
        """Return the mean cost at a point (β_1 … β_p, γ_1 … γ_p) in radians."""
        single, double = self._means(point)
        fields = self.cost.fields[self.members]
        return self.cost.offset + float(self.counts @ (fields * single + (self.strengths * double).sum(axis=1) / 2.0))

    def means(self, point: Array) -> dict[Spins, float]:
        """Return the mean product of each coupled pair of spins, and the mean of each spin with a field."""
        single, double = self._means(point)
        means: dict[Spins, float] = {pair: float(double[place]) for pair, place in self.place_of.items()}
        return means | {(i,): float(single[self.classes[i]]) for i in np.flatnonzero(self.cost.fields).tolist()}

    def _means(self, point: Array) -> tuple[Array, Array]:
        """Return the mean spin (classes,) and the mean products (classes, d) with the coupled spins."""
        betas, gammas = np.split(point, 2)
        whole, signed = self._sites(betas, gammas)
        messages = np.ones((self.strengths.size + 1, whole.shape[1]), complex)
        others, product = _products(messages[self.incoming])
        for _ in betas:
            messages[:-1] = self._coupled((whole[:, None] * others).reshape(-1, whole.shape[1]), gammas)
            others, product = _products(messages[self.incoming])
        ends = (signed[:, None] * others).reshape(-1, whole.shape[1])
        beyond = np.append(ends, np.zeros_like(ends[:1]), axis=0)[self.incoming.reshape(-1)]
        double = (ends * self._coupled(beyond, gammas)).sum(axis=1).real.reshape(self.strengths.shape)
        return (signed * product).sum(axis=1).real, double

    def _sites(self, betas: Array, gammas: Array) -> tuple[Complex, Complex]:
        """Return the weights (classes, 4^p) of a variable's states at all layers, summed, and with its final spin.

        A state is a pair of spins, of the circuit and its adjoint, for each layer, the first one first.
        """
        count, layers = len(self.members), len(betas)
        fields, angles = self.cost.fields[self.members], self.start_angles
        axis = np.cos(angles)[:, None, None] * np.diag([1, -1]) + np.sin(angles)[:, None, None] * np.eye(2)[::-1]
        ends: Complex = np.stack([np.cos(angles / 2.0), np.sin(angles / 2.0)], axis=1)[:, None].astype(complex)
        for beta, gamma in zip(betas, gammas, strict=True):  # (classes, states of the layers before, spin)
            ends = ends * np.exp(1j * gamma * np.outer(fields, [1, -1]))[:, None]
            turn = np.cos(beta) * np.eye(2) - 1j * np.sin(beta) * axis
            ends = (ends[..., None] * turn[:, None]).reshape(count, -1, 2)
        order = [0, *(1 + layer + side * layers for layer in range(layers) for side in (0, 1))]
        both = [
            (ends[:, :, None, spin] * ends.conj()[:, None, :, spin])
            .reshape(count, *[2] * (2 * layers))
            .transpose(order)
            .reshape(count, -1)
            for spin in (0, 1)
        ]
        return both[0] + both[1], both[0] - both[1]

    def _coupled(self, states: Complex, gammas: Array) -> Complex:
        """Sum over the states (slots, 4^p) at one end of each coupling, for each state at its other end."""
        shape = states.shape
        for layer, gamma in enumerate(gammas):
            kernel = np.exp(1j * gamma * self.strengths.reshape(-1, 1, 1, 1) * _PHASES)
            states = np.matmul(kernel, states.reshape(shape[0], 4**layer, 4, -1))
        return states.reshape(shape)


def _numbered(keys: Iterable[Hashable]) -> list[int]:
    """Return the number of each key, equal ones with the same."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _products(messages: Complex) -> tuple[Complex, Complex]:
    """Return the products over the second axis: of all other entries for each entry, and of all."""
    one = np.ones_like(messages[:, :1])
    before = np.cumprod(np.concatenate([one, messages], axis=1), axis=1)
    after = np.cumprod(np.concatenate([one, messages[:, :0:-1]], axis=1), axis=1)[:, ::-1]
    return before[:, :-1] * after, before[:, -1]


@dataclass(frozen=True, slots=True, eq=False)
class OneLayer:
    """Exact means after one layer with the standard mixer: A. Ozaeta et al., Quantum Sci. Technol. 7 (2022) 045036."""

    cost: Ising

    def energy(self, point: Array) -> float:
        """Return the mean cost at a point (β, γ) in radians."""
        means, cost = self.means(point), self.cost
        return cost.offset + sum(value * means[spins] for spins, value in cost.terms.items())

    def means(self, point: Array) -> dict[Spins, float]:
        """Return the mean product of each coupled pair of spins, and the mean of each spin with a field."""
        beta, gamma = 2.0 * point
        fields = self.cost.fields
        matrix = np.zeros((len(fields),) * 2)
        for (i, j), coupling in self.cost.couplings.items():
            matrix[i, j] = matrix[j, i] = coupling
        single = -np.sin(beta) * np.sin(gamma * fields) * np.cos(gamma * matrix).prod(axis=1)
        means: dict[Spins, float] = {(i,): float(single[i]) for i in np.flatnonzero(fields).tolist()}
        if not self.cost.couplings:
            return means
        i, j = np.array(list(self.cost.couplings)).T
        strength, row = matrix[i, j], np.arange(len(i))
        first, second = matrix[i], matrix[j]
        first[row, j] = second[row, i] = 0.0
        turned = -np.sin(beta) * np.cos(beta) * np.sin(gamma * strength)
        mean = turned * (
            np.cos(gamma * fields[i]) * np.cos(gamma * first).prod(axis=1)
            + np.cos(gamma * fields[j]) * np.cos(gamma * second).prod(axis=1)
        )
        for sign in (1.0, -1.0):
            both = np.cos(gamma * (first + sign * second)).prod(axis=1)
            mean -= sign * 0.5 * np.sin(beta) ** 2 * np.cos(gamma * (fields[i] + sign * fields[j])) * both
        return means | dict(zip(self.cost.couplings, mean.tolist(), strict=True))
