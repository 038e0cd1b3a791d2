"""Error mitigation removes the errors it is for, takes the stated jobs, and its error bars cover the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp, Statevector

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.basis import to_basis, two_qubit_gates
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.estimates import (
    Estimate,
    Evaluation,
    Extrapolation,
    GroupStatistics,
    evaluation,
)
from hybridloop.algorithms.estimation.final import measure_final_estimate
from hybridloop.algorithms.estimation.observable import Grouping, observable
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.estimation.symmetry import Symmetry, electrons_of_each_spin
from hybridloop.algorithms.mitigation.folding import TWIRLS, factors_in_order, fold
from hybridloop.algorithms.mitigation.mitigation import Mitigation
from hybridloop.algorithms.mitigation.readout import (
    ReadoutErrors,
    calibrate_beside,
    errors_beside,
    measure_readout_errors,
    mitigate_readout,
)
from hybridloop.algorithms.mitigation.zne import (
    BEYOND,
    ZeroNoiseExtrapolation,
    ZneModel,
    extrapolate_to_zero_noise,
    extrapolation_doubts,
)
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.optimizers.missing_points import FAIL, MissingPointPolicy, Penalize
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.optimizers.scipy import ScipyOptimizer
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub, RunRound, pub_points
from hybridloop.algorithms.search import Search
from hybridloop.algorithms.vqe.vqe import VqeResult, vqe
from hybridloop.errors import InputError, JobFailed
from tests.algorithms.noisy_state_helpers import NoisySimulator
from tests.algorithms.reference_helpers import problem_of
from tests.value_helpers import known

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


def extrapolated(evaluated: Evaluation, model: ZneModel = ZneModel.LINEAR, mixed: float | None = None) -> Evaluation:
    """Return an evaluation at zero noise, from the mixed state of all outcomes unless another one is given."""
    zne = ZeroNoiseExtrapolation(model)
    return extrapolate_to_zero_noise(evaluated, zne, evaluated.observable.constant if mixed is None else mixed)


def h2(mapping: FermionMapping) -> Ground:
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
def parity() -> Ground:
    return h2(FermionMapping.PARITY)


@pytest.fixture(scope="module")
def jordan_wigner() -> Ground:
    return h2(FermionMapping.JORDAN_WIGNER)


def calibrated(ground: Ground, run_round: RunRound, shots: int = EXACT_SHOTS) -> ReadoutErrors:
    return measure_readout_errors(ground.problem.encoding.num_qubits, run_round, shots)


def test_readout_mitigation_and_zne_take_h2_from_50_to_below_1_millihartree(parity: Ground) -> None:
    machine = NoisySimulator(0.01).exact
    raw = parity.evaluated(machine)
    read = mitigate_readout(raw, errors=calibrated(parity, machine))
    assert 45 * MILLI < parity.error(raw) < 55 * MILLI
    assert 14 * MILLI < parity.error(read) < 20 * MILLI
    assert abs(parity.error(extrapolated(read))) < 1 * MILLI
    assert abs(parity.error(extrapolated(read, ZneModel.EXPONENTIAL))) < 1 * MILLI
    # without the readout first, what it adds stays: it does not grow with the circuit
    assert parity.error(extrapolated(raw)) > 20 * MILLI


def test_spin_parities_under_jordan_wigner_compose_with_readout_mitigation_and_zne(
    jordan_wigner: Ground,
) -> None:
    machine = NoisySimulator(0.01).exact
    raw, errors = jordan_wigner.evaluated(machine), calibrated(jordan_wigner, machine)
    spins = electrons_of_each_spin(jordan_wigner.problem.encoding)
    assert spins == (Symmetry(((1, False), (2, False)), 1), Symmetry(((4, False), (8, False)), 1))
    selected = mitigate_readout(raw, symmetries=spins)
    both = mitigate_readout(raw, errors=errors, symmetries=spins)
    steps = [raw, selected, both, extrapolated(both)]
    found = [jordan_wigner.error(each) for each in steps]
    assert found[0] > 90 * MILLI
    assert 20 * MILLI < found[1] < 30 * MILLI
    assert 14 * MILLI < found[2] < 20 * MILLI
    assert abs(found[3]) < 1 * MILLI


def test_the_error_bar_includes_the_calibration_uncertainty(parity: Ground) -> None:
    run_round = NoisySimulator(0.0).sampled(np.random.default_rng(0))  # misread qubits alone: no bias after inversion
    raw = parity.evaluated(run_round)
    squared, without = [], []
    for _ in range(200):
        errors = calibrated(parity, run_round, 2000)
        found = estimate_of(mitigate_readout(raw, errors=errors), parity.point, 20_000)
        squared.append((found.value - parity.energy) ** 2 / found.variance)
        taken_for_known = mitigate_readout(raw, errors=replace(errors, shots=None))
        without.append(found.variance / estimate_of(taken_for_known, parity.point, 20_000).variance)
    # the mean of 200 squared standard normals is 1 ± 0.1: within three of that
    assert 0.7 < np.mean(squared) < 1.3
    assert np.mean(without) > 1.5  # what two circuits of 2000 shots leave unknown is no small part


@pytest.mark.parametrize("model", ZneModel)
def test_the_final_measurement_with_zne_reaches_its_precision_and_its_error_bar_is_right(
    parity: Ground, model: ZneModel
) -> None:
    noise = NoisySimulator(0.002, (0.003, 0.006))
    run_round = noise.sampled(np.random.default_rng(0))
    read = mitigate_readout(parity.evaluated(run_round), errors=calibrated(parity, noise.exact))
    evaluated = extrapolated(read, model)
    assert len(evaluated.circuits) == 2 * TWIRLS * len(read.circuits)
    squared = []
    for _ in range(40):
        final = measure_final_estimate(
            evaluated, parity.point, pilot=[1000] * 16, precision=2 * MILLI, on_round=lambda *_: None
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
    sampling = Sampling(precision=1.5 * MILLI)
    found = vqe(
        parity.problem.hamiltonian,
        parity.ansatz,
        Search(optimizer),
        run_round,
        sampling=sampling,
        mitigation=mitigation,
    )
    assert asked[0] == 2  # the calibration
    assert asked[-1] == 4 * TWIRLS + 2  # two groups at two factors, and the calibration again
    assert (found.rounds, found.circuits) == (len(asked), sum(round_.circuits for round_ in found.history))
    # the line's bias is below 1 mHa, and the error bar's part within four of it
    assert abs(found.value - parity.energy) < 1 * MILLI + 4 * found.standard_error
    assert found.standard_error < 2 * MILLI


def test_folding_includes_the_diagonalization_of_a_group() -> None:
    energy = observable(SparsePauliOp(["XX", "YY"], [0.7, 0.4]), Grouping.FULLY_COMMUTING)
    ansatz = Ansatz("plain", QuantumCircuit(2), np.zeros(0), ())
    circuits = extrapolated(evaluation(energy, ansatz, lambda _: [])).circuits
    assert [circuit.count_ops()["cx"] for circuit in circuits] == [1, 3, 3, 1] * (TWIRLS // 2)


def without_electrons_at_the_start() -> Ansatz:
    """Return an ansatz with one angle per spin's electron: none at (0, 0), Hartree-Fock at (π, π)."""
    circuit, angles = QuantumCircuit(4), ParameterVector("t", 2)
    circuit.ry(angles[0], 0)
    circuit.ry(angles[1], 2)
    return Ansatz("two rotations", circuit, np.array([0.0, 1.0]), ((1,), (1,)))


