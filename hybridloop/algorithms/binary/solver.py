"""The lowest energy of a problem that is too large to enumerate, by HiGHS, or a bound of it.

Each product of bits becomes a variable of a mixed-integer linear program with the linear inequalities that fix it
(R. Fortet, Trabajos de Estadística 11 (1960) 111). HiGHS: Q. Huangfu and J. A. J. Hall, Math. Program. Comput. 10
(2018) 119.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from hybridloop.algorithms.binary.constraints import Linear
from hybridloop.algorithms.binary.ising import Ising, Spins
from hybridloop.runtime.waits import SOLVER_S

MAX_PRODUCTS = 5000  # of bits: the linear program of more takes longer than that by itself
GAP = 1e-6  # of the largest coefficient: HiGHS's tolerance
_INFEASIBLE = 2  # status of scipy.optimize.milp


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A solver's answer: the bits (n,) of the lowest energy, None without any, and a lower bound of all energies.

    With `is_infeasible` there is no assignment to take, with `is_exact` the bits are shown to have the lowest energy.
    """

    bits: NDArray[np.uint8] | None
    bound: float
    is_infeasible: bool = False
    is_exact: bool = False


def term_bound(energy: Ising) -> float:
    """Return a lower bound of an energy: each term at its lowest, as the sum of a cut's positive weights."""
    return energy.offset - math.fsum(map(abs, energy.terms.values()))


def solve(energy: Ising, violations: Sequence[Ising] = (), linears: Sequence[Linear] = ()) -> Solution:
    """Return the lowest energy of the assignments without violation that meet the linear constraints, and a bound.

    The bound is equal to the energy, up to `GAP`, where HiGHS ends within `SOLVER_S`.
    """
    bound, count = term_bound(energy), energy.num_variables
    costs, limits = _of_bits(energy), dict[Spins, float]()
    for violation in violations:
        for bits, value in _of_bits(violation).items():
            limits[bits] = limits.get(bits, 0.0) + value
    products = sorted({bits for bits in (*costs, *limits) if len(bits) > 1})
    scale = max(map(abs, costs.values()), default=0.0)
    if len(products) > MAX_PRODUCTS or not (scale or linears):
        return Solution(None, bound)
    scale = scale or 1.0
    place = {(i,): i for i in range(count)} | {bits: count + number for number, bits in enumerate(products)}
    rows, upper = _fixed(products, place, costs, is_needed=bool(limits))
    lower = [-math.inf] * len(rows)
    if limits and limits.keys() <= {()}:
        return Solution(None, bound, is_infeasible=limits[()] > 0.0)
    if limits:
        rows.append({place[bits]: value for bits, value in limits.items() if bits})
        upper.append(-limits.get((), 0.0))
        lower.append(-math.inf)
    for linear in linears:
        size = max((abs(value) for _, value in linear.coefficients), default=1.0)
        rows.append({variable: value / size for variable, value in linear.coefficients})
        upper.append(linear.most / size)
        lower.append(linear.least / size)
    objective, highest = np.zeros(len(place)), np.ones(len(place))
    for bits, value in costs.items():
        if bits:
            objective[place[bits]] = value / scale
    if not violations and not linears and all(len(spins) % 2 == 0 for spins in energy.terms):
        highest[0] = 0.0  # an assignment and its complement have the same energy
    found = scipy.optimize.milp(
        objective,
        integrality=(np.arange(len(place)) < count).astype(int),
        bounds=scipy.optimize.Bounds(0.0, highest),
        constraints=[scipy.optimize.LinearConstraint(_matrix(rows, len(place)), lower, upper)] if rows else [],
        options={"time_limit": SOLVER_S, "mip_rel_gap": 0.0},
    )
    if found.status == _INFEASIBLE:
        return Solution(None, bound, is_infeasible=True)
    lowest = None if found.x is None else np.round(found.x[:count]).astype(np.uint8)
    if found.mip_dual_bound is not None and math.isfinite(found.mip_dual_bound):
        bound = max(bound, scale * (float(found.mip_dual_bound) - GAP) + costs.get((), 0.0))
    is_exact = lowest is not None and float(energy.energies(lowest)[0]) - bound <= 2.0 * GAP * scale
    if is_exact:
        assert lowest is not None
        bound = float(energy.energies(lowest)[0])
    return Solution(lowest, bound, is_exact=is_exact)


def _of_bits(energy: Ising) -> dict[Spins, float]:
    """Return the energy as a sum of products of bits: Π s_i = Π (1 − 2 x_i)."""
    sums: dict[Spins, float] = {(): energy.offset}
    for spins, value in energy.terms.items():
        for size in range(len(spins) + 1):
            for bits in itertools.combinations(spins, size):
                sums[bits] = sums.get(bits, 0.0) + value * (-2.0) ** size
    return sums


def _fixed(
    products: list[Spins], place: dict[Spins, int], costs: dict[Spins, float], *, is_needed: bool
) -> tuple[list[dict[int, float]], list[float]]:
    """Return the inequalities, rows and upper limits, that make y the product of its bits.

    Those from above hold y down, and that from below up. Only one kind is needed where y is in the costs alone.
    """
    rows, upper = list[dict[int, float]](), list[float]()
    for bits in products:
        y = place[bits]
        if is_needed or costs.get(bits, 0.0) < 0.0:
            rows += [{y: 1.0, bit: -1.0} for bit in bits]
            upper += [0.0] * len(bits)
        if is_needed or costs.get(bits, 0.0) > 0.0:
            rows.append({y: -1.0, **dict.fromkeys(bits, 1.0)})
            upper.append(len(bits) - 1.0)
    return rows, upper


def _matrix(rows: list[dict[int, float]], width: int) -> scipy.sparse.csr_array:
    entries = [(number, column, value) for number, row in enumerate(rows) for column, value in row.items()]
    numbers, columns, values = zip(*entries, strict=True)
    return scipy.sparse.csr_array((values, (numbers, columns)), shape=(len(rows), width))
