"""Cost and noise of measuring a circuit in groups on a target, by its prices and published error rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qiskit import QuantumCircuit

from hybridloop.algorithms.circuits.basis import to_basis
from hybridloop.algorithms.estimation.observable import MeasurementGroup
from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.runtime.leaves import leaf
from hybridloop.settings import RunSettings
from hybridloop.targets import Target
from hybridloop.targets.error_rates import error_rates
from hybridloop.targets.prices import ONE_GATE, cheap_shots, price_of_job

if TYPE_CHECKING:
    from hybridloop.algorithms.estimation import grouping as groupings
else:
    groupings = leaf("hybridloop.algorithms.estimation.grouping")

SHOTS, JOBS = "shots", "jobs"
FREE_SHOTS = 1000  # of a job: the local service samples them in the time that a job's way there and back takes
QUICK_WORK = 1e9  # amplitudes through a gate, where each shot is simulated: some seconds


def measurement_costs(target: Target, circuit: QuantumCircuit, settings: RunSettings) -> groupings.MeasurementCosts:
    """Return the costs of measuring a circuit on a target, in its unit of money.

    Gates of the circuit are counted as they are billed, those of a group as they stand. A group with more shots than a
    job takes is billed for each of its jobs. Where the price is unknown, shots count; where jobs are free, shots and
    the `FREE_SHOTS` that a job's way takes; for an exact distribution, jobs.

    A job has at least the shots that add a tenth to its least price, so that a run costs at most a tenth more than with
    any smaller number, and mostly less: it takes fewer rounds. Where the provider mitigates errors, it has as many as
    that takes. Where shots are free, a job has `FREE_SHOTS`, or as many as are simulated quickly; an exact distribution
    is rounded the least with the most shots of a job.
    """
    debias = settings.debias
    strength = error_rates(target, settings.options).two_qubit
    smallest = price_of_job(target, ONE_GATE, 1, debias=debias)
    if smallest.expected is None:
        return groupings.MeasurementCosts(
            lambda _, shots: float(shots),
            SHOTS,
            strength,
            target.samples,
            two_qubit_rotations=target.two_qubit_rotations,
        )
    if not target.samples:
        return groupings.MeasurementCosts(
            lambda _group, _shots: 1.0, JOBS, strength, samples=False, least_shots=target.max_shots
        )
    if smallest.is_free:
        quick = max(1, int(QUICK_WORK / (circuit.size() + 1) / 2.0**circuit.num_qubits))
        unit = f"{SHOTS} ({FREE_SHOTS:,} more for each job)"
        return groupings.MeasurementCosts(
            lambda _, shots: float(shots + FREE_SHOTS),
            unit,
            strength,
            least_shots=min(FREE_SHOTS, quick, target.max_shots),
        )
    compiled = to_basis(circuit, target.gates)
    two_qubit, qubits = int(compiled.num_nonlocal_gates()), compiled.num_qubits
    one_qubit = int(compiled.size()) - two_qubit

    def price(group: MeasurementGroup, shots: int) -> float:
        counts = GateCounts(qubits, one_qubit + group.one_qubit_gates, two_qubit + group.two_qubit_gates, qubits)
        full, rest = divmod(shots, target.max_shots)
        parts = [(full, target.max_shots), (1, rest)]
        prices = [(jobs, price_of_job(target, counts, each, debias=debias)) for jobs, each in parts if jobs and each]
        return sum(jobs * (each.expected or 0.0) for jobs, each in prices)

    least = cheap_shots(target, GateCounts(qubits, one_qubit, two_qubit, qubits), debias=debias)
    return groupings.MeasurementCosts(
        price, smallest.unit, strength, target.samples, least, target.two_qubit_rotations, is_price=True
    )


def choice_facts(target: Target, settings: RunSettings) -> tuple[object, ...]:
    """Return what `measurement_costs` depends on, so that targets with equal facts get equal groups and shots."""
    examples = (ONE_GATE, GateCounts(qubits=2, one_qubit=0, two_qubit=1, measurements=2))
    shots = (1, target.max_shots)
    prices = [price_of_job(target, counts, each, debias=settings.debias) for counts in examples for each in shots]
    return (
        target.max_shots,
        target.samples,
        error_rates(target, settings.options).two_qubit,
        noisy_gates(target),
        *((price.unit, price.expected) for price in prices),
    )


def noisy_gates(target: Target) -> tuple[str, ...]:
    """Return the gates whose noise counts: the basis gates of a target with noise."""
    return tuple(target.gates) if target.is_noisy else ()
