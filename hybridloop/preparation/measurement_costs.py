"""Cost and noise of measuring a circuit in groups on a target, by its prices and published error rates."""

from __future__ import annotations

from qiskit import QuantumCircuit

from hybridloop.algorithms.estimation.grouping import MeasurementCosts
from hybridloop.algorithms.estimation.observable import MeasurementGroup
from hybridloop.azure.targets import Target
from hybridloop.azure.targets.error_rates import two_qubit_error
from hybridloop.budget.prices import ONE_GATE, price_of_job
from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.settings import RunSettings

SHOTS = "shots"


def measurement_costs(target: Target, circuit: QuantumCircuit, settings: RunSettings) -> MeasurementCosts:
    """Return the costs of measuring a circuit on a target; in shots where they are free or have no known price.

    Gates are counted as they stand in the circuit. Where a job's price has a part for each job, it counts for each
    `max_shots`.
    """
    debias = settings.debias and target.debiases
    strength = two_qubit_error(target, settings.options)
    smallest = price_of_job(target, ONE_GATE, 1, debias=debias)
    if not smallest.expected:
        return MeasurementCosts(lambda _, shots: float(shots), SHOTS, strength, target.samples)
    two_qubit = int(circuit.num_nonlocal_gates())
    one_qubit, qubits = int(circuit.size()) - two_qubit, circuit.num_qubits

    def price(group: MeasurementGroup, shots: int) -> float:
        counts = GateCounts(qubits, one_qubit + group.one_qubit_gates, two_qubit + group.two_qubit_gates, qubits)
        full, rest = divmod(shots, target.max_shots)
        parts = [(full, target.max_shots), (1, rest)]
        prices = [(jobs, price_of_job(target, counts, each, debias=debias)) for jobs, each in parts if jobs and each]
        return sum(jobs * (each.expected or 0.0) for jobs, each in prices)

    return MeasurementCosts(price, smallest.unit, strength, target.samples)


def choice_facts(target: Target, settings: RunSettings) -> tuple[object, ...]:
    """Return what `measurement_costs` depends on, so that targets with equal facts get equal groups."""
    debias = settings.debias and target.debiases
    examples = (ONE_GATE, GateCounts(qubits=2, one_qubit=0, two_qubit=1, measurements=2))
    prices = [price_of_job(target, counts, target.max_shots, debias=debias) for counts in examples]
    return (
        target.max_shots,
        target.samples,
        two_qubit_error(target, settings.options),
        *((price.unit, price.expected) for price in prices),
    )
