"""Figures of a plan, counted and priced from its simulated rounds."""

from __future__ import annotations

from collections.abc import Sequence

from hybridloop.estimate.dry_run import DryRound
from hybridloop.estimate.figures import Circuit, Figure, Money, Phase, likely_count, likely_range
from hybridloop.estimate.pricing import JobTotals, Tariff, sum_if_known
from hybridloop.estimate.simulation import Simulation
from hybridloop.targets.prices import billing_unit

_DECIMALS = 6  # of an amount: further ones are rounding errors


def count_figure(expected: int, trials: Sequence[int], worst: int) -> Figure:
    (least, most), at_most = likely_count(trials), max(worst, *trials)
    return Figure(expected, least, min(most, at_most), at_most)


def count_money(
    simulation: Simulation, tariff: Tariff, keep_alive: float | None = 0.0, hold: float | None = None
) -> Money:
    unit = billing_unit(tariff.target)
    upper = sum_if_known([tariff.total_of_rounds(simulation.worst).upper, keep_alive, hold or 0.0])
    at_most = None if upper is None else round(upper, _DECIMALS)
    rounds = (simulation.expected, *(trial.rounds for trial in simulation.trials))
    totals = [sum_if_known([tariff.total_of_rounds(each).expected, keep_alive]) for each in rounds]
    known = [round(total, _DECIMALS) for total in totals if total is not None]
    if len(known) < len(totals):
        return Money(unit, None, None, None, at_most)
    expected, *trials = known
    return Money(unit, expected, *likely_range(trials), at_most)


def count_phases(rounds: Sequence[DryRound], tariff: Tariff) -> tuple[Phase, ...]:
    phases = []
    for phase in dict.fromkeys(round_.phase for round_ in rounds):
        of_phase = [round_ for round_ in rounds if round_.phase == phase]
        largest = max(of_phase, key=lambda round_: round_.shots)
        total = tariff.total(largest.pubs)
        points = max(pub.points for pub in largest.pubs)
        circuits = len({pub.circuit for pub in largest.pubs})
        phases.append(Phase(phase, len(of_phase), circuits, points, total.jobs, total.shots))
    return tuple(phases)


def count_circuits(rounds: Sequence[DryRound], tariff: Tariff) -> tuple[Circuit, ...]:
    pubs = [(round_.phase, pub) for round_ in rounds for pub in round_.pubs]
    circuits = []
    for number, key in enumerate(dict.fromkeys(pub.circuit for _, pub in pubs), 1):
        of_circuit = [(phase, pub) for phase, pub in pubs if pub.circuit == key]
        size = tariff.sizes.size(key, tariff.target)
        total = sum((tariff.total([pub]) for _, pub in of_circuit), JobTotals())
        most_shots = max(shots for _, pub in of_circuit for shots in tariff.split(pub.shots))
        circuits.append(
            Circuit(
                name=f"c{number}",
                phases=tuple(dict.fromkeys(phase for phase, _ in of_circuit)),
                qubits=tariff.sizes.circuits[key].circuit.num_qubits,
                one_qubit=None if size is None else size.counts.one_qubit,
                two_qubit=None if size is None else size.counts.two_qubit,
                measurements=None if size is None else size.counts.measurements,
                depth=None if size is None else size.depth,
                jobs=total.jobs,
                shots=total.shots,
                price=tariff.price(key, most_shots).expected,
            )
        )
    return tuple(circuits)
