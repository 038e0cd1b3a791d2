"""Constrained problems as a caller writes them, and their optimum by going through all assignments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Program = dict[str, Any]


def knapsack(items: int, seed: int) -> Program:
    rng = np.random.default_rng(seed)
    values, weights = rng.integers(1, 12, items), rng.integers(1, 9, items)
    capacity = {f"i{k}": int(weight) for k, weight in enumerate(weights)}, "<=", int(weights.sum() // 2)
    return {"maximize": {f"i{k}": int(v) for k, v in enumerate(values)}, "constraints": {"capacity": capacity}}


def assignment(workers: int, seed: int) -> Program:
    costs = np.random.default_rng(seed).integers(1, 20, (workers, workers))
    return {
        "minimize": {f"x{i}{j}": int(costs[i, j]) for i in range(workers) for j in range(workers)},
        "constraints": _both_ways("x", workers),
    }


def tour(cities: int, seed: int) -> Program:
    places = np.random.default_rng(seed).random((cities, 2))
    distances = np.round(np.linalg.norm(places[:, None] - places[None], axis=2), 3)
    terms = {
        (f"c{i}{time}", f"c{j}{(time + 1) % cities}"): float(distances[i, j])
        for time in range(cities)
        for i in range(cities)
        for j in range(cities)
        if i != j
    }
    return {"minimize": terms, "constraints": _both_ways("c", cities)}


def _both_ways(letter: str, count: int) -> dict[str, Any]:
    rows = {f"row {i}": ({f"{letter}{i}{j}": 1 for j in range(count)}, "=", 1) for i in range(count)}
    columns = {f"column {j}": ({f"{letter}{i}{j}": 1 for i in range(count)}, "=", 1) for j in range(count)}
    return rows | columns


def packing(items: int, bins: int, size: int, seed: int) -> Program:
    weights = np.random.default_rng(seed).integers(1, size, items)
    once = {f"item {i}": ({f"x{i}{b}": 1 for b in range(bins)}, "=", 1) for i in range(items)}
    fits = {
        f"bin {b}": ({**{f"x{i}{b}": int(weights[i]) for i in range(items)}, f"y{b}": -size}, "<=", 0)
        for b in range(bins)
    }
    return {"minimize": {f"y{b}": 1 for b in range(bins)}, "constraints": once | fits}


def portfolio(assets: int, number: int, seed: int) -> Program:
    rng = np.random.default_rng(seed)
    factors, returns = rng.normal(size=(assets, assets)), rng.normal(size=assets)
    risk = factors @ factors.T / assets
    terms: dict[Any, float] = {f"a{i}": round(float(risk[i, i] / 2.0 - returns[i]), 4) for i in range(assets)}
    terms |= {(f"a{i}", f"a{j}"): round(float(risk[i, j]), 4) for i in range(assets) for j in range(i)}
    prices = {f"a{i}": 1.5 + i for i in range(assets)}
    constraints = {
        "cardinality": (dict.fromkeys(prices, 1), "=", number),
        "price": (prices, "<=", 1.5 * number + assets),
    }
    return {"minimize": terms, "constraints": constraints}


def colouring(edges: list[tuple[int, int]], colours: int) -> Program:
    nodes = sorted({node for edge in edges for node in edge})
    one = {f"node {v}": ({f"x{v}{c}": 1 for c in range(colours)}, "=", 1) for v in nodes}
    apart = {
        f"edge {i}{j} colour {c}": ({f"x{i}{c}": 1, f"x{j}{c}": 1}, "<=", 1) for i, j in edges for c in range(colours)
    }
    return {"minimize": {f"x{v}{c}": c for v in nodes for c in range(colours)}, "constraints": one | apart}


TWELVE = {
    "a knapsack of 6": knapsack(6, 1),
    "a knapsack of 12": knapsack(12, 2),
    "an assignment of 3": assignment(3, 1),
    "an assignment of 4": assignment(4, 2),
    "a tour of 3": tour(3, 1),
    "a tour of 4": tour(4, 2),
    "3 items in 2 bins": packing(3, 2, 6, 1),
    "4 items in 3 bins": packing(4, 3, 7, 2),
    "a portfolio of 6": portfolio(6, 3, 1),
    "a portfolio of 10": portfolio(10, 4, 2),
    "a colouring of 4": colouring([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)], 3),
    "a colouring of 6": colouring([(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (0, 3)], 3),
}


def terms_of(program: Program) -> dict[Any, float]:
    return {**program.get("maximize", {}), **program.get("minimize", {})}


def names_of(program: Program) -> list[str]:
    named = [name for product in terms_of(program) for name in ((product,) if isinstance(product, str) else product)]
    named += [name for coefficients, *_ in program["constraints"].values() for name in coefficients]
    return list(dict.fromkeys(named))


def met_by(program: Program, bits: NDArray[np.uint8]) -> dict[str, NDArray[np.bool_]]:
    """Return for each constraint whether rows of bits (k, n) meet it."""
    place = {name: number for number, name in enumerate(names_of(program))}
    met = {}
    for name, (coefficients, sense, bound) in program["constraints"].items():
        sums = sum(value * bits[:, place[each]].astype(float) for each, value in coefficients.items())
        met[name] = {"<=": sums <= bound + 1e-9, "=": abs(sums - bound) < 1e-9, ">=": sums >= bound - 1e-9}[sense]
    return met


def values_of(program: Program, bits: NDArray[np.uint8]) -> NDArray[np.float64]:
    place = {name: number for number, name in enumerate(names_of(program))}
    total = np.zeros(len(bits))
    for product, value in terms_of(program).items():
        chosen = [place[name] for name in ((product,) if isinstance(product, str) else product)]
        total += value * bits[:, chosen].prod(axis=1, dtype=float)
    return total


def all_bits(count: int) -> NDArray[np.uint8]:
    return np.asarray(np.arange(2**count)[:, None] >> np.arange(count) & 1, np.uint8)


def best_value(program: Program) -> float:
    bits = all_bits(len(names_of(program)))
    feasible = np.logical_and.reduce([np.ones(len(bits), bool), *met_by(program, bits).values()])
    values = values_of(program, bits)[feasible]
    return float(values.max() if "maximize" in program else values.min())
