"""QAOA at three layers over nine kinds of problems: angles chosen, compared with the best of a long simulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.bounds import Bound, Side
from hybridloop.algorithms.binary.graphs import graph_from_edges
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.binary.problem_kinds import max_cut, number_partitioning, portfolio, qubo
from hybridloop.algorithms.qaoa.angles import QaoaSimulation, ScaledEnergy, minimum_from, with_simulated_angles
from hybridloop.algorithms.qaoa.circuit import Mixer, QaoaCircuit, qaoa_circuit
from hybridloop.algorithms.qaoa.comparison import random_mean

LAYERS = 3
SIZES = (8, 11, 14, 17, 20)
STARTS = 12
QUICK = ("fields",)
Random = np.random.Generator


def _graph(count: int, pairs: NDArray[np.int64], weights: NDArray[np.float64] | None = None) -> BinaryProblem:
    weights = np.ones(len(pairs)) if weights is None else weights
    return max_cut(
        graph_from_edges(count, [(int(i), int(j), float(w)) for (i, j), w in zip(pairs, weights, strict=True)])
    )


def _drawn(count: int, share: float, random: Random) -> NDArray[np.int64]:
    pairs = np.array([(i, j) for j in range(count) for i in range(j)])
    chosen = random.random(len(pairs)) < share
    chosen[[int(random.integers(len(pairs)))]] = True
    return pairs[chosen]


def _cubic(count: int, random: Random) -> BinaryProblem:
    count += count % 2
    while True:  # the configuration model, until the graph is simple
        pairs = np.sort(random.permutation(np.repeat(np.arange(count), 3)).reshape(-1, 2), axis=1)
        if (pairs[:, 0] < pairs[:, 1]).all() and len(np.unique(pairs, axis=0)) == len(pairs):
            return _graph(count, pairs)


def _weighted(count: int, random: Random) -> BinaryProblem:
    pairs = _drawn(count, 0.4, random)
    return _graph(count, pairs, random.uniform(0.1, 3.0, len(pairs)))


def _signed(count: int, random: Random) -> BinaryProblem:
    pairs = _drawn(count, 0.5, random)
    return _graph(count, pairs, random.choice([-1.0, 1.0], len(pairs)))


def _tree(count: int, random: Random) -> BinaryProblem:
    return _graph(count, np.array([(int(random.integers(node)), node) for node in range(1, count)]))


def _disconnected(count: int, random: Random) -> BinaryProblem:
    half = count // 2
    return _graph(count, np.concatenate([_drawn(half, 0.7, random), half + _drawn(count - half, 0.7, random)]))


def _with_fields(count: int, random: Random) -> BinaryProblem:
    matrix = np.triu(random.normal(size=(count, count)))
    matrix[0, 0] *= 10.0
    return qubo(matrix)


def _portfolio(count: int, random: Random) -> BinaryProblem:
    factors = random.normal(size=(count, count)) / np.sqrt(count)
    return portfolio(random.uniform(0.0, 1.0, count), factors @ factors.T, risk_aversion=0.5, budget=count // 2)


KINDS: dict[str, Callable[[int, Random], BinaryProblem]] = {
    "cubic": _cubic,
    "dense": lambda count, random: _graph(count, _drawn(count, 0.8, random)),
    "weighted": _weighted,
    "signed": _signed,
    "tree": _tree,
    "disconnected": _disconnected,
    "fields": _with_fields,
    "partitioning": lambda count, random: number_partitioning(random.integers(1, 50, count).tolist()),
    "portfolio": _portfolio,
}


def kinds(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Compare the mean at the angles chosen, r = (mean − random) / (optimum − random), with the best that is found."""
    above, shares = list[float](), list[float]()
    for number, (kind, make) in enumerate(KINDS.items()):
        if quick and kind not in QUICK:
            continue
        for size in SIZES[:1] if quick else SIZES:
            problem = make(size, np.random.default_rng([number, size]))
            mixer = Mixer.XY if problem.constraints else Mixer.STANDARD
            circuit, _ = with_simulated_angles(qaoa_circuit(problem, layers=LAYERS, mixer=mixer))
            simulation = QaoaSimulation.of(circuit.cost, circuit.groups, None)
            random, lowest = random_mean(circuit), float(simulation.energies.min())
            found = (simulation.energy(circuit.initial_point) - random) / (lowest - random)
            starts = 2 if quick or size > 14 else STARTS
            best = (_best(simulation, circuit, starts) - random) / (lowest - random)
            above.append(found)
            shares.append(found / max(best, found))
            if not quick:
                print(f"  {kind:13} {size:3} variables: r {found:.3f}, best {best:.3f}", flush=True)
    good = 100 * float(np.mean(np.array(shares) >= 0.9))
    return [
        Bound("QAOA by kind: least r", min(above), Side.AT_LEAST, 0.0),
        Bound("QAOA by kind: problems with 0.9 of the best r", good, Side.AT_LEAST, 80, "%"),
    ]


def _best(simulation: QaoaSimulation, circuit: QaoaCircuit, drawn_starts: int) -> float:
    """Return the lowest mean of searches from random angles and from those chosen."""
    generator, energy = np.random.default_rng(0), ScaledEnergy(simulation.energy, circuit.scales)
    starts = [circuit.initial_point / circuit.scales]
    for _ in range(drawn_starts):
        starts.append(np.concatenate([generator.uniform(0.0, np.pi / 2, LAYERS), generator.uniform(0.0, 1.5, LAYERS)]))
    return min(energy(minimum_from(energy, start, 300)) for start in starts)