def test_a_point_outside_the_sector_fails_and_the_missing_point_policy_applies(jordan_wigner: Ground) -> None:
    """One of the three points for the first angle has it at 0, and so has SciPy's start; the sector holds one state."""
    ansatz, mitigation = (
        without_electrons_at_the_start(),
        Mitigation(symmetries=electrons_of_each_spin(jordan_wigner.problem.encoding)),
    )

    def searched(optimizer: Optimizer, on_lost: MissingPointPolicy) -> VqeResult:
        return vqe(
            jordan_wigner.problem.hamiltonian,
            ansatz,
            Search(optimizer, 4, on_lost),
            NoisySimulator(0.0, (0.0, 0.0)).sampled(np.random.default_rng(0)),
            sampling=Sampling(precision=2 * MILLI),
            mitigation=mitigation,
        )

    with pytest.raises(JobFailed, match=r"1 of 3 point\(s\).*only 0 of 4000 shots have the state's symmetries"):
        searched(Rotosolve(ansatz.initial_point, ansatz.frequencies), FAIL)
    found = searched(ScipyOptimizer(ansatz.initial_point, step_rad=2.0), Penalize(0.0))
    hartree_fock = jordan_wigner.problem.molecule.hartree_fock_energy
    assert abs(found.value - hartree_fock) < 4 * found.standard_error


