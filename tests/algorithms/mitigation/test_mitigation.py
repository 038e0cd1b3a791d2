"""Error mitigation removes the errors it is for, takes the stated jobs, and its error bars cover the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_statevector

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.estimates import (
    Estimate,
    Evaluation,
    GroupStatistics,
    evaluation,
    group_statistics,
)
from hybridloop.algorithms.estimation.final import measure_final_estimate
from hybridloop.algorithms.estimation.observable import Grouping, MeasurementGroup, observable
from hybridloop.algorithms.mitigation.mitigation import Mitigation
from hybridloop.algorithms.mitigation.readout import (
    ReadoutErrors,
    Symmetry,
    measure_readout_errors,
    mitigate_readout,
    spin_parity_symmetries,
)
from hybridloop.algorithms.mitigation.zne import (
    Extrapolation,
    ZeroNoiseExtrapolation,
    extrapolate_to_zero_noise,
    fold_circuit,
)
from hybridloop.algorithms.optimizers.missing_points import FAIL, MissingPointPolicy, Penalize
from hybridloop.algorithms.optimizers.pairwise_fit import PairwiseFit
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.problems.electronic import ElectronicProblem, FermionMapping
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub, RunRound, UnusablePoint, pub_points
from hybridloop.algorithms.vqe import VqeResult, vqe
from hybridloop.errors import InputError, JobFailed
from tests.algorithms.conftest import largest_remainder
from tests.algorithms.noisy_state_helpers import NoisySimulator

EXACT_SHOTS = 10**9  # of distributions: rounding moves an energy by 1e-8 hartree at most
MILLI = 1e-3


@dataclass(frozen=True)
class Ground:
    """A molecule at its exact ground state."""

    problem: ElectronicProblem
    ansatz: Ansatz
    point: NDArray[np.float64]
    energy: float

    def evaluated(self, run_round: RunRound) -> Evaluation:
        return evaluation(observable(self.problem.hamiltonian), self.ansatz, run_round)

    def error(self, evaluated: Evaluation, shots: int = EXACT_SHOTS) -> float:
        return estimate_of(evaluated, self.point, shots).value - self.energy


def estimate_of(evaluated: Evaluation, point: NDArray[np.float64], shots: int = EXACT_SHOTS) -> Estimate:
    (found,) = evaluated.energies(point[None, :], shots)[1]
    assert isinstance(found, Estimate)
    return found


def h2(problem_of: Callable[..., ElectronicProblem], mapping: FermionMapping) -> Ground:
    """Return H2 at its ground state: the energy is a sinusoid of one angle, so three points give its minimum."""
    problem = problem_of("H2_0.735", mapping)
    ansatz = uccsd(problem)
    dense = problem.hamiltonian.to_matrix()

    def energy(angle: float) -> float:
        state = Statevector(ansatz.circuit.assign_parameters([angle])).data
        return float((state.conj() @ dense @ state).real)

    zero, ahead, behind = (energy(angle) for angle in (0.0, np.pi / 4, -np.pi / 4))  # of frequency 2
    middle = (ahead + behind) / 2
    angle = np.arctan2(-(ahead - middle), -(zero - middle)) / 2
    ground = float(np.linalg.eigvalsh(dense)[0])
    assert energy(angle) - ground < 1e-6
    return Ground(problem, ansatz, np.array([angle]), ground)


@pytest.fixture(scope="module")
def parity(problem_of: Callable[..., ElectronicProblem]) -> Ground:
    return h2(problem_of, FermionMapping.PARITY)


@pytest.fixture(scope="module")
def jordan_wigner(problem_of: Callable[..., ElectronicProblem]) -> Ground:
    return h2(problem_of, FermionMapping.JORDAN_WIGNER)


def calibrated(ground: Ground, run_round: RunRound, shots: int = EXACT_SHOTS) -> ReadoutErrors:
    return measure_readout_errors(ground.problem.encoding.num_qubits, run_round, shots=shots)


def test_readout_mitigation_and_zne_take_h2_from_50_to_below_1_millihartree(parity: Ground) -> None:
    machine = NoisySimulator(0.01).exact
    raw = parity.evaluated(machine)
    read = mitigate_readout(raw, errors=calibrated(parity, machine))
    assert 45 * MILLI < parity.error(raw) < 55 * MILLI
    assert 14 * MILLI < parity.error(read) < 20 * MILLI
    assert abs(parity.error(extrapolate_to_zero_noise(read, parity.ansatz, ZeroNoiseExtrapolation()))) < 1 * MILLI
    assert (
        abs(
            parity.error(
                extrapolate_to_zero_noise(read, parity.ansatz, ZeroNoiseExtrapolation(Extrapolation.EXPONENTIAL))
            )
        )
        < 1 * MILLI
    )
    # without the readout first, what it adds stays: it does not grow with the circuit
    assert parity.error(extrapolate_to_zero_noise(raw, parity.ansatz, ZeroNoiseExtrapolation())) > 20 * MILLI


def test_spin_parities_under_jordan_wigner_compose_with_readout_mitigation_and_zne(
    jordan_wigner: Ground,
) -> None:
    machine = NoisySimulator(0.01).exact
    raw, errors = jordan_wigner.evaluated(machine), calibrated(jordan_wigner, machine)
    spins = spin_parity_symmetries(jordan_wigner.problem)
    assert spins == (Symmetry(0b0011, -1), Symmetry(0b1100, -1))
    selected = mitigate_readout(raw, symmetries=spins)
    both = mitigate_readout(raw, errors=errors, symmetries=spins)
    steps = [raw, selected, both, extrapolate_to_zero_noise(both, jordan_wigner.ansatz, ZeroNoiseExtrapolation())]
    found = [jordan_wigner.error(each) for each in steps]
    assert found[0] > 90 * MILLI
    assert 20 * MILLI < found[1] < 30 * MILLI
    assert 14 * MILLI < found[2] < 20 * MILLI
    assert abs(found[3]) < 1 * MILLI


def test_the_error_bar_includes_the_calibration_uncertainty(parity: Ground) -> None:
    noise = NoisySimulator(0.0)  # misread qubits alone: the inversion leaves no bias
    squared, without = [], []
    for seed in range(200):
        run_round = noise.sampled(np.random.default_rng(seed))
        errors = calibrated(parity, run_round, 2000)
        evaluated = mitigate_readout(parity.evaluated(run_round), errors=errors)
        found = estimate_of(evaluated, parity.point, 20_000)
        squared.append((found.value - parity.energy) ** 2 / found.variance)
        known = replace(errors, shots=None)
        taken_for_known = mitigate_readout(parity.evaluated(noise.sampled(np.random.default_rng(seed))), errors=known)
        without.append(found.variance / estimate_of(taken_for_known, parity.point, 20_000).variance)
    # the mean of 200 squared standard normals is 1 ± 0.1: within three of that
    assert 0.7 < np.mean(squared) < 1.3
    assert np.mean(without) > 1.5  # what two circuits of 2000 shots leave unknown is no small part


@pytest.mark.parametrize("model", Extrapolation)
def test_the_final_measurement_with_zne_reaches_its_precision_and_its_error_bar_is_right(
    parity: Ground, model: Extrapolation
) -> None:
    noise = NoisySimulator(0.002, (0.003, 0.006))
    squared = []
    for seed in range(40):
        run_round = noise.sampled(np.random.default_rng(seed))
        read = mitigate_readout(parity.evaluated(run_round), errors=calibrated(parity, noise.exact))
        evaluated = extrapolate_to_zero_noise(read, parity.ansatz, ZeroNoiseExtrapolation(model))
        assert len(evaluated.circuits) == 2 * len(read.circuits)
        final = measure_final_estimate(
            evaluated, parity.point, pilot=[4000] * 4, precision=2 * MILLI, on_round=lambda *_: None
        ).estimate
        # an exponential's slope is a little above its line's, for which the shots are shared out
        assert final.standard_error < 2 * MILLI * 1.06
        squared.append((final.value - parity.energy) ** 2 / final.variance)
    # the mean of 40 squared standard normals is 1 ± 0.22; a bias of 0.02 mHa adds nothing that shows
    assert 0.35 < np.mean(squared) < 1.7


@pytest.mark.parametrize("seed", range(3))
def test_a_mitigated_vqe_reports_the_noiseless_energy(parity: Ground, seed: int) -> None:
    asked: list[int] = []
    noisy = NoisySimulator(0.01).sampled(np.random.default_rng(seed))

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        asked.append(len(pubs))
        return noisy(pubs)

    mitigation = Mitigation(readout_shots=100_000, zne=ZeroNoiseExtrapolation())
    assert mitigation.calibration_circuits == 2
    optimizer = Rotosolve(parity.ansatz.initial_point, parity.ansatz.frequencies)
    found = vqe(
        parity.problem.hamiltonian, parity.ansatz, optimizer, run_round, precision=1.5 * MILLI, mitigation=mitigation
    )
    assert asked[0] == 2  # the calibration
    assert asked[-1] == 4  # two groups at two factors
    assert (found.rounds, found.circuits) == (len(asked), sum(round_.circuits for round_ in found.history))
    # the line's bias is below 1 mHa, and the error bar's part within four of it
    assert abs(found.value - parity.energy) < 1 * MILLI + 4 * found.standard_error
    assert found.standard_error < 2 * MILLI


_rate = st.floats(0.0, 0.3)


@given(st.lists(st.tuples(_rate, _rate), min_size=3, max_size=3), st.integers(0, 2**32 - 1))
def test_readout_inversion_agrees_with_dense_matrices(rates: list[tuple[float, float]], seed: int) -> None:
    draws = np.random.default_rng(seed)
    truth = draws.dirichlet(np.ones(8))
    group, read = _read(draws, _errors(rates))
    matrices = [np.array([[1 - a, b], [a, 1 - b]]) for a, b in rates]
    misread = np.kron(np.kron(matrices[2], matrices[1]), matrices[0]) @ truth
    signs = [[(-1) ** (mask & outcome).bit_count() for outcome in range(8)] for mask in group.masks]
    expected = group.coefficients @ np.array(signs) @ truth
    # rounding moves 8 counts by less than one each, and the inverse stretches that by at most (1 / 0.4)³ a term
    assert read(group, _distribution(misread)).mean == pytest.approx(expected, abs=1e-5)


@given(st.lists(st.tuples(_rate, _rate), min_size=3, max_size=3), st.integers(0, 2**32 - 1), st.booleans())
def test_readout_derivatives_agree_with_finite_differences(
    rates: list[tuple[float, float]],
    seed: int,
    in_sector: bool,  # noqa: FBT001  # drawn
) -> None:
    draws = np.random.default_rng(seed)
    counts = _distribution(draws.dirichlet(np.ones(8)) / 2 + np.eye(8)[1] / 2)
    symmetries = (Symmetry(0b011, -1),) if in_sector else ()
    group, read = _read(draws, _errors(rates), symmetries)
    slopes, step = read(group, counts).readout_derivatives, 1e-6
    for place, slope in enumerate(slopes):
        ahead, behind = (
            _read(None, _errors(_moved(rates, place, by)), symmetries)[1](group, counts).mean for by in (step, -step)
        )
        assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-3, abs=1e-3)


@given(st.integers(0, 2**32 - 1))
def test_a_symmetry_keeps_only_the_shots_in_its_sector(seed: int) -> None:
    draws = np.random.default_rng(seed)
    drawn = draws.multinomial(1000, draws.dirichlet(np.ones(8)) / 2 + np.eye(8)[1] / 2)
    group, read = _read(draws, None, (Symmetry(0b011, -1),))
    seen = {format(i, "03b"): int(n) for i, n in enumerate(drawn) if n}
    kept = {key: n for key, n in seen.items() if (int(key, 2) & 0b011).bit_count() % 2}
    found, plain = read(group, Counts.from_bitstrings(seen)), group_statistics(group, Counts.from_bitstrings(kept))
    assert found.mean == pytest.approx(plain.mean)
    assert found.squared_deviations / found.shots**2 == pytest.approx(plain.squared_deviations / plain.shots**2)


def test_a_symmetry_is_skipped_if_a_group_cannot_show_it_and_unusable_without_shots_in_its_sector() -> None:
    bare = Evaluation(observable(SparsePauliOp("ZZZ")), (), lambda _: [])
    read = mitigate_readout(bare, symmetries=(Symmetry(0b011, -1),)).reduce_counts
    turned = MeasurementGroup("IXX", (0b011,), np.array([1.0]))
    counts = Counts.from_bitstrings({"000": 60, "001": 40})
    found = read(turned, counts)
    assert isinstance(found, GroupStatistics)
    assert found.mean == pytest.approx(group_statistics(turned, counts).mean)
    found = read(MeasurementGroup("ZZZ", (0b111,), np.array([1.0])), Counts.from_bitstrings({"000": 60}))
    assert found == UnusablePoint("only 0.0% of 60 shots have the state's symmetries")


@given(st.integers(0, 2**32 - 1))
def test_a_diagonalized_group_shows_a_symmetry_in_other_bits(seed: int) -> None:
    state = random_statevector(4, seed)
    operator = SparsePauliOp(["XX", "YY"], [0.7, 0.4])  # commute, but on neither qubit; their product is the symmetry
    energy = observable(operator, Grouping.FULLY_COMMUTING)
    (group,) = energy.groups
    assert group.diagonalization is not None
    circuit = QuantumCircuit(2)
    circuit.prepare_state(state)
    turned = group.measurement_circuit(circuit).remove_final_measurements(inplace=False)
    counts = _distribution(Statevector(turned).probabilities())
    found = mitigate_readout(Evaluation(energy, (), lambda _: []), symmetries=(Symmetry(0b11, -1),)).reduce_counts(
        group, counts
    )
    assert isinstance(found, GroupStatistics)
    odd = np.diag([0.0, 1.0, 1.0, 0.0]) @ state.data
    expected = np.vdot(odd, operator.to_matrix() @ odd).real / np.vdot(odd, odd).real
    assert found.mean == pytest.approx(expected, abs=1e-4)


def test_folding_includes_the_diagonalization_of_a_group() -> None:
    energy = observable(SparsePauliOp(["XX", "YY"], [0.7, 0.4]), Grouping.FULLY_COMMUTING)
    ansatz = Ansatz("plain", QuantumCircuit(2), np.zeros(0), ())
    circuits = extrapolate_to_zero_noise(
        evaluation(energy, ansatz, lambda _: []), ansatz, ZeroNoiseExtrapolation()
    ).circuits
    assert [circuit.count_ops()["cx"] for circuit in circuits] == [1, 3]


def without_electrons_at_the_start() -> Ansatz:
    """Return an ansatz with one angle per spin's electron: none at (0, 0), Hartree-Fock at (π, π)."""
    circuit, angles = QuantumCircuit(4), ParameterVector("t", 2)
    circuit.ry(angles[0], 0)
    circuit.ry(angles[1], 2)
    return Ansatz("two rotations", circuit, np.array([0.0, 1.0]), ((1,), (1,)))


