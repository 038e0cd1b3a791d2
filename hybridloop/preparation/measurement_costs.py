"""Cost and noise of measuring a circuit in groups on a target, by its prices and published error rates."""

from __future__ import annotations

from qiskit import QuantumCircuit

from hybridloop.algorithms.estimation.grouping import MeasurementCosts
from hybridloop.algorithms.estimation.observable import MeasurementGroup
from hybridloop.azure.targets import Target, known_targets
from hybridloop.budget.prices import ONE_GATE, price_of_job
from hybridloop.compiler.gate_counts import GateCounts

SHOTS = "shots"


def measurement_costs(target: Target, circuit: QuantumCircuit, *, debias: bool) -> MeasurementCosts:
    """Return the costs of measuring a circuit on a target; in shots where they are free or have no known price.

    Gates are counted as they stand in the circuit. Where a job's price has a part for each job, it counts for each
    `max_shots`.
    """
    debias = debias and target.debiases
    smallest = price_of_job(target, ONE_GATE, 1, debias=debias)
    if not smallest.expected:
        return MeasurementCosts(lambda _, shots: float(shots), SHOTS, two_qubit_error(target))
    two_qubit = int(circuit.num_nonlocal_gates())
    one_qubit, qubits = int(circuit.size()) - two_qubit, circuit.num_qubits

    def price(group: MeasurementGroup, shots: int) -> float:
        counts = GateCounts(qubits, one_qubit + group.one_qubit_gates, two_qubit + group.two_qubit_gates, qubits)
        full, rest = divmod(shots, target.max_shots)
        parts = [(full, target.max_shots), (1, rest)]
        prices = [(jobs, price_of_job(target, counts, each, debias=debias)) for jobs, each in parts if jobs and each]
        return sum(jobs * (each.expected or 0.0) for jobs, each in prices)

    return MeasurementCosts(price, smallest.unit, two_qubit_error(target))


def two_qubit_error(target: Target) -> float:
    """Return the depolarizing strength of a gate on two qubits; of a machine without a published one, the largest."""
    if not target.is_noisy:
        return 0.0
    if target.two_qubit_error is not None:
        return target.two_qubit_error
    return max(known.two_qubit_error or 0.0 for known in known_targets().values())
