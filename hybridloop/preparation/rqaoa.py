"""Prepare recursive QAOA: the binary problem, and the number of variables down to which it is reduced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hybridloop.algorithms.outcome import RoundProgress
from hybridloop.algorithms.qaoa.recursive import rqaoa
from hybridloop.algorithms.qaoa.search import QaoaResult
from hybridloop.algorithms.rounds import RunRound
from hybridloop.descriptions.rqaoa import RqaoaSettings
from hybridloop.preparation.binary import facts_of_binary, read_binary, shots_of
from hybridloop.preparation.choices.measurement_groups import recorded_least_shots
from hybridloop.preparation.prepared import PlanFacts
from hybridloop.preparation.qaoa import PreparedQaoa
from hybridloop.settings import NOTHING, ProblemText, Recorded
from hybridloop.targets import Target, check_circuit_fits

MAX_ELIMINATED_FROM = 150  # variables: of a dense problem each elimination takes a second
SIMULATED_VARIABLES = 20  # of a circuit on a simulator: a few seconds on the local service


def prepare_rqaoa(
    problem: ProblemText, settings: RqaoaSettings, _seed: int, target: Target, recorded: Recorded = NOTHING
) -> PreparedQaoa:
    """Build a recursive QAOA run, which draws nothing. Raises InputError."""
    binary = read_binary(problem, settings.objective)
    num_qubits = binary.num_qubits
    if num_qubits <= MAX_ELIMINATED_FROM and binary.cost.is_quadratic:  # else there are no means without jobs
        chosen_by_target = num_qubits if target.is_machine else SIMULATED_VARIABLES
        num_qubits = min(num_qubits, settings.circuit_variables or chosen_by_target, target.qubits or num_qubits)
    check_circuit_fits(target, num_qubits)
    least = recorded_least_shots(recorded.groupings) or target.max_shots
    shots = shots_of(settings, target, least)

    def run(run_round: RunRound, on_progress: Callable[[RoundProgress], None]) -> QaoaResult:
        return rqaoa(
            binary,
            run_round,
            layers=settings.layers,
            shots=shots,
            stop_at=settings.brute_force_below,
            max_variables=num_qubits,
            on_progress=on_progress,
        )

    rounds = PlanFacts(max(0, num_qubits - settings.brute_force_below), 0)
    facts = replace(facts_of_binary(binary, 0), num_qubits=num_qubits)
    return PreparedQaoa(facts, binary, rounds, run, least, {})  # each round's problem is smaller than the last one's