def test_a_final_measurement_outside_the_sector_is_not_repeated(jordan_wigner: Ground) -> None:
    ansatz, rounds = without_electrons_at_the_start(), list[int]()
    drawn = NoisySimulator(0.0, (0.0, 0.0)).sampled(np.random.default_rng(0))

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        rounds.append(len(pubs))
        return drawn(pubs)

    bare = evaluation(observable(jordan_wigner.problem.hamiltonian), ansatz, run_round)
    evaluated = mitigate_readout(bare, symmetries=electrons_of_each_spin(jordan_wigner.problem.encoding))
    with pytest.raises(JobFailed, match=r"cannot be used: only 0 of 1000 shots"):
        measure_final_estimate(
            evaluated, ansatz.initial_point, pilot=[1000] * 5, precision=MILLI, on_round=lambda *_: None
        )
    assert rounds == [5]


def test_three_scale_factors_are_fitted_by_a_line() -> None:
    assert ZeroNoiseExtrapolation(scales=(1, 3)).weights == pytest.approx((1.5, -0.5))
    weights = np.array(ZeroNoiseExtrapolation(scales=(1, 3, 5)).weights)
    assert weights @ [1, 1, 1] == pytest.approx(1)
    assert weights @ [1, 3, 5] == pytest.approx(0)


def test_the_spread_of_an_extrapolation_is_the_difference_between_its_models(parity: Ground) -> None:
    evaluated = parity.evaluated(NoisySimulator(0.01).exact)
    line, curve = (estimate_of(extrapolated(evaluated, model), parity.point) for model in ZneModel)
    assert line.extrapolation is not None
    assert curve.extrapolation is not None
    assert line.extrapolation.spread == curve.extrapolation.spread
    assert line.extrapolation.spread == pytest.approx(BEYOND * abs(line.value - curve.value))
    assert line.value != curve.value


@pytest.mark.parametrize("model", ZneModel)
def test_the_variance_of_an_extrapolation_is_that_of_its_groups_to_first_order(parity: Ground, model: ZneModel) -> None:
    combined = extrapolated(parity.evaluated(NoisySimulator(0.0).exact), model).combine_groups
    means = [mean / TWIRLS for mean in (-0.6, -0.3, 0.12, 0.05) for _ in range(TWIRLS)]
    statistics = [GroupStatistics(100, mean, 50.0 + k, 0.0) for k, mean in enumerate(means)]
    expected, step = 0.0, 1e-6
    for k, group in enumerate(statistics):
        ends = []
        for mean in (group.mean - step, group.mean + step):
            ends.append(combined(-0.3, [*statistics[:k], replace(group, mean=mean), *statistics[k + 1 :]]).value)
        expected += ((ends[1] - ends[0]) / (2.0 * step)) ** 2 * group.variance
    assert combined(-0.3, statistics).variance == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("last", "signal"), [(-0.4, (0.4 / 0.8) ** 0.5), (-0.05, 0.0), (0.3, 0.0)])
def test_the_signal_left_is_none_where_the_last_value_is_within_noise(
    parity: Ground, last: float, signal: float
) -> None:
    combined = extrapolated(parity.evaluated(NoisySimulator(0.0).exact), mixed=-0.3).combine_groups
    weighted = [(1.5 * -0.8 / 2, 1.5), (-0.5 * last / 2, 0.5)]  # two groups at each factor, of variance 4e-4 together
    statistics = [
        GroupStatistics(1000, weighted[place][0] / TWIRLS, 200.0 * weighted[place][1] ** 2 / TWIRLS, 0.0)
        for place in factors_in_order(2)
        for _ in range(2)
    ]
    found = combined(-0.3, statistics).extrapolation
    assert found is not None
    assert found.raw == pytest.approx((-1.1, 0.02))
    assert found.amplified == pytest.approx((last + 0.8, 0.02 * 2**0.5))
    assert found.signal == pytest.approx(signal)


