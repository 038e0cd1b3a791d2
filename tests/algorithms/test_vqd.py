"""VQD: levels against the dense spectrum, shared rounds, refused settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.circuits.statevector import StatevectorModel
from hybridloop.algorithms.estimation.reference_mixture import ReferenceMixture
from hybridloop.algorithms.optimizers.registry import choose_optimizer
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub, RunRound, pub_points
from hybridloop.algorithms.vqd import vqd
from hybridloop.errors import InputError, JobFailed
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.long_form import long_form, short_or_long

MANY = 10**9  # shots that leave 1e-8 hartree of rounding


def layered(seed: int = 0) -> Ansatz:
    return hardware_efficient(2, np.random.default_rng(seed), reps=3)


def starts(count: int) -> list[Any]:
    return list(np.random.default_rng(0).uniform(-math.pi, math.pi, (count, layered().num_parameters)))


def fine(ansatz: Ansatz) -> Rotosolve:
    return Rotosolve(ansatz.initial_point, ansatz.frequencies, tolerance=1e-7, max_sweeps=100)


def coarse(ansatz: Ansatz) -> Rotosolve:
    return Rotosolve(ansatz.initial_point, ansatz.frequencies, max_sweeps=6)


@long_form
@pytest.mark.parametrize("name", ["H2_0.735", "LiH_3_cas(2,2)"])
def test_the_four_levels_are_those_of_the_dense_spectrum(
    problem_of: Callable[..., ElectronicProblem], name: str
) -> None:
    hamiltonian = problem_of(name).hamiltonian
    start_points = starts(short_or_long(2, 4))
    result = vqd(hamiltonian, layered(), start_points, fine, noiseless_rounds(), levels=4, shots=MANY, precision=1e-6)
    spectrum = np.linalg.eigvalsh(hamiltonian.to_matrix())
    found = [level.final.estimate.value for level in result.levels]
    assert found == pytest.approx(spectrum.tolist(), abs=1e-4)  # 0.1 mHa
    assert all(level.is_orthogonal for level in result.levels)
    for level in result.levels:
        state = Statevector(layered().circuit.assign_parameters(np.array(level.parameters)))
        energy = state.expectation_value(hamiltonian).real
        assert energy == pytest.approx(level.final.estimate.value, abs=1e-5)


def test_overlaps_are_those_of_the_states(problem_of: Callable[..., ElectronicProblem]) -> None:
    # without a penalty the second level is the first again, and is not orthogonal
    result = vqd(
        problem_of("H2_0.735").hamiltonian,
        layered(),
        starts(1),
        fine,
        noiseless_rounds(),
        penalty=0.0,
        shots=MANY,
        precision=1e-6,
    )
    below, above = (
        Statevector(layered().circuit.assign_parameters(np.array(level.parameters))) for level in result.levels
    )
    (overlap,) = result.levels[1].overlaps
    assert overlap == pytest.approx(abs(below.inner(above)) ** 2, abs=1e-6)
    assert not result.levels[1].is_orthogonal


def test_all_searches_of_a_level_share_rounds_and_their_resources_are_counted(
    problem_of: Callable[..., ElectronicProblem], sampled_rounds: Callable[[int], RunRound]
) -> None:
    seen: list[list[tuple[int, int]]] = []
    rounds = sampled_rounds(3)

    def counted(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        seen.append([(pub.size, pub.size * pub.shots) for pub in pubs])
        return rounds(pubs)

    hamiltonian = problem_of("H2_0.735").hamiltonian
    result = vqd(hamiltonian, layered(), starts(2), coarse, counted, shots=1000, precision=2e-3, max_rounds=30)
    assert seen[0] == [(6, 6000), (6, 6000)]  # two groups; three points of either search
    assert max(map(len, seen)) == 3  # the second level's overlap with the first
    assert result.rounds == len(seen)
    assert result.circuits == sum(size for each in seen for size, _ in each)
    assert result.shots == sum(shots for each in seen for _, shots in each)
    spectrum = np.linalg.eigvalsh(hamiltonian.to_matrix())
    for level, exact in zip(result.levels, spectrum, strict=False):
        # the reported energy is that of the state found, which may be above the level
        assert level.final.estimate.value > spectrum[0] - 4 * level.final.estimate.standard_error
        assert level.final.estimate.value < exact + 0.1


def test_by_default_a_failed_point_ends_the_run(problem_of: Callable[..., ElectronicProblem]) -> None:
    def losing(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        return [MeasuredPub(pub_points(pub), tuple(FailedPoint("gone") for _ in range(pub.size))) for pub in pubs]

    with pytest.raises(JobFailed, match="gone"):
        vqd(problem_of("H2_0.735").hamiltonian, layered(), starts(1), fine, losing)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"levels": 0}, "levels"),
        ({"levels": 5}, "levels"),
        ({"penalty": -1.0}, "penalty"),
        ({"penalty": math.nan}, "penalty"),
    ],
)
def test_settings_out_of_range_are_refused(
    problem_of: Callable[..., ElectronicProblem], settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(InputError) as caught:
        vqd(problem_of("H2_0.735").hamiltonian, layered(), starts(1), fine, noiseless_rounds(), **settings)
    assert caught.value.field == field


def test_no_start_is_refused(problem_of: Callable[..., ElectronicProblem]) -> None:
    with pytest.raises(InputError, match="starts"):
        vqd(problem_of("H2_0.735").hamiltonian, layered(), [], fine, noiseless_rounds())


def test_coefficients_split_by_the_levels_covariances_save_shots_of_the_final_measurements(
    problem_of: Callable[..., ElectronicProblem],
) -> None:
    problem = problem_of("LiH_3_cas(2,2)")
    hamiltonian, ansatz = problem.hamiltonian, hardware_efficient(2, np.random.default_rng(0), reps=1)
    mixture = ReferenceMixture.of_levels(hamiltonian, 2, problem.reference_state)
    drawn = [np.random.default_rng(0).uniform(-np.pi, np.pi, ansatz.num_parameters)]
    model = StatevectorModel.of(ansatz.circuit, hamiltonian)
    exact = np.linalg.eigvalsh(hamiltonian.to_matrix())
    finals, penalties = [], []
    for reference in (None, mixture):
        found = vqd(
            hamiltonian,
            ansatz,
            drawn,
            lambda each: choose_optimizer(each).optimizer,
            shot_rounds(0),
            model=model,
            reference=reference,
        )
        for level, energy in zip(found.levels, exact, strict=False):
            estimate = level.final.estimate
            assert estimate.value == pytest.approx(energy, abs=1.6e-3 + 3.0 * estimate.standard_error)
        finals.append(sum(level.final.estimate.shots for level in found.levels))
        penalties.append(found.penalty)
    assert finals[1] < 0.75 * finals[0]
    assert penalties[0] == penalties[1]  # a bound on the operator's spectrum, not on its shares