def test_a_point_outside_the_sector_fails_and_the_missing_point_policy_applies(jordan_wigner: Ground) -> None:
    """Three of the nine points for two angles have the first at 0; the sector holds a single state."""
    ansatz, mitigation = (
        without_electrons_at_the_start(),
        Mitigation(symmetries=spin_parity_symmetries(jordan_wigner.problem)),
    )

    def searched(on_lost: MissingPointPolicy) -> VqeResult:
        return vqe(
            jordan_wigner.problem.hamiltonian,
            ansatz,
            PairwiseFit(ansatz.initial_point, ansatz.frequencies),
            NoisySimulator(0.0, (0.0, 0.0)).sampled(np.random.default_rng(0)),
            precision=2 * MILLI,
            mitigation=mitigation,
            on_lost=on_lost,
        )

    with pytest.raises(JobFailed, match=r"3 of 9 point\(s\).*only 0.0% of 4000 shots have the state's symmetries"):
        searched(FAIL)
    found = searched(Penalize(0.0))
    hartree_fock = jordan_wigner.problem.molecule.hartree_fock_energy
    assert abs(found.value - hartree_fock) < 4 * found.standard_error


def test_a_final_measurement_outside_the_sector_is_not_repeated(jordan_wigner: Ground) -> None:
    ansatz, rounds = without_electrons_at_the_start(), list[int]()
    drawn = NoisySimulator(0.0, (0.0, 0.0)).sampled(np.random.default_rng(0))

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        rounds.append(len(pubs))
        return drawn(pubs)

    bare = evaluation(observable(jordan_wigner.problem.hamiltonian), ansatz, run_round)
    evaluated = mitigate_readout(bare, symmetries=spin_parity_symmetries(jordan_wigner.problem))
    with pytest.raises(JobFailed, match=r"cannot be used: only 0\.0% of 1000 shots"):
        measure_final_estimate(
            evaluated, ansatz.initial_point, pilot=[1000] * 5, precision=MILLI, on_round=lambda *_: None
        )
    assert rounds == [5]


