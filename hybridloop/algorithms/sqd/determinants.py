"""Subspaces of SQD as single determinants, chosen among the products of alpha and beta strings.

A product of strings spends most of its determinants on amplitudes near zero. Here the samples choose the strings, and
the Hamiltonian chooses among their products: each iteration keeps the determinants of the largest amplitudes, as QSCI
does (K. Kanno et al., arXiv:2302.11320), and draws others in proportion to their second-order energies, as classical
selected CI ranks them. Where the samples have too few strings, those one excitation away from the heaviest are added,
as in extended SQD (S. Barison et al., arXiv:2411.00468); the first iteration has the samples alone.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.configurations import Configurations
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.sqd.determinant_spaces import MIN_GAP, ProductHamiltonian, second_order_energies
from hybridloop.algorithms.sqd.full_space import Subspace
from hybridloop.algorithms.sqd.product_spaces import StringLimits, Strings, SubspaceState, hartree_fock_strings

CANDIDATES = 8  # determinants of the products for each one of a subspace: bounds the time of a diagonalization
CARRIED_STRINGS = 0.75  # of the strings at most, so that there is room for new ones
# share of the determinants, in one batch after the other, that are the heaviest of the best state so far
KEPT = (0.8, 0.6, 0.9, 0.7, 0.5)
MOST_RANKED = 2  # strings for each one of a product, of which the best are added: bounds the time of the ranking
SMALLEST = 1e-300  # weight of a determinant that is not coupled: it is drawn after all others


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """The determinants of the best state so far by descending weight: strings (k, 2), and amplitudes (k,)."""

    masks: NDArray[np.int64]
    amplitudes: NDArray[np.float64]
    energy: float

    @classmethod
    def read(cls, values: Mapping[str, Any], molecule: Molecule) -> Carried:
        """Return the determinants of a `determinant_record`; `values` has its energy in hartree, too."""
        data = zlib.decompress(base64.b64decode(values["state"]))
        number = len(data) // 20
        masks = np.frombuffer(data, "<i8", 2 * number).reshape(number, 2).astype(np.int64)
        amplitudes = np.frombuffer(data, "<f4", number, 16 * number).astype(float)
        return cls(masks, amplitudes / np.linalg.norm(amplitudes), values["energy"] - molecule.core_energy)


def determinant_record(state: SubspaceState) -> dict[str, Any]:
    """Return a state's determinants as JSON text: strings, and amplitudes in single precision."""
    rows, columns = np.nonzero(state.amplitudes)
    amplitudes = state.amplitudes[rows, columns].astype("<f4")
    order = np.argsort(-np.abs(amplitudes), kind="stable")
    masks = np.stack([state.alpha[rows], state.beta[columns]], axis=1)[order]
    data = masks.astype("<i8").tobytes() + amplitudes[order].tobytes()
    return {"state": base64.b64encode(zlib.compress(data, 9)).decode()}


def determinant_subspaces(
    configurations: Configurations,
    before: Mapping[str, Any] | None,
    molecule: Molecule,
    most: int,
    batches: int,
    generator: np.random.Generator,
) -> list[Subspace]:
    """Return the batches' subspaces of at most `most` determinants; `before` has the `determinant_record` so far.

    One subspace, without a choice, where the samples have no more determinants than that.
    """
    carried = None if before is None else Carried.read(before, molecule)
    hartree_fock = np.column_stack(hartree_fock_strings(molecule))
    known = hartree_fock if carried is None else carried.masks
    is_shared = molecule.electrons[0] == molecule.electrons[1]
    limits = StringLimits.of(molecule, CANDIDATES * most)
    strings = [
        _draw_strings(known[:, spin].ravel(), *_sampled(configurations, spin), number, generator)
        for spin, number in _spins(limits)
    ]
    if carried is not None:
        strings = _completed(strings, carried, molecule, limits)
    alpha, beta = np.sort(strings[0]), np.sort(strings[-1])
    if len(alpha) * len(beta) <= most:
        return [Subspace(alpha, beta)]
    hamiltonian = ProductHamiltonian(molecule, alpha, beta)
    kept, amplitudes = _inside(known, hamiltonian), np.ones(1)
    if carried is None:
        weights = _log_shots(configurations, hamiltonian, is_shared=is_shared)
    else:
        kept, amplitudes, worth = _worth(carried, hamiltonian)
        weights = worth + worth.T if is_shared else worth
        weights = np.log(np.maximum(weights, SMALLEST))
    spaces = []
    for number in range(batches):
        noise = generator.gumbel(size=hamiltonian.shape)
        if is_shared:  # a determinant and its mirror image belong together
            noise = np.triu(noise) + np.triu(noise, 1).T
        keys = weights + noise if number or carried is None else weights  # the first batch takes the best
        first = [kept[: int(KEPT[number % len(KEPT)] * most)]]
        if carried is None:
            first.append(_inside(configurations.draw(generator), hamiltonian))
        order = np.concatenate([*first, np.argsort(-keys.ravel(), kind="stable")])
        _, places = np.unique(order, return_index=True)
        chosen = np.sort(order[np.sort(places)[:most]])
        guess = np.zeros(len(alpha) * len(beta))
        guess[kept] = amplitudes
        if not guess[chosen].any():  # a subspace of one determinant may be another than the known ones
            guess[chosen[np.argmin(hamiltonian.diagonal[chosen])]] = 1.0
        spaces.append(Subspace(alpha, beta, chosen, guess[chosen]))
    return spaces


