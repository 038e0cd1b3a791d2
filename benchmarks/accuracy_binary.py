"""Accuracy of QAOA on max-cut: fixed angles in one job, and recursive QAOA."""

from __future__ import annotations

import json
from functools import cache
from statistics import fmean
from typing import Any

from benchmarks.accuracy_energies import DATA, CountedRounds
from benchmarks.bounds import Bound, Side
from hybridloop.descriptions.qaoa import QaoaSettings
from hybridloop.descriptions.rqaoa import RqaoaSettings
from hybridloop.settings import ProblemText
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.preparation_helpers import prepare_qaoa, prepare_rqaoa

ALL_BUT_EXACT = 10_000_000  # shots of a target that does not sample: rounding changes a ratio by 1e-6
TEN_NODES = ("reg3_n10_s1", "reg3w_n10_s12", "gnp_n10_p05_s4")


@cache
def _graphs() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "graphs.json").read_text())["graphs"]
    return found


def _text(name: str) -> ProblemText:
    edges = (" ".join(map(str, edge)) for edge in _graphs()[name]["edges"])
    return ProblemText(name=name, text="\n".join(edges))


def _is_best(value: float | None, name: str) -> bool:
    return value is not None and abs(value - _graphs()[name]["max_cut"]) < 1e-9


def cubic_graphs(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """QAOA with the defaults on 15 cubic graphs of 8 to 16 nodes; the exact ratios at its angles, and the cuts seen.

    The short form has those of up to 12 nodes: simulating the others takes most of the time.
    """
    largest = 12 if quick else 16
    names = [name for name, graph in _graphs().items() if name.startswith("reg3_") and graph["n"] <= largest]
    title = f"{len(names)} cubic graphs"
    exact = QaoaSettings(shots=ALL_BUT_EXACT)
    ratios = []
    seeds = range(1 if quick else 20)
    best, most_jobs, most_shots = 0, 0, 0
    for name in names:
        mean = prepare_qaoa(_text(name), exact, 0).measure(noiseless_rounds(), lambda _: None).value
        ratios.append(mean / _graphs()[name]["max_cut"])
        prepared = prepare_qaoa(_text(name), QaoaSettings(), 0)
        for seed in seeds:
            counted = CountedRounds(shot_rounds(seed))
            best += _is_best(prepared.measure(counted, lambda _: None).best_value, name)
            most_jobs, most_shots = max(most_jobs, counted.jobs), max(most_shots, counted.shots)
    return [
        Bound(f"{title}, 3 layers: mean exact ratio", 100 * fmean(ratios), Side.AT_LEAST, 90, "%"),
        Bound(f"{title}, 3 layers: least exact ratio", 100 * min(ratios), Side.AT_LEAST, 86, "%"),
        Bound(f"{title}: runs that saw the best cut", 100 * best / (len(names) * len(seeds)), Side.AT_LEAST, 100, "%"),
        Bound(f"{title}: jobs of a run", most_jobs, Side.AT_MOST, 1),
        Bound(f"{title}: shots of a run", most_shots, Side.AT_MOST, 1000),
    ]


def recursion(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Recursive QAOA of one layer on three graphs of ten nodes: noiseless, and with the defaults' shots."""
    seeds = range(3 if quick else 50)
    bounds = []
    for name in TEN_NODES:
        prepared = prepare_rqaoa(_text(name), RqaoaSettings(), 0)
        counted = CountedRounds(noiseless_rounds())
        exact = prepared.measure(counted, lambda _: None)
        best = sum(_is_best(prepared.measure(shot_rounds(seed), lambda _: None).value, name) for seed in seeds)
        optimum = _graphs()[name]["max_cut"]
        bounds += [
            Bound(f"recursion, {name}: noiseless cut", 100 * exact.value / optimum, Side.AT_LEAST, 100 - 1e-9, "%"),
            Bound(f"recursion, {name}: jobs", counted.jobs, Side.AT_MOST, 7),
            Bound(f"recursion, {name}: runs with the best", 100 * best / len(seeds), Side.AT_LEAST, 100, "%"),
        ]
    return bounds