def test_folding_prepares_the_same_state_with_scale_times_the_gates(parity: Ground) -> None:
    circuit = parity.ansatz.circuit
    for scale in (1, 3, 5):
        longer = fold_circuit(circuit, scale)
        assert longer.size() == scale * circuit.size()
        assert Operator(longer.assign_parameters([0.3])) == Operator(circuit.assign_parameters([0.3]))


def test_three_scale_factors_are_fitted_by_a_line() -> None:
    assert ZeroNoiseExtrapolation(scales=(1, 3)).weights == pytest.approx((1.5, -0.5))
    weights = np.array(ZeroNoiseExtrapolation(scales=(1, 3, 5)).weights)
    assert weights @ [1, 1, 1] == pytest.approx(1)
    assert weights @ [1, 3, 5] == pytest.approx(0)


def test_exponential_zne_of_values_with_two_signs_is_linear(parity: Ground) -> None:
    evaluated = parity.evaluated(NoisySimulator(0.01).exact)
    line, curve = (
        extrapolate_to_zero_noise(evaluated, parity.ansatz, ZeroNoiseExtrapolation(model)) for model in Extrapolation
    )
    statistics = [GroupStatistics(100, mean, 1.0, 1.0) for mean in (0.2, 0.1, 0.3, 0.1)]
    assert curve.combine_groups(-0.3, statistics) == line.combine_groups(-0.3, statistics)


