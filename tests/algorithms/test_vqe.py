"""VQE from a problem to a final energy with its error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer.primitives import SamplerV2

from hybridloop.algorithms.choices import Allocation, FermionMapping
from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.estimates import Estimate, evaluation
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.optimizers.base import PointEstimate, Stop
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.optimizers.scipy import ScipyOptimizer
from hybridloop.algorithms.outcome import RoundProgress
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub, RunRound, run_round_from_sampler
from hybridloop.algorithms.search import DEFAULT_MAX_ROUNDS, Search, round_limit
from hybridloop.algorithms.vqe.claims import NO_CLAIMS, Claims
from hybridloop.algorithms.vqe.vqe import VqeResult, vqe
from hybridloop.errors import InputError, JobFailed
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.algorithms.reference_helpers import MOLECULES, problem_of

MHA = 1e-3


def run_vqe(problem: ElectronicProblem, run_round: RunRound, **settings: Any) -> VqeResult:
    """Run VQE with UCCSD, Rotosolve and the default settings; `settings` are those of the search or of the sampling."""
    ansatz = uccsd(problem)
    limits = {name: settings.pop(name) for name in ("max_rounds", "on_lost") if name in settings}
    search = Search(Rotosolve(ansatz.initial_point, ansatz.frequencies), **limits)
    called = {"on_progress": settings.pop("on_progress")} if "on_progress" in settings else {}
    return vqe(problem.hamiltonian, ansatz, search, run_round, sampling=Sampling(**settings), **called)


def energy_at(problem: ElectronicProblem, ansatz: Ansatz, parameters: Sequence[float]) -> float:
    state = Statevector(ansatz.circuit.assign_parameters(np.array(parameters)))
    return float(state.expectation_value(problem.hamiltonian).real)


def one_angle() -> Ansatz:
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("t"), 0)
    return Ansatz("ry", circuit, np.array([0.5]), ((1,),))


@pytest.mark.parametrize("mapping", list(FermionMapping))
def test_h2_from_its_file_on_a_simulator_is_chemically_accurate(mapping: FermionMapping) -> None:
    result = run_vqe(problem_of("H2_0.735", mapping), run_round_from_sampler(SamplerV2(seed=2)))
    error = result.value - MOLECULES["H2_0.735"]["exact_energy"]
    assert abs(error) <= 1.6 * MHA
    assert abs(error) <= 3 * result.standard_error
    assert result.standard_error <= 0.7 * MHA
    assert result.converged
    assert result.is_precise
    assert not result.is_exact


@pytest.mark.parametrize(("name", "limit"), [("HeH+_0.7743", 1.0), ("LiH_3_cas(2,2)", 1.2)])
def test_two_electrons_in_two_orbitals_are_accurate_and_their_error_bars_correct(name: str, limit: float) -> None:
    problem, exact = problem_of(name), MOLECULES[name]["exact_energy"]
    ansatz = uccsd(problem)
    results = [run_vqe(problem, shot_rounds(seed)) for seed in range(6)]
    assert all(result.converged and result.is_precise for result in results)
    assert max(energy_at(problem, ansatz, result.parameters) for result in results) - exact <= limit * MHA
    assert max(abs(result.value - exact) / result.standard_error for result in results) <= 4.5


def test_a_hardware_efficient_circuit_is_searched_from_a_random_start() -> None:
    problem = problem_of("H2_0.735")
    ansatz = hardware_efficient(problem.encoding.num_qubits, np.random.default_rng(1))
    optimizer = Rotosolve(ansatz.initial_point, ansatz.frequencies)
    result = vqe(problem.hamiltonian, ansatz, Search(optimizer), shot_rounds(1))
    exact = MOLECULES["H2_0.735"]["exact_energy"]
    assert energy_at(problem, ansatz, result.parameters) - exact <= 1.6 * MHA
    assert abs(result.value - exact) <= 1.6 * MHA + 3 * result.standard_error


def test_cobyla_improves_on_hartree_fock_and_reports_the_energy_of_its_point() -> None:
    problem = problem_of("H2_0.735")
    ansatz = uccsd(problem)
    result = vqe(problem.hamiltonian, ansatz, Search(ScipyOptimizer(ansatz.initial_point)), shot_rounds(0))
    found = energy_at(problem, ansatz, result.parameters)
    assert found < MOLECULES["H2_0.735"]["hf_energy"] - 10 * MHA
    assert abs(result.value - found) <= 3.5 * result.standard_error
    # one point a round, and the lowest noisy one is not what is reported
    assert all(round_.points == 1 for round_ in result.history)
    assert result.value != min(round_.value for round_ in result.history if round_.phase == "search")


def test_a_result_of_a_target_that_does_not_sample_is_exact() -> None:
    result = run_vqe(problem_of("H2_0.735"), noiseless_rounds(), shots=10_000)
    assert result.is_exact
    assert result.standard_error == 0.0
    assert 0.0 < result.rounding_bound < 1 * MHA
    assert result.interval95 == (result.value - result.rounding_bound, result.value + result.rounding_bound)
    assert abs(result.value - MOLECULES["H2_0.735"]["exact_energy"]) <= result.rounding_bound + 0.05 * MHA
    assert [round_.phase for round_ in result.history] == ["search", "final"]


@pytest.mark.parametrize("precision", [0.7 * MHA, 0.1 * MHA])
def test_a_target_that_does_not_sample_gets_the_shots_that_its_rounding_needs(precision: float) -> None:
    result = run_vqe(problem_of("LiH_3_cas(2,2)"), noiseless_rounds(), precision=precision, max_rounds=8)
    assert result.is_precise
    assert 0.0 < result.rounding_bound <= precision
    assert [round_.phase for round_ in result.history].count("final") == 1


def test_a_precision_below_rounding_takes_a_bounded_number_of_shots() -> None:
    result = run_vqe(problem_of("LiH_3_cas(2,2)"), noiseless_rounds(), precision=1e-12)
    assert not result.is_precise
    assert result.shots < 1.1e8


def test_the_history_is_what_was_reported_round_by_round() -> None:
    seen: list[RoundProgress] = []
    result = run_vqe(problem_of("HeH+_0.7743"), shot_rounds(3), on_progress=seen.append)
    assert tuple(seen) == result.history
    assert [each.round for each in seen] == list(range(1, result.rounds + 1))
    assert seen[-1].total_shots == result.shots == sum(each.shots for each in seen)
    assert result.circuits == sum(each.circuits for each in seen)
    assert (seen[0].points, seen[0].circuits, seen[0].shots) == (3, 3 * result.groups, 3 * result.groups * 4000)
    assert [each.phase for each in seen] == sorted((each.phase for each in seen), reverse=True)
    assert seen[-1].value == result.value
    assert seen[-1].point == result.parameters


@pytest.mark.parametrize("precision", [5 * MHA, 0.3 * MHA])
def test_the_final_measurement_reaches_the_requested_precision_and_hardly_more(precision: float) -> None:
    result = run_vqe(problem_of("H2_0.735"), shot_rounds(4), precision=precision)
    assert 0.9 * precision <= result.standard_error <= precision


def test_a_uniform_allocation_is_as_precise_and_takes_more_shots() -> None:
    shots_of: dict[Allocation, int] = {}
    for allocation in Allocation:
        shots: list[list[int]] = []
        run_round = shot_rounds(4)

        def counted(pubs: Sequence[SamplerPub], /, noted: list[list[int]] = shots) -> list[MeasuredPub]:
            noted.append([int(pub.shots) for pub in pubs])
            return run_round(pubs)  # noqa: B023 (called within the turn)

        result = run_vqe(problem_of("HeH+_0.7743"), counted, allocation=allocation)
        assert 0.0 < result.standard_error <= 0.7 * MHA
        shots_of[allocation] = result.shots
        final = shots[-2:]
        assert all((len(set(each)) == 1) == (allocation is Allocation.UNIFORM) for each in final)
    assert shots_of[Allocation.NEYMAN] < shots_of[Allocation.UNIFORM]


def test_rounds_that_were_requested_are_a_measurement_and_no_convergence() -> None:
    result = run_vqe(problem_of("HeH+_0.7743"), shot_rounds(4), max_rounds=2)
    assert (result.converged, result.is_requested) == (False, True)
    assert result.reason.startswith("max_rounds=2, as requested; measured at ")
    assert [round_.phase for round_ in result.history][:3] == ["search", "search", "final"]
    assert result.is_precise


def test_the_default_limit_of_rounds_is_no_request() -> None:
    assert round_limit(DEFAULT_MAX_ROUNDS - 1).is_requested
    for limit in (DEFAULT_MAX_ROUNDS, DEFAULT_MAX_ROUNDS + 1):
        stop = round_limit(limit)
        assert (stop.converged, stop.is_requested) == (False, False)
        assert f"limit of {limit} rounds" in stop.reason


def test_a_search_that_ends_in_its_last_round_has_converged() -> None:
    assert run_vqe(problem_of("H2_0.735"), shot_rounds(4), max_rounds=1).converged


def test_the_optimizer_gets_the_points_as_measured_not_as_computed() -> None:
    points_told: list[NDArray[np.float64]] = []
    run_round = shot_rounds(4)

    class RecordingOptimizer(ScipyOptimizer):
        def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
            points_told.append(points)
            super().tell(points, estimates)

    def rounded(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        return [MeasuredPub(each.points + 1e-10, each.counts) for each in run_round(pubs)]

    problem = problem_of("H2_0.735")
    ansatz = uccsd(problem)
    vqe(problem.hamiltonian, ansatz, Search(RecordingOptimizer(ansatz.initial_point), 3), rounded)
    assert points_told[0][0, 0] == ansatz.initial_point[0] + 1e-10


def failing_rounds(run_round: RunRound, fails: Callable[[int], bool]) -> RunRound:
    """Wrap rounds so that the first result fails in the rounds that `fails` selects by number."""
    number = 0

    def run_failing(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        nonlocal number
        number += 1
        results = run_round(pubs)
        if fails(number):
            results[0] = MeasuredPub(results[0].points, (FailedPoint("the queue swallowed it"), *results[0][1:]))
        return results

    return run_failing


def test_a_failed_circuit_of_the_final_measurement_is_repeated() -> None:
    run_round = failing_rounds(shot_rounds(1), lambda number: number in (2, 4))
    submitted: list[int] = []

    def counted(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        submitted.extend(pub.size * pub.shots for pub in pubs)
        return run_round(pubs)

    result = run_vqe(problem_of("H2_0.735"), counted)
    assert result.is_precise
    assert result.shots == sum(submitted)
    assert abs(result.value - MOLECULES["H2_0.735"]["exact_energy"]) <= 4 * result.standard_error


def test_a_circuit_that_always_fails_is_an_error() -> None:
    with pytest.raises(JobFailed, match="the queue swallowed it"):
        run_vqe(problem_of("H2_0.735"), failing_rounds(shot_rounds(1), lambda number: number > 1))
    with pytest.raises(JobFailed, match="the queue swallowed it"):
        run_vqe(problem_of("H2_0.735"), failing_rounds(shot_rounds(1), lambda number: number == 1))


def test_an_unreachable_precision_is_not_claimed() -> None:
    ansatz = one_angle()
    optimizer = Rotosolve(ansatz.initial_point, ansatz.frequencies)
    observed, sampling = SparsePauliOp(["X", "Z"], [1.0, 0.5]), Sampling(precision=1e-9)
    result = vqe(observed, ansatz, Search(optimizer), shot_rounds(0), sampling=sampling)
    assert not result.is_precise
    assert result.standard_error > 1e-9
    assert result.shots < 1e9


def test_a_circuit_without_angles_is_only_measured() -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    ansatz = Ansatz("plus", circuit, np.zeros(0), ())
    search, sampling = Search(Rotosolve(np.zeros(0), ())), Sampling(precision=0.01)
    result = vqe(SparsePauliOp(["Z"]), ansatz, search, shot_rounds(0), sampling=sampling)
    assert abs(result.value) <= 0.04
    assert {round_.phase for round_ in result.history} == {"final"}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"shots": 0}, "shots"),
        ({"precision": 0.0}, "precision"),
        ({"precision": float("nan")}, "precision"),
        ({"precision": 1e-170}, "precision"),  # its square, a variance, is 0 in double precision
        ({"max_rounds": 0}, "max_rounds"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_runs(settings: dict[str, Any], field: str) -> None:
    def never(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        raise AssertionError("a round was run")

    with pytest.raises(InputError) as caught:
        run_vqe(problem_of("H2_0.735"), never, **settings)
    assert caught.value.field == field


def test_parts_of_different_sizes_are_refused() -> None:
    problem = problem_of("H2_0.735")
    fitting = uccsd(problem)
    measured = fitting.circuit.copy()
    measured.measure_all()
    cases: list[tuple[Ansatz, NDArray[np.float64], str]] = [
        (one_angle(), np.zeros(1), "ansatz"),
        (Ansatz("measured", measured, np.zeros(1), ((2,),)), np.zeros(1), "ansatz"),
        (fitting, np.zeros(3), "optimizer"),
    ]
    for ansatz, start, field in cases:
        with pytest.raises(InputError) as caught:
            vqe(problem.hamiltonian, ansatz, Search(Rotosolve(start, ((1,),) * len(start))), noiseless_rounds())
        assert caught.value.field == field


def test_estimates_have_the_variance_of_each_group() -> None:
    problem = problem_of("H2_0.735")
    measured = evaluation(observable(problem.hamiltonian), uccsd(problem), shot_rounds(0))
    _, (estimate,) = measured.energies(np.array([[0.3]]), 5000)
    assert isinstance(estimate, Estimate)
    assert len(estimate.shot_variances) == 2
    # one rare shot of one group is expected, and of each where shots are planned
    assert estimate.sampled_error**2 < estimate.variance < sum(estimate.shot_variances) / 5000
    assert estimate.variance == pytest.approx(sum(estimate.shot_variances) / 5000, rel=1e-3)


class RefinedForEver:
    """An optimizer that has converged after two rounds at its start, and never does again once it is refined."""

    can_skip: ClassVar[bool] = False

    def __init__(self, start: NDArray[np.float64]) -> None:
        self.start = start
        self.best: PointEstimate | None = None
        self.stop: Stop | None = None
        self.told = 0

    def ask(self) -> NDArray[np.float64]:
        return np.empty((0, len(self.start))) if self.stop else self.start[None]

    def tell(self, points: NDArray[np.float64], estimates: Sequence[Estimate | FailedPoint]) -> None:
        (estimate,) = estimates
        assert isinstance(estimate, Estimate)
        self.told += 1
        self.best = PointEstimate.of(estimate, points[0])
        self.stop = Stop(converged=True, reason="two rounds") if self.told == 2 else None

    def refine(self, _tolerance: float | None = None) -> None:
        self.stop = None


def test_a_limit_that_ends_a_refinement_takes_no_claim_of_the_search_before() -> None:
    problem = problem_of("H2_0.735")

    class NeverEnough(Claims):
        def falls_short(self, _point: NDArray[np.float64], _residue: float, /) -> bool:
            return True

    def searched(max_rounds: int, claims: Claims) -> VqeResult:
        ansatz = uccsd(problem)
        search = Search(RefinedForEver(ansatz.initial_point), max_rounds)
        sampling = Sampling(precision=5 * MHA)
        return vqe(problem.hamiltonian, ansatz, search, shot_rounds(0), sampling=sampling, claims=claims)

    plain, refined = searched(200, NO_CLAIMS), searched(3, NeverEnough())
    assert (plain.converged, plain.reason) == (True, "two rounds")
    assert (refined.converged, refined.reason) == (True, "two rounds; then max_rounds=3, as requested")
