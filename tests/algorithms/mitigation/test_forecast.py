"""Forecasts of what noise does to a value, beside density matrices with the same error rates."""

from __future__ import annotations

import pytest

from benchmarks.noise_systems import MACHINES, compute, system
from hybridloop.algorithms.circuits.basis import to_basis, two_qubit_gates
from hybridloop.algorithms.estimation.estimates import evaluation
from hybridloop.algorithms.mitigation.forecast import NoiseForecast, NoisyGroup
from hybridloop.algorithms.mitigation.mitigation import Mitigation
from hybridloop.algorithms.rounds import Counts

EXACT_SHOTS = 10**9


@pytest.mark.parametrize("name", ["LiH", "HeH+"])
@pytest.mark.parametrize("machine_name", ["H2-1", "1 %"])
def test_a_forecast_has_the_order_of_magnitude_of_the_shift(name: str, machine_name: str) -> None:
    """By default outcomes are discarded, of which the mixed state of the whole register is a rough picture."""
    of, machine = system(name), MACHINES[machine_name]
    circuits = [group.measurement_circuit(of.ansatz.circuit) for group in of.observable.groups]
    bound = [each.assign_parameters(of.ansatz.initial_point) for each in circuits]
    found = compute([each.remove_final_measurements(inplace=False) for each in bound], machine, "depolarizing")
    groups = []
    for group, circuit in zip(of.observable.groups, map(to_basis, circuits), strict=True):
        two = two_qubit_gates(circuit)
        one = circuit.size() - two - of.observable.num_qubits
        sound = (1.0 - machine.two_qubit) ** two * (1.0 - machine.one_qubit) ** one
        groups.append(NoisyGroup(group, sound, (1.0 - machine.readout) ** of.observable.num_qubits))
    forecast = NoiseForecast(of.observable, groups, of.mitigation.symmetries, of.exact)
    bits = of.observable.num_qubits
    exact = [
        Counts.from_bitstrings({f"{i:0{bits}b}": round(p * EXACT_SHOTS) for i, p in enumerate(row) if p}, exact=True)
        for row in found
    ]
    plain = evaluation(of.observable, of.ansatz, lambda _: [])
    kept = Mitigation(symmetries=of.mitigation.symmetries).final_evaluation(plain)
    statistics = [kept.reduce_counts(group, counts) for group, counts in zip(of.observable.groups, exact, strict=True)]
    shift = kept.combine_groups(of.observable.constant, statistics).value - of.exact  # type: ignore[arg-type]
    assert shift / 3.0 < forecast.shift() < 3.0 * shift
    by_what_is_done = [
        forecast.shift(selects=False),
        forecast.shift(),
        forecast.shift(reads=True),
        forecast.shift(reads=True, extrapolates=True),
    ]
    assert by_what_is_done == sorted(by_what_is_done, reverse=True)
    assert forecast.shift(extrapolates=True) > by_what_is_done[-1]  # it leaves errors of readout
