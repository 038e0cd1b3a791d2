"""Ideal sampler of dry runs, compared with Qiskit's state vectors and the exact local service."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import HGate, RXGate, get_standard_gate_name_mapping
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector

from hybridloop.algorithms.rounds import Counts
from hybridloop.compiler.programs import describe_pub
from hybridloop.estimate import ideal_sampler
from hybridloop.estimate.ideal_sampler import IdealSampler, Kept, SimulationTooLarge
from hybridloop.targets import find_target
from hybridloop.targets.error_rates import ErrorRates
from tests.conftest import Emulator
from tests.session_helpers import open_run_session

EXACT, SAMPLED = find_target("ionq.simulator"), find_target("rigetti.sim.qvm")
GATES = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if 1 <= gate.num_qubits <= 3 and gate.num_clbits == 0 and name not in {"reset", "delay", "global_phase"}
}
QUBITS = 4
STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(GATES)), st.permutations(range(QUBITS)), st.lists(st.floats(-7, 7), min_size=4)),
    max_size=12,
)


def circuit_of(steps: Sequence[tuple[str, Sequence[int], Sequence[float]]]) -> QuantumCircuit:
    circuit = QuantumCircuit(QUBITS, QUBITS)
    for name, qubits, angles in steps:
        gate = GATES[name]
        circuit.append(type(gate)(*angles[: len(gate.params)]) if gate.params else gate, qubits[: gate.num_qubits])
    return circuit


def exact_counts(circuit: QuantumCircuit, values: object, shots: int) -> list[Counts]:
    pub = SamplerPub.coerce((circuit, values, shots))
    (answer,) = IdealSampler(EXACT, seed=0, max_work=1e12).sample([describe_pub(pub)], [shots])
    return [each for each in answer if isinstance(each, Counts)]


@settings(max_examples=60)
@given(STEPS)
def test_an_exact_answer_is_qiskits_distribution(
    steps: list[tuple[str, Sequence[int], Sequence[float]]],
) -> None:
    circuit = circuit_of(steps)
    chances = Statevector(circuit).probabilities_dict()
    circuit.measure(range(QUBITS), range(QUBITS))
    (counts,) = exact_counts(circuit, None, 10_000)
    found = counts.bitstrings()
    assert counts.exact
    assert counts.shots == 10_000
    assert all(abs(found.get(bits, 0) - 10_000 * chance) <= 1 + 1e-6 for bits, chance in chances.items())


def varied() -> tuple[QuantumCircuit, QuantumCircuit]:
    """Return two circuits with a common beginning and different measured bases and bits."""
    angles = ParameterVector("angles", 3)
    begun = QuantumCircuit(3, 4)
    for qubit in range(3):
        begun.ry(angles[qubit], qubit)
    begun.rzz(2 * angles[0] - 0.3, 0, 2)
    begun.rx(angles[2], 1)
    begun.cx(2, 1)
    turned = begun.copy()
    turned.h(1)
    begun.measure([2, 0], [1, 3])
    turned.measure([0, 1, 2], [0, 1, 2])
    return begun, turned


POINTS = np.random.default_rng(3).uniform(-4.0, 4.0, (5, 3))


def test_a_round_of_an_exact_target_has_the_local_services_counts(emulator: Emulator) -> None:
    pubs = [SamplerPub.coerce((each, POINTS, 3000)) for each in varied()]
    asked = [describe_pub(pub) for pub in pubs]
    with open_run_session(emulator.workspace(), EXACT.name) as session:
        measured = session.run_round(pubs)
    ideal = IdealSampler(EXACT, seed=0, max_work=1e12).sample(asked, [3000, 3000])
    for theirs, ours in zip(measured, ideal, strict=True):
        assert np.array_equal(theirs.points, ours.points)
        for one, other in zip(theirs, ours, strict=True):
            assert isinstance(one, Counts)
            assert isinstance(other, Counts)
            assert one.bitstrings() == other.bitstrings()


def test_samples_scatter_about_the_distribution_and_depend_on_the_seed() -> None:
    asked = [describe_pub(SamplerPub.coerce((varied()[1], POINTS, 4000)))]
    first, again, other = (
        IdealSampler(SAMPLED, seed=seed, max_work=1e12).sample(asked, [4000])[0] for seed in (1, 1, 2)
    )
    exact = exact_counts(varied()[1], POINTS, 4000)
    assert [each.bitstrings() for each in first] == [each.bitstrings() for each in again]  # type: ignore[union-attr]
    assert [each.bitstrings() for each in first] != [each.bitstrings() for each in other]  # type: ignore[union-attr]
    for drawn, expected in zip(first, exact, strict=True):
        assert isinstance(drawn, Counts)
        assert not drawn.exact
        assert drawn.shots == 4000
        for bits, count in expected.bitstrings().items():  # six standard deviations of a count, and its rounding
            assert abs(drawn.bitstrings().get(bits, 0) - count) <= 6 * np.sqrt(count) + 1


@pytest.mark.parametrize("what", ["measures in the middle", "resets", "has too many qubits", "takes too long"])
def test_a_circuit_that_is_not_simulated_is_refused(what: str) -> None:
    circuit = QuantumCircuit(21 if "qubits" in what else 2, 2)
    circuit.h(0)
    if "middle" in what:
        circuit.measure(0, 0)
        circuit.h(0)
    if "resets" in what:
        circuit.reset(0)
    circuit.measure(1, 1)
    machine = IdealSampler(SAMPLED, seed=0, max_work=1.0 if "long" in what else 1e9)
    with pytest.raises(SimulationTooLarge, match=r"before its end|21 qubits|amplitudes"):
        machine.sample([describe_pub(SamplerPub.coerce((circuit, None, 10)))], [10])


def test_errors_mix_the_distribution_with_a_uniform_one_and_flip_bits() -> None:
    bell = QuantumCircuit(2, 2)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure([0, 1], [0, 1])
    rates, shots = ErrorRates(one_qubit=0.01, two_qubit=0.1, readout=0.05), 10**6
    (answer,) = IdealSampler(SAMPLED, seed=0, max_work=1e9, rates=rates).sample(
        [describe_pub(SamplerPub.coerce((bell, None, shots)))], [shots]
    )
    kept, flipped = 0.99 * 0.9, 2 * 0.05 * 0.95  # of one bit, and not of the other
    mixed = np.array([kept / 2 + (1 - kept) / 4, (1 - kept) / 4])  # of equal and of different bits
    expected = (1 - flipped) * mixed + flipped * mixed[::-1]
    seen = answer[0]
    assert isinstance(seen, Counts)
    by_bits = seen.bitstrings()
    for bits, share in {"00": expected[0], "11": expected[0], "01": expected[1], "10": expected[1]}.items():
        assert by_bits[bits] == pytest.approx(share * shots, abs=6 * math.sqrt(share * shots))


@pytest.mark.parametrize(("name", "gates"), [("quantinuum.qpu.h2-1", 1), ("rigetti.qpu.cepheus-1-108q", 2)])
def test_a_rotation_of_a_pair_has_the_noise_of_one_gate_on_ions_and_of_two_elsewhere(name: str, gates: int) -> None:
    flip = QuantumCircuit(2, 2)
    flip.rxx(math.pi, 0, 1)
    flip.measure([0, 1], [0, 1])
    shots, rates = 10**6, ErrorRates(two_qubit=0.1)
    ((seen,),) = IdealSampler(find_target(name), seed=0, max_work=1e9, rates=rates).sample(
        [describe_pub(SamplerPub.coerce((flip, None, shots)))], [shots]
    )
    assert isinstance(seen, Counts)
    kept = 0.9**gates
    share = kept + (1 - kept) / 4
    assert seen.bitstrings()["11"] == pytest.approx(share * shots, abs=6 * math.sqrt(share * (1 - share) * shots))


def test_pubs_of_one_circuit_are_simulated_together_and_have_the_counts_of_each_alone() -> None:
    begun, turned = varied()
    pubs = [(circuit, POINTS[start:end]) for start, end in ((0, 1), (1, 2), (2, 5)) for circuit in (begun, turned)]
    asked = [describe_pub(SamplerPub.coerce((*pub, 3000))) for pub in pubs]
    kept: Kept = {}
    together, alone = (IdealSampler(EXACT, seed=0, max_work=1e12, kept=each) for each in (kept, {}))
    measured = together.sample(asked, [3000] * len(asked))
    expected = [alone.sample([each], [3000])[0] for each in asked]
    assert [each.points.tolist() for each in measured] == [points.tolist() for _, points in pubs]
    for ours, theirs in zip(measured, expected, strict=True):
        assert [each.bitstrings() for each in ours] == [each.bitstrings() for each in theirs]  # type: ignore[union-attr]
    assert together.work < alone.work / 2  # a gate's dispatch counts once
    apart = IdealSampler(EXACT, seed=0, max_work=1e12)
    apart.sample([replace(each, fingerprint=str(number)) for number, each in enumerate(asked)], [3000] * len(asked))
    assert together.work <= apart.work
    assert len(kept) == 4  # of PUBs with one point
    before = together.work
    again = together.sample(asked[:4], [3000] * 4)
    assert together.work == before
    assert [each[0].bitstrings() for each in again] == [each[0].bitstrings() for each in measured[:4]]  # type: ignore[union-attr]


def test_a_common_beginning_is_simulated_once_where_one_circuit_has_more_points_than_another() -> None:
    shared = QuantumCircuit(8, 8)
    for turn in range(400):
        shared.ry(0.1 * turn, turn % 8)
        shared.cx(turn % 8, (turn + 1) % 8)
    circuits = [shared.copy() for _ in range(6)]
    for qubit, circuit in enumerate(circuits):  # four of one circuit but for a constant angle, and two others
        circuit.append(RXGate(0.3 + qubit) if qubit < 4 else HGate(), [0 if qubit < 4 else qubit])
        circuit.measure(range(8), range(8))
    asked = [describe_pub(SamplerPub.coerce((circuit, None, 100))) for circuit in circuits]
    assert len({each.fingerprint for each in asked}) == 3
    all_six, one = (IdealSampler(EXACT, seed=0, max_work=1e12) for _ in range(2))
    all_six.sample(asked, [100] * 6)
    one.sample(asked[:1], [100])
    assert all_six.work < 1.1 * one.work


def test_counts_of_a_seed_do_not_depend_on_what_was_simulated_before() -> None:
    asked = [describe_pub(SamplerPub.coerce((circuit, POINTS[:1], 1000))) for circuit in varied()]
    first = IdealSampler(SAMPLED, seed=3, max_work=1e9).sample(asked, [1000, 1000])
    for before in (asked[:1], asked[1:], asked):
        kept: Kept = {}
        IdealSampler(SAMPLED, seed=0, max_work=1e9, kept=kept).sample(before, [1000] * len(before))
        again = IdealSampler(SAMPLED, seed=3, max_work=1e9, kept=kept).sample(asked, [1000, 1000])
        for one, other in zip(first, again, strict=True):
            assert one[0].bitstrings() == other[0].bitstrings()  # type: ignore[union-attr]


def test_points_of_a_circuit_without_angles_are_not_the_one_that_is_kept() -> None:
    bell = QuantumCircuit(2, 2)
    bell.h(0)
    bell.cx(0, 1)
    bell.measure([0, 1], [0, 1])
    one = describe_pub(SamplerPub.coerce((bell, None, 100)))
    three = replace(one, points=np.zeros((3, 0)), slots=np.zeros((3, 0)))
    sampler = IdealSampler(EXACT, seed=0, max_work=1e9)
    sampler.sample([one], [100])
    assert [len(list(each)) for each in sampler.sample([one, three], [100, 100])] == [1, 3]


def test_no_more_distributions_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ideal_sampler, "MAX_KEPT", 20)
    kept: Kept = {}
    sampler = IdealSampler(EXACT, seed=0, max_work=1e12, kept=kept)
    for row in POINTS:  # of four outcomes, and of eight
        asked = [describe_pub(SamplerPub.coerce((circuit, row[None], 100))) for circuit in varied()]
        sampler.sample(asked, [100, 100])
    assert 12 <= sum(each.size for each in kept.values()) <= 20


def test_a_point_that_is_measured_again_is_not_simulated_again_and_has_the_same_counts() -> None:
    theta = ParameterVector("θ", 1)
    circuit = QuantumCircuit(2, 2)
    circuit.ry(theta[0], 0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    first, other = (describe_pub(SamplerPub.coerce((circuit, [angle], 500))) for angle in (0.3, 0.4))
    kept: Kept = {}
    sampler = IdealSampler(SAMPLED, seed=1, max_work=1e9, kept=kept)
    sampler.sample([first], [500])
    done = sampler.work
    (again,) = sampler.sample([first], [500])
    assert (sampler.work, len(kept)) == (done, 1)
    fresh = IdealSampler(SAMPLED, seed=1, max_work=1e9)
    fresh.sample([first], [500])
    (expected,) = fresh.sample([first], [500])
    assert [each.bitstrings() for each in again] == [each.bitstrings() for each in expected]  # type: ignore[union-attr]
    sampler.sample([other], [500])
    assert sampler.work > done
    assert len(kept) == 2
