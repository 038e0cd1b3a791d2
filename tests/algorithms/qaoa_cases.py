"""Problems of the tables and what their circuits give exactly, for the tests of QAOA."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

from hybridloop.algorithms import qubo
from hybridloop.algorithms.graphs import graph_of
from hybridloop.algorithms.qaoa_circuit import QaoaCircuit
from hybridloop.algorithms.qaoa_refine import QuadraticRefinement
from hybridloop.algorithms.qubo import BinaryProblem
from hybridloop.algorithms.rounds import Lost, Measured, RunRound
from hybridloop.data import load

TABLE: Mapping[str, Any] = load("qaoa_angles")["3-regular"]
REFERENCE: Mapping[str, Any] = json.loads((Path(__file__).parent.parent / "data" / "graphs.json").read_text())
Rounds = Callable[[int], RunRound]


def cut_of(name: str) -> BinaryProblem:
    entry = REFERENCE["graphs"][name]
    return qubo.max_cut(graph_of(entry["n"], entry["edges"], name))


def budgeted() -> BinaryProblem:
    entry = REFERENCE["portfolio"]
    return qubo.portfolio(entry["mu"], entry["sigma"], risk_aversion=entry["risk_aversion"], budget=entry["budget"])


def probabilities(ansatz: QaoaCircuit, point: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    angles = ansatz.initial_point if point is None else point
    found: NDArray[np.float64] = Statevector(ansatz.circuit.assign_parameters(angles)).probabilities()
    return found


def exact_ratio(ansatz: QaoaCircuit, point: Sequence[float] | None = None) -> float:
    at = None if point is None else np.array(point)
    mean = float(probabilities(ansatz, at) @ ansatz.cost.all_energies())
    ratio = ansatz.problem.approximation_ratio(ansatz.problem.sign * mean)
    assert ratio is not None
    return ratio


def one_step(ansatz: QaoaCircuit) -> QuadraticRefinement:
    return QuadraticRefinement(ansatz.initial_point, ansatz.scales, steps=1)


def losing(rounds: RunRound, *, first: int) -> RunRound:
    """Rounds of which the first few lose all their jobs."""
    left = [first]

    def run_round(pubs: Sequence[SamplerPub], /) -> list[Measured]:
        answers = rounds(pubs)
        if left[0]:
            left[0] -= 1
            return [Measured(each.points, tuple(Lost("it was lost") for _ in each)) for each in answers]
        return answers

    return run_round
