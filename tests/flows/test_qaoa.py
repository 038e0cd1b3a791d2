"""QAOA on a real service: results, resume, verification."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import networkx as nx
import numpy as np
import pytest
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_aer.primitives import SamplerV2

from hybridloop.algorithms.binary.annealing import descend
from hybridloop.algorithms.choices import GraphObjective
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub, run_round_from_sampler
from hybridloop.azure.listing import list_sessions
from hybridloop.data import load_table
from hybridloop.descriptions import ALGORITHMS
from hybridloop.descriptions.qaoa import MixerName, QaoaSettings
from hybridloop.descriptions.rqaoa import RqaoaSettings
from hybridloop.errors import InputError
from hybridloop.preparation.binary import read_binary
from hybridloop.results.live import RoundUpdate
from hybridloop.results.result import RunResult
from hybridloop.settings import ProblemText, SearchName
from tests.conftest import Emulator
from tests.flow_calls import run_plainly
from tests.preparation_helpers import prepare_qaoa, settings_for
from tests.preparation_helpers import prepared as prepare

pytestmark = pytest.mark.usefixtures("job_per_point", "own_journal")

BUILT_IN: dict[str, dict[str, Any]] = load_table("binary_problems")
MEASURED = SearchName.MEASURED
PETERSEN = ProblemText(name="petersen")


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_built_in_binary_problem_has_its_documented_optimum(name: str) -> None:
    entry = BUILT_IN[name]
    prepared = prepare_qaoa(ProblemText(name=name.upper()), QaoaSettings(), seed=0)
    assert prepared.facts.exact() == pytest.approx(entry["optimum"], abs=1e-9)
    assert prepared.facts.num_qubits == entry["variables"]
    assert prepared.problem.kind == entry["objective"]
    assert entry["title"]
    assert entry["source"]


def test_no_binary_problem_has_a_molecule_s_name() -> None:
    assert not BUILT_IN.keys() & load_table("problems").keys()


def test_a_graph_can_be_solved_for_the_largest_independent_set() -> None:
    assert read_binary(PETERSEN, GraphObjective.INDEPENDENT_SET).extremes == (4.0, 0.0)


@pytest.mark.parametrize("mixer", [MixerName.AUTO, MixerName.STANDARD, MixerName.XY, MixerName.WARM_START])
def test_every_mixer_works_with_a_budget(mixer: MixerName) -> None:
    assert prepare_qaoa(ProblemText(name="portfolio-8"), QaoaSettings(mixer=mixer), seed=1).facts.num_qubits == 8


def test_a_lost_point_is_no_value_of_a_search_with_penalties() -> None:
    """A penalty of 30 would be the best of all cuts."""
    sampled, left = run_round_from_sampler(SamplerV2(seed=1)), [1]

    def loses_the_first(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        answers = sampled(pubs)
        if not left:
            return answers
        left.pop()
        return [MeasuredPub(answer.points, (FailedPoint("it was lost"), *answer.counts[1:])) for answer in answers]

    values = {"layers": 1, "search": "measured", "failure": {"on_lost_job": "penalize", "penalty": 30.0}}
    outcome = prepare("qaoa", PETERSEN, settings_for("qaoa", values), 0).measure(loses_the_first, lambda _: None)
    assert all(round.value < 12.0 for round in outcome.history)
    assert "without 1 point(s) of lost jobs" in outcome.reason


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_setting_has_a_description(algorithm: str) -> None:
    assert all(field.description for field in ALGORITHMS[algorithm].settings.model_fields.values())


def test_fixed_angles_take_one_job_and_sample_the_best_cut(emulator: Emulator) -> None:
    updates: list[RoundUpdate] = []
    result = run_plainly("qaoa", emulator.workspace(), PETERSEN, QaoaSettings(seed=7), on_progress=updates.append)
    assert (result.status, result.algorithm, result.unit) == ("measured", "qaoa", "")
    assert (result.rounds, result.jobs, result.shots) == (1, 1, 1000)
    assert (result.best_value, result.exact, result.reference) == (12.0, 12.0, 7.5)
    assert result.value is not None
    assert result.standard_error is not None
    assert abs(result.value / 12 - 0.977) <= 4 * result.standard_error / 12  # of the best angles of three layers
    assert any(choice.startswith("angles: optimized on a classical simulation") for choice in result.choices)
    assert any(choice.startswith("simulation: expects a mean of 11.7") for choice in result.choices)
    assert any(choice.startswith("classical: ") for choice in result.choices)
    assert result.approximation_ratio == pytest.approx(result.value / 12)
    assert RunResult.from_dict(json.loads(result.to_json())) == result
    assert result.plot(kind="convergence").axes[0].get_ylabel() == "objective"
    assert len(updates) == 1


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["8GiB", "1GiB", "80MiB"])
def test_a_graph_beyond_the_memory_ends_with_a_cut_near_that_of_local_searches(
    start_emulator: Callable[..., Emulator], memory: str
) -> None:
    graph, rng = nx.random_regular_graph(3, 40, seed=5), np.random.default_rng(5)
    text = "".join(f"{i} {j} {rng.uniform(0.1, 2.0):.3f}\n" for i, j in graph.edges)
    problem = read_binary(ProblemText(name="graph", text=text), GraphObjective.MAX_CUT)
    by_descents = problem.best_of(descend(problem.cost, rng.integers(0, 2, (400, 40))))
    assert by_descents is not None
    workspace = start_emulator("--max-memory", memory).workspace()
    settings = RqaoaSettings(seed=7, shots=500)
    result = run_plainly("rqaoa", workspace, ProblemText(name="graph", text=text), settings)
    assert result.value is not None
    assert result.value >= 0.95 * by_descents
    assert result.exact == pytest.approx(problem.optimum.found)
    assert result.reason.startswith("eliminated 20 variables by simulated correlations and 17 variables by measured")
    assert (result.jobs, result.lost_shots, result.retried) == (17, 0, 0)
    wide = settings.model_copy(update={"circuit_variables": 30})
    with pytest.raises(InputError, match="the circuit has 30 qubits, and the local service has the memory for"):
        run_plainly("rqaoa", workspace, ProblemText(name="graph", text=text), wide)
    assert len(list_sessions(workspace, 5)) == 1
