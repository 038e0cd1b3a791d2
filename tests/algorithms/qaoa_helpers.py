"""Binary problems of the reference tables, and exact results of their QAOA circuits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.binary import problem_kinds as binary
from hybridloop.algorithms.binary.graphs import graph_from_edges
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.qaoa.angles import with_tree_angles
from hybridloop.algorithms.qaoa.circuit import QaoaCircuit, qaoa_circuit
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub, RunRound
from tests.paths import DATA

REFERENCE: Mapping[str, Any] = json.loads((DATA / "graphs.json").read_text())


def trained(problem: BinaryProblem, layers: int) -> QaoaCircuit:
    """Return a circuit at the angles of its tree of couplings."""
    return with_tree_angles(qaoa_circuit(problem, layers=layers))[0]


def max_cut_problem(name: str) -> BinaryProblem:
    entry = REFERENCE["graphs"][name]
    return binary.max_cut(graph_from_edges(entry["n"], entry["edges"], name))


def portfolio_problem() -> BinaryProblem:
    entry = REFERENCE["portfolio"]
    return binary.portfolio(entry["mu"], entry["sigma"], risk_aversion=entry["risk_aversion"], budget=entry["budget"])


def probabilities(ansatz: QaoaCircuit, point: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    angles = ansatz.initial_point if point is None else point
    shares: NDArray[np.float64] = Statevector(ansatz.circuit.assign_parameters(angles)).probabilities()
    return shares


def exact_ratio(ansatz: QaoaCircuit, point: Sequence[float] | None = None) -> float:
    angles = None if point is None else np.array(point)
    mean = float(probabilities(ansatz, angles) @ ansatz.cost.all_energies())
    ratio = ansatz.problem.approximation_ratio(ansatz.problem.sign * mean)
    assert ratio is not None
    return ratio


def failing_rounds(rounds: RunRound, *, first: int) -> RunRound:
    """Return rounds of which the `first` few have failed jobs only."""
    remaining = [first]

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        answers = rounds(pubs)
        if remaining[0]:
            remaining[0] -= 1
            return [MeasuredPub(answer.points, tuple(FailedPoint("it was lost") for _ in answer)) for answer in answers]
        return answers

    return run_round
