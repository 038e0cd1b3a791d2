"""Molecules and graphs that no bound was tuned on, with the default settings."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.accuracy_energies import CHEMICAL_ACCURACY_MHA, MHA, CountedRounds, percent, run_errors
from benchmarks.bounds import Bound, Side
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.preparation_helpers import prepare_qaoa

# geometries in ångström; STO-3G unless said: an equilateral triangle, a larger basis, frozen cores, an active space
MOLECULES = ("H3+_0.9", "H2_0.74_6-31g", "Li2_2.67_cas2e4o", "BeH+_1.31_fc", "OH-_0.97_fc", "BH_1.23_fc")
SMALL_MOLECULES = ("H3+_0.9", "Li2_2.67_cas2e4o")
FRUCHT = (
    -5,
    -2,
    -4,
    2,
    5,
    -2,
    2,
    5,
    -2,
    -5,
    4,
    2,
)  # chords of a ring: Can. J. Math. 1 (1949) 365
KINGS_MOVES = ((0, 1), (1, 0), (1, 1), (1, -1))
EDGES = {
    "Frucht's graph": {frozenset((n, (n + to) % 12)): 1.0 for n, chord in enumerate(FRUCHT) for to in (1, chord)},
    "a weighted wheel": {
        **{frozenset((n, (n + 1) % 9)): 1.0 + n % 3 for n in range(9)},
        **{frozenset((n, 9)): 0.5 + 0.5 * (n % 4) for n in range(9)},
    },
    "a king's graph, 3 by 4": {
        frozenset((4 * row + column, 4 * (row + down) + column + right)): 1.0
        for row in range(3)
        for column in range(4)
        for down, right in KINGS_MOVES
        if row + down < 3 and 0 <= column + right < 4
    },
}


def molecules(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Measure each molecule's worst run against chemical accuracy or three of its standard errors."""
    bounds = list[Bound]()
    for name in SMALL_MOLECULES if quick else MOLECULES:
        runs = [run_errors(name, seed) for seed in range(1 if quick else 5)]
        limits = [max(CHEMICAL_ACCURACY_MHA, 3 * run.outcome.standard_error / MHA) for run in runs]
        errors = [abs(run.error_mha) for run in runs]
        error, limit = max(zip(errors, limits, strict=True), key=lambda pair: pair[0] / pair[1])
        bounds.append(Bound(f"{name}, {len(runs)} run(s): |reported|", error, Side.AT_MOST, limit, "mHa"))
    return bounds


def graphs(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Check that the samples include the best cut, which brute force finds."""
    bounds = []
    for name, edges in EDGES.items():
        text = "\n".join(" ".join(map(str, (*sorted(edge), weight))) for edge, weight in edges.items())
        best, found = _best_cut(edges), []
        for seed in range(2 if quick else 50):
            prepared = prepare_qaoa(ProblemText(name=name, text=text), QaoaSettings(), seed)
            outcome = prepared.measure(CountedRounds(shot_rounds(seed)), lambda _: None)
            assert outcome.best_bitstring is not None
            found.append(_cut(edges, int(outcome.best_bitstring, 2)) == best)
        bounds.append(Bound(f"{name}: best cut sampled", percent(found), Side.AT_LEAST, 100, "%"))
    return bounds


def _cut(edges: Mapping[frozenset[int], float], side: int) -> float:
    """Return the weight of the edges between nodes whose bit is set and the others."""
    return sum(weight for edge, weight in edges.items() if sum(side >> node & 1 for node in edge) == 1)


def _best_cut(edges: Mapping[frozenset[int], float]) -> float:
    return max(
        _cut(edges, side) for side in range(2 ** (max(max(edge) for edge in edges)))
    )  # the last node stays on one side