def test_exponential_zne_of_values_with_two_signs_is_linear(parity: Ground) -> None:
    evaluated = parity.evaluated(NoisySimulator(0.01).exact)
    line, curve = (extrapolated(evaluated, model) for model in ZneModel)
    means = [mean / TWIRLS for mean in (0.2, 0.1, 0.3, 0.1) for _ in range(TWIRLS)]
    statistics = [GroupStatistics(100, mean, 1.0, 1.0) for mean in means]
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
        ZeroNoiseExtrapolation(ZneModel.EXPONENTIAL, (1, 3, 5))

    def losing(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        return [MeasuredPub(pub_points(pub), (FailedPoint("it broke"),)) for pub in pubs]

    with pytest.raises(JobFailed, match="calibration job of the readout mitigation failed"):
        measure_readout_errors(2, losing)


def test_readout_errors_are_measured_beside_the_groups_and_cost_as_many_shots_as_they_add_to_the_variance(
    parity: Ground,
) -> None:
    """Misread qubits alone leave no bias after their inversion, and the error bar has what the calibration adds."""
    noise = NoisySimulator(0.0, (0.02, 0.06)).sampled(np.random.default_rng(1))
    evaluated = calibrate_beside(parity.evaluated(noise))
    assert [circuit.name for circuit in evaluated.circuits[-2:]] == ["all-0", "all-1"]
    squared, shares = [], []
    for _ in range(60):
        final = measure_final_estimate(
            evaluated,
            parity.point,
            pilot=[500] * len(evaluated.circuits),
            precision=2 * MILLI,
            on_round=lambda *_: None,
        )
        assert final.is_precise
        squared.append((final.estimate.value - parity.energy) ** 2 / final.estimate.variance)
        shares.append(sum(each.shots for each in final.pooled[-2:]) / final.estimate.shots)
        errors = errors_beside(final.pooled)
        shots = known(errors.shots)
        for rates, rate, number in zip((errors.zero_as_one, errors.one_as_zero), (0.02, 0.06), shots, strict=True):
            assert np.abs(rates - rate).max() < 5.0 * np.sqrt(rate / number)
    # the mean of 60 squared standard normals is 1 ± 0.18
    assert 0.5 < np.mean(squared) < 1.6
    assert 0.1 < np.median(shares) < 0.7


def test_counts_are_inverted_at_the_rates_of_all_calibrations_whenever_they_came(parity: Ground) -> None:
    """A calibration of few shots is off; the means follow the rates that more shots give."""
    exact = NoisySimulator(0.0, (0.02, 0.06)).exact
    evaluated = calibrate_beside(parity.evaluated(exact))
    alone = estimate_of(mitigate_readout(parity.evaluated(exact), errors=calibrated(parity, exact)), parity.point)
    pilot = [EXACT_SHOTS] * len(evaluated.circuits)
    (rows, _) = evaluated.measure_groups(parity.point[None, :], pilot)
    statistics = [row[0] for row in rows if isinstance(row[0], GroupStatistics)]
    assert evaluated.combine_groups(parity.evaluated(exact).observable.constant, statistics).value == pytest.approx(
        alone.value, abs=1e-6
    )
    # the same groups, inverted while the calibration had other rates, at the pooled ones
    off = calibrate_beside(parity.evaluated(exact))
    other = NoisySimulator(0.0, (0.022, 0.056)).exact
    wrong = replace(off, run_round=other).measure_groups(parity.point[None, :], [0] * (len(pilot) - 2) + pilot[-2:])
    assert len(wrong[0]) == 2
    groups, _ = off.measure_groups(parity.point[None, :], [*pilot[:-2], 0, 0])
    inverted = [row[0] for row in groups if isinstance(row[0], GroupStatistics)]
    found = off.combine_groups(parity.evaluated(exact).observable.constant, [*inverted, *statistics[-2:]])
    assert abs(found.value - alone.value) < 0.05 * MILLI  # of second order; uncorrected it is 2 mHa off
    kept_off = [row[0] for row in wrong[0] if isinstance(row[0], GroupStatistics)]
    uncorrected = off.combine_groups(parity.evaluated(exact).observable.constant, [*inverted, *kept_off])
    assert abs(uncorrected.value - alone.value) > 1 * MILLI


def test_a_lost_calibration_costs_no_group_its_shots(parity: Ground) -> None:
    noise = NoisySimulator(0.0, (0.02, 0.06)).sampled(np.random.default_rng(1))
    asked: list[list[str]] = []

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        asked.append([pub.circuit.name for pub in pubs])
        results = noise(pubs)
        if len(asked) == 1:
            results[-1] = MeasuredPub(results[-1].points, (FailedPoint("it broke"),))
        return results

    evaluated = calibrate_beside(parity.evaluated(run_round))
    final = measure_final_estimate(
        evaluated, parity.point, pilot=[20_000] * len(evaluated.circuits), precision=4 * MILLI, on_round=lambda *_: None
    )
    assert asked[1] == ["all-1"]
    assert abs(final.estimate.value - parity.energy) < 5.0 * final.estimate.standard_error


def test_a_twirl_alone_keeps_value_gates_and_precision(parity: Ground) -> None:
    """Its circuits differ in their Paulis alone; together they have the shots of one."""
    bare = parity.evaluated(NoisySimulator(0.0, (0.0, 0.0)).exact)
    twirled = Mitigation(twirl=True).final_evaluation(bare)
    assert len(twirled.circuits) == TWIRLS * len(bare.circuits)
    gates = [two_qubit_gates(to_basis(circuit)) for circuit in bare.circuits]
    assert [two_qubit_gates(circuit) for circuit in twirled.circuits] == gates * TWIRLS
    assert len({str(circuit) for circuit in twirled.circuits}) > len(bare.circuits)
    assert parity.error(twirled) == pytest.approx(0.0, abs=1e-6)
    sampling = Sampling(precision=MILLI, deviations=np.full(len(bare.circuits), 0.1))
    plain, copies = (
        sampling.planned(sampling.expected, len(bare.circuits), Mitigation(twirl=twirl).weights)
        for twirl in (False, True)
    )
    assert sum(copies.pilot) == pytest.approx(sum(plain.pilot), rel=0.01)


@pytest.mark.parametrize(("rotation", "twirled_away"), [("cx", True), ("rzz", False)])
def test_a_twirl_averages_an_error_that_does_not_follow_the_gate(rotation: str, twirled_away: bool) -> None:  # noqa: FBT001
    """After each gate a rotation of ZZ: with the Paulis around a gate of another axis its sign is random."""
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    for _ in range(2):
        circuit.cx(0, 1) if rotation == "cx" else circuit.rzz(0.3, 0, 1)
    circuit.h([0, 1])
    ansatz = Ansatz("plain", circuit, np.zeros(0), ())
    operator = SparsePauliOp(["ZI", "IZ", "ZZ"], [1.0, 0.5, 0.25])

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        return [MeasuredPub(pub_points(pub), (_counts_after_turns(pub),)) for pub in pubs]

    bare = evaluation(observable(operator), ansatz, run_round)
    ideal = evaluation(observable(operator), ansatz, NoisySimulator(0.0, (0.0, 0.0)).exact)
    values = [estimate_of(each, np.zeros(0)).value for each in (ideal, bare, fold(bare, (1,), (1.0,)))]
    errors = [abs(value - values[0]) for value in values[1:]]
    assert errors[0] > 0.01
    assert (errors[1] < 0.4 * errors[0]) == twirled_away


def _counts_after_turns(pub: SamplerPub) -> Counts:
    """Return the exact counts of a circuit in whose two-qubit gates a qubit pair turns by 0.1 about ZZ too far."""
    turned = QuantumCircuit(2)
    for item in pub.circuit.remove_final_measurements(inplace=False).data:
        turned.append(item.operation, [pub.circuit.find_bit(qubit).index for qubit in item.qubits])
        if len(item.qubits) == 2:
            turned.rzz(math.copysign(0.1, float(item.params[0])) if item.params else 0.1, 0, 1)
    shares = Statevector(turned).probabilities_dict()
    return Counts.from_bitstrings({key: round(share * EXACT_SHOTS) for key, share in shares.items()}, exact=True)


def test_noise_is_seen_in_the_value_or_in_the_outcomes_that_are_discarded() -> None:
    """Repeated gates that were removed change neither."""

    def doubts(changed: float, lost: float) -> list[str]:
        found = Extrapolation(0.0, (-1.0, 0.01), (changed, 0.01), 0.9, (2.0, 6.0), (lost, 0.001))
        estimate = Estimate(-1.0, 1e-4, 1000, extrapolation=found)
        return [doubt.headline for doubt in extrapolation_doubts(estimate, 0.01, "hartree")]

    assert doubts(0.02, 0.002) == ["no noise seen"]
    assert doubts(0.02, -0.01) == ["no noise seen"]  # fewer of them are no noise
    assert doubts(0.04, 0.0) == doubts(-0.04, 0.0) == doubts(0.0, 0.004) == []


def test_what_repeated_gates_take_from_a_sector_is_counted_for_each_group(jordan_wigner: Ground) -> None:
    noise = NoisySimulator(0.01).exact
    spins = electrons_of_each_spin(jordan_wigner.problem.encoding)
    evaluated = extrapolated(mitigate_readout(jordan_wigner.evaluated(noise), symmetries=spins))
    found = estimate_of(evaluated, jordan_wigner.point, 10**6).extrapolation
    assert found is not None
    assert 0.005 < found.lost[0] < 0.05
    assert found.lost[0] > 20.0 * found.lost[1] > 0.0
    calm = extrapolated(mitigate_readout(jordan_wigner.evaluated(NoisySimulator(0.0).exact), symmetries=spins))
    kept = estimate_of(calm, jordan_wigner.point, 10**6).extrapolation
    assert kept is not None
    assert abs(kept.lost[0]) < 1e-4  # misread qubits are as many at each factor
