"""Classical subspaces of the same size, beside those that samples chose: selected CI, and the best known strings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.sqd.diagonalization import Batch
from hybridloop.algorithms.sqd.full_space import FullSpace
from hybridloop.algorithms.sqd.product_spaces import StringLimits, grow_product, lowest_in_product
from hybridloop.algorithms.steps import Steps

BY_DETERMINANTS, BY_STRINGS = "selected CI", "selected CI of strings"
FROM_EXACT = "strings of the exact state"


@dataclass(frozen=True, slots=True)
class ClassicalSpace:
    """A classical subspace: its name, energy in hartree, and number of determinants."""

    name: str
    energy: float
    determinants: int


def compare_with_classical(
    molecule: Molecule, full: FullSpace | None, best: Batch, steps: Steps
) -> tuple[ClassicalSpace, ...]:
    """Return the classical subspaces with as many determinants as the best one of the samples.

    The first is a selected CI: determinant by determinant, or, where there are too many for that, string by string.
    The second has the strings of the largest weight in the exact state, where that is known.
    """

    def compute() -> dict[str, Any]:
        size, limits = best.determinants, StringLimits.of(molecule, best.determinants)
        if full is None:
            grown = grow_product(molecule, limits)
            return {"spaces": [[BY_STRINGS, grown.energy, grown.size]]}
        spaces: list[list[Any]] = [[BY_DETERMINANTS, full.selected_ci(size), size]]
        if full.is_solvable:
            product = lowest_in_product(molecule, *limits.cut(*full.best_strings(is_shared=limits.is_shared)))
            spaces.append([FROM_EXACT, product.energy, product.size])
        return {"spaces": spaces}

    return tuple(ClassicalSpace(*space) for space in steps("sqd comparison", compute)["spaces"])
