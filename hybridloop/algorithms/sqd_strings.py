"""Subspaces of SQD as products of alpha and beta strings: the rule of arXiv:2405.05068, for runs of rules before 5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.estimation.configurations import Configurations
from hybridloop.algorithms.problems.full_space import Subspace
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.problems.product_spaces import StringLimits, Strings, SubspaceState, hartree_fock_strings

# share of the strings, in one batch after the other, that are the heaviest of the best state so far; the others are
# drawn: a large share refines that state, a small one leaves it
CARRIED = (0.75, 0.5, 0.9)


def product_subspaces(
    configurations: Configurations,
    before: Mapping[str, Any] | None,
    molecule: Molecule,
    most: int,
    batches: int,
    generator: np.random.Generator,
) -> list[Subspace]:
    """Return the batches' subspaces of at most `most` determinants; `before` has the `product_record` so far."""
    limits = StringLimits.of(molecule, most)
    carried = hartree_fock_strings(molecule)
    if before is not None:
        carried = np.array(before["alpha"], np.int64), np.array(before["beta"], np.int64)
    return [
        Subspace(*_choose_strings(configurations.draw(generator), carried, limits, CARRIED[number % len(CARRIED)]))
        for number in range(batches)
    ]


def product_record(state: SubspaceState, molecule: Molecule) -> dict[str, Any]:
    """Return a state's strings as JSON, by descending weight."""
    alpha, beta = state.heaviest(is_shared=molecule.electrons[0] == molecule.electrons[1])
    return {"alpha": alpha.tolist(), "beta": beta.tolist()}


def _choose_strings(
    drawn: NDArray[np.int64], carried: tuple[Strings, Strings], limits: StringLimits, share: float
) -> tuple[Strings, Strings]:
    """Return the strings of a batch's subspace, ascending: a share of the carried ones, then those of the samples.

    Where the samples have too few strings, further carried ones take their place. `drawn` are configurations (k, 2).
    """
    if limits.is_shared:
        strings = _fill(carried[0], drawn.ravel(), limits.alpha, share)
        return strings, strings
    alpha = _fill(carried[0], drawn[:, 0], limits.alpha, share)
    return alpha, _fill(carried[1], drawn[:, 1], limits.beta, share)


def _fill(carried: Strings, drawn: NDArray[np.int64], number: int, share: float) -> Strings:
    kept = carried[: max(1, int(share * number))]
    order = np.concatenate([kept, drawn, carried[len(kept) :]])
    _, first = np.unique(order, return_index=True)
    return np.sort(order[np.sort(first)[:number]]).astype(np.int64)