def _spins(limits: StringLimits) -> list[tuple[int | slice, int]]:
    """Return the columns of configurations whose strings are chosen together, with the number of the strings."""
    return [(slice(None), limits.alpha)] if limits.is_shared else [(0, limits.alpha), (1, limits.beta)]


def _sampled(configurations: Configurations, spin: int | slice) -> tuple[Strings, NDArray[np.float64]]:
    """Return the sampled strings of one spin, or of both, ascending, with their shots."""
    masks = configurations.masks[:, spin].reshape(len(configurations.shots), -1)
    strings, where = np.unique(masks.ravel(), return_inverse=True)
    weights = np.repeat(configurations.shots, masks.shape[1]).astype(float)
    return strings, np.bincount(where.reshape(-1), weights=weights).astype(float)


def _draw_strings(
    known: Strings, sampled: Strings, shots: NDArray[np.float64], number: int, generator: np.random.Generator
) -> Strings:
    """Return up to `number` strings of one spin: the first known ones, and others drawn by their shots."""
    drawn = sampled[np.argsort(-(np.log(shots) + generator.gumbel(size=len(sampled))), kind="stable")]
    return _first(np.concatenate([_heaviest(known, number), drawn]), number)


def _heaviest(known: Strings, number: int) -> Strings:
    """Return those of the known strings, by descending weight, that are carried over to `number` strings."""
    return _first(known, max(1, int(CARRIED_STRINGS * number)))


def _first(strings: Strings, number: int) -> Strings:
    """Return the first different strings, in their order."""
    _, places = np.unique(strings, return_index=True)
    return strings[np.sort(places)[:number]]


def _completed(strings: list[Strings], carried: Carried, molecule: Molecule, limits: StringLimits) -> list[Strings]:
    """Return the strings of each spin, where there are too few, with excitations of the heaviest known ones.

    These, and the other known strings, are those of the largest second-order energies of their determinants, among
    up to `MOST_RANKED` times as many strings.
    """
    known = [carried.masks[:, spin].ravel() for spin, _ in _spins(limits)]
    larger = []
    for own, every, (_, number) in zip(strings, known, _spins(limits), strict=True):
        excited = [_excited(int(string), molecule.norb) for string in _heaviest(every, number)]
        more = _first(np.concatenate([own, every, *excited]), MOST_RANKED * number)
        larger.append(more if len(own) < number else own)
    if all(len(more) <= number for more, (_, number) in zip(larger, _spins(limits), strict=True)):
        return larger
    hamiltonian = ProductHamiltonian(molecule, np.sort(larger[0]), np.sort(larger[-1]))
    _, _, worth = _worth(carried, hamiltonian)
    chosen = []
    for spin, (own, more, (_, number)) in enumerate(zip(strings, larger, _spins(limits), strict=True)):
        added = more[len(own) :]
        totals = worth.sum(axis=1 - spin)[np.searchsorted(np.sort(more), added)]
        order = np.argsort(-totals, kind="stable")
        chosen.append(np.concatenate([own, added[order[: number - len(own)]]]))
    return chosen


def _worth(
    carried: Carried, hamiltonian: ProductHamiltonian
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the positions and amplitudes of the carried determinants that the product has, and every one's worth.

    That is its second-order energy (alpha strings, beta strings) in hartree: what it would add to the best state, or
    what that state would lose without it.
    """
    is_in = np.isin(carried.masks[:, 0], hamiltonian.alpha) & np.isin(carried.masks[:, 1], hamiltonian.beta)
    kept, amplitudes = _inside(carried.masks, hamiltonian), carried.amplitudes[is_in]
    vector = np.zeros(len(hamiltonian.diagonal))
    vector[kept] = amplitudes
    worth = second_order_energies(hamiltonian.apply(vector), hamiltonian.diagonal, carried.energy)
    # H ψ is E ψ there, and its square no energy of the second order
    worth[kept] = amplitudes**2 * np.maximum(hamiltonian.diagonal[kept] - carried.energy, MIN_GAP)
    return kept, amplitudes, worth.reshape(hamiltonian.shape)


def _excited(string: int, norb: int) -> Strings:
    """Return the strings with one electron in another orbital, ascending."""
    bits = 1 << np.arange(norb, dtype=np.int64)
    filled, empty = bits[(string & bits) > 0], bits[(string & bits) == 0]
    return np.sort(((string - filled)[:, None] + empty).ravel())


def _inside(masks: NDArray[np.int64], hamiltonian: ProductHamiltonian) -> NDArray[np.int64]:
    """Return the flat positions of those configurations (k, 2) whose strings the product has, in their order."""
    is_in = np.isin(masks[:, 0], hamiltonian.alpha) & np.isin(masks[:, 1], hamiltonian.beta)
    rows = np.searchsorted(hamiltonian.alpha, masks[is_in, 0])
    columns = np.searchsorted(hamiltonian.beta, masks[is_in, 1])
    positions: NDArray[np.int64] = rows * len(hamiltonian.beta) + columns
    return positions


def _log_shots(configurations: Configurations, hamiltonian: ProductHamiltonian, *, is_shared: bool) -> Any:
    """Return the logarithm of the product of both strings' shots for each determinant."""
    logs = []
    for spin, strings in enumerate((hamiltonian.alpha, hamiltonian.beta)):
        sampled, shots = _sampled(configurations, slice(None) if is_shared else spin)
        totals = np.full(len(strings), 0.5)  # of a string that was not sampled
        is_in = np.isin(sampled, strings)
        totals[np.searchsorted(strings, sampled[is_in])] = shots[is_in]
        logs.append(np.log(totals))
    return logs[0][:, None] + logs[1][None, :]