def test_unusable_mitigation_settings_and_failed_calibrations_are_refused() -> None:
    with pytest.raises(InputError, match="qubit 1 is read as 1 with probability"):
        ReadoutErrors(np.array([0.0, 0.5]), np.array([0.0, 0.5]))
    for scales in ((1,), (1, 2), (3, 3), (-1, 1)):
        with pytest.raises(InputError, match="scales"):
            ZeroNoiseExtrapolation(scales=scales)
    with pytest.raises(InputError, match="readout_shots"):
        Mitigation(readout_shots=-1)
    with pytest.raises(InputError, match="scales"):
        ZeroNoiseExtrapolation(Extrapolation.EXPONENTIAL, (1, 3, 5))

    def losing(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        return [MeasuredPub(pub_points(pub), (FailedPoint("it broke"),)) for pub in pubs]

    with pytest.raises(JobFailed, match="calibration job of the readout mitigation failed"):
        measure_readout_errors(2, losing)


def _errors(rates: Sequence[tuple[float, float]]) -> ReadoutErrors:
    zero_as_one, one_as_zero = np.array(rates).T
    return ReadoutErrors(zero_as_one, one_as_zero)


def _moved(rates: Sequence[tuple[float, float]], place: int, by: float) -> list[tuple[float, float]]:
    table = np.array(rates).T
    table[place // 3, place % 3] += by
    return [(a, b) for a, b in table.T]


def _read(
    draws: np.random.Generator | None, errors: ReadoutErrors | None, symmetries: tuple[Symmetry, ...] = ()
) -> tuple[MeasurementGroup, Callable[[MeasurementGroup, Counts], GroupStatistics]]:
    """Return a group of all seven products of three Zs with random coefficients, and its counts reducer."""
    coefficients = np.ones(7) if draws is None else draws.normal(size=7)
    bare = Evaluation(observable(SparsePauliOp("ZZZ")), (), lambda _: [])
    with_them = mitigate_readout(bare, errors=errors, symmetries=symmetries).reduce_counts

    def read(group: MeasurementGroup, counts: Counts) -> GroupStatistics:
        found = with_them(group, counts)
        assert isinstance(found, GroupStatistics)
        return found

    return MeasurementGroup("ZZZ", tuple(range(1, 8)), coefficients), read


def _distribution(shares: NDArray[np.float64]) -> Counts:
    counts = largest_remainder(EXACT_SHOTS, shares / shares.sum())
    return Counts.from_bitstrings({format(i, "03b"): int(n) for i, n in enumerate(counts) if n}, exact=True)
