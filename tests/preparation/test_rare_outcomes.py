"""Error bars of electron pairs, where most shots agree and what matters is rarely seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from benchmarks.accuracy_energies import fcidump
from hybridloop.algorithms.circuits.basis import to_basis
from hybridloop.algorithms.circuits.gate_names import BASIS
from hybridloop.algorithms.estimation.observable import Grouping
from hybridloop.algorithms.rounds import Counts, MeasuredPub, pub_points
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import ProblemText
from hybridloop.targets import find_target
from hybridloop.targets.error_rates import ErrorRates, error_rates
from tests.long_form import long_form, short_or_long
from tests.preparation_helpers import prepare_vqe

TARGETS = {"ideal": "rigetti.sim.qvm", "H2-1": "quantinuum.sim.h2-1e"}
PROBLEMS = {
    "LiH": (ProblemText(name="lih-frozen-core"), {}),
    "H3+": (ProblemText(name="H3+", text=fcidump("H3+_0.9")), {}),
    "water": (ProblemText(name="h2o"), {"active_space": "4,4"}),
}
DRAWS = short_or_long(60, 200)
# A correct 95 % error bar has two standard errors for 95.4 % of the draws. The long form asks for 91 % of 200, which
# 200 binomial draws miss with a chance of 0.2 %. 60 draws have fewer than 52 (87 %) with the same chance.
LEAST = short_or_long(52, 182)


class NoisyDistributions:
    """A `RunRound` that draws shots from distributions of a density matrix, simulated once for each circuit and point.

    Depolarizing noise follows each gate, and each measured bit is flipped at a rate, as the published errors state.
    """

    def __init__(self, rates: ErrorRates) -> None:
        noise = NoiseModel()
        pairs = {"cx", "cz", "swap", "rxx", "ryy", "rzz"}
        if rates.one_qubit:
            noise.add_all_qubit_quantum_error(depolarizing_error(rates.one_qubit, 1), sorted({*BASIS} - pairs))
            noise.add_all_qubit_quantum_error(depolarizing_error(rates.two_qubit, 2), sorted(pairs))
        self._simulator = AerSimulator(method="density_matrix", noise_model=noise)
        self._readout = rates.readout
        self._known: dict[str, NDArray[np.float64]] = {}
        self.generator = np.random.default_rng(0)

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        results = []
        for pub in pubs:
            drawn = [
                self.generator.multinomial(int(pub.shots), self.of(pub.circuit, point)) for point in pub_points(pub)
            ]
            results.append(MeasuredPub(pub_points(pub), tuple(_counts(row, pub.circuit.num_qubits) for row in drawn)))
        return results

    def of(self, circuit: QuantumCircuit, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities (2^qubits,) of all outcomes."""
        bound = circuit.assign_parameters(point)
        key = str([(item.name, item.params, [bound.find_bit(bit).index for bit in item.qubits]) for item in bound.data])
        if key not in self._known:
            bare = to_basis(bound).remove_final_measurements(inplace=False)
            bare.save_probabilities()
            found = np.asarray(self._simulator.run(bare).result().data()["probabilities"])
            tensor = found.reshape((2,) * bare.num_qubits)
            for axis in range(bare.num_qubits):
                tensor = (1.0 - self._readout) * tensor + self._readout * np.flip(tensor, axis)
            kept = np.clip(tensor.ravel(), 0.0, None)
            self._known[key] = kept / kept.sum()
        return self._known[key]


def _counts(drawn: NDArray[np.int64], num_qubits: int) -> Counts:
    return Counts.from_bitstrings(
        {format(place, f"0{num_qubits}b"): int(drawn[place]) for place in np.flatnonzero(drawn)}
    )


def noisy_mean(run: PreparedVqe, distributions: NoisyDistributions) -> float:
    """Return the mean energy of the outcomes with the right number of pairs, summed outcome by outcome."""
    energy = run.energy.observable.constant
    for group in run.energy.observable.groups:
        chances = distributions.of(group.measurement_circuit(run.ansatz.circuit), run.ansatz.initial_point)
        right = [outcome for outcome in range(len(chances)) if outcome.bit_count() == group.ones]
        signs = np.array([[(-1.0) ** (outcome & mask).bit_count() for mask in group.masks] for outcome in right])
        energy += float(chances[right] @ signs @ group.coefficients / chances[right].sum())
    return energy


@long_form
@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
@pytest.mark.parametrize("name", PROBLEMS)
def test_two_standard_errors_hold_the_mean_of_rare_outcomes(name: str, target: str) -> None:
    problem, values = PROBLEMS[name]
    run = prepare_vqe(problem, VqeSettings(target=target, **values), 7)
    assert run.ansatz.name == "puccd"
    assert run.energy.grouping is Grouping.PAIR_ROTATIONS
    distributions = NoisyDistributions(error_rates(find_target(target)))
    mean, held = noisy_mean(run, distributions), 0
    for seed in range(DRAWS):
        distributions.generator = np.random.default_rng(seed)
        outcome = run.measure(distributions, lambda _: None)
        held += abs(outcome.value - mean) <= 2.0 * outcome.standard_error
    assert held >= LEAST
