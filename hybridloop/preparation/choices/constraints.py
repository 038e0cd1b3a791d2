"""Choice of a circuit that meets the constraints of a binary problem: by penalties, or by the XY mixer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hybridloop.algorithms.binary.constraints import Inequalities, disjoint_groups, penalized
from hybridloop.algorithms.binary.ising import MAX_ENUMERATED_VARIABLES
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.qaoa.circuit import Mixer, QaoaCircuit, qaoa_circuit
from hybridloop.descriptions.qaoa import InequalitiesName, MixerName, QaoaSettings
from hybridloop.errors import InputError
from hybridloop.preparation.choices.angles import start_assignment
from hybridloop.runtime.text_table import count_text

# what an unbalanced penalty leaves over, in units of the smallest coefficient, and its share of the safe weight
LEFT_OVER = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
SHARES = (1.0, 0.5, 0.25, 0.1, 0.04)
_SHOWN = "the lowest cost is that of the best feasible assignment, by going through all"
ROUNDING = 1e-9  # of the size of the costs: what is equal


def circuit_of(problem: BinaryProblem, settings: QaoaSettings, seed: int) -> tuple[QaoaCircuit, str | None]:
    """Return the circuit of a QAOA run, and why it meets the constraints in its way; None without a choice.

    The cheaper way has fewer two-qubit gates in a shot, over the share of the first state's assignments that meet the
    constraints of the XY mixer. An unbalanced penalty is taken only where going through all assignments shows that its
    lowest cost is the best feasible one. Raises InputError.
    """
    start = start_assignment(problem, settings)

    def build(of: BinaryProblem, mixer: Mixer) -> QaoaCircuit:
        return qaoa_circuit(of, layers=settings.layers, mixer=mixer, seed=seed, assignment=start)

    stated = None if settings.mixer is MixerName.AUTO else Mixer(settings.mixer)
    mixer = stated or (Mixer.STANDARD if start is None else Mixer.WARM_START)
    problem, reason = _with_inequalities(problem, settings, lambda of: _gates(build(of, mixer)))
    ansatz = build(problem, mixer)
    if stated is not None or start is not None or not disjoint_groups(problem.constraints):
        return ansatz, reason
    kept = build(problem, Mixer.XY)
    share = math.prod(group.size / 2 ** len(group.variables) for group in kept.groups)
    costs = _gates(kept), _gates(ansatz)
    is_kept = costs[0] * share <= costs[1]
    number = count_text(len(kept.groups), "constraint")
    why = (
        f"{number} by the xy mixer, {costs[0]} two-qubit gates in a shot, each of which meets "
        f"{'it' if len(kept.groups) == 1 else 'them'}; by penalties {costs[1]}, and "
        f"{share:.2g} of random assignments do"
    )
    if not is_kept:
        why = f"by penalties: {costs[1]} two-qubit gates in a shot, with the xy mixer {costs[0]}"
    return (kept if is_kept else ansatz), "; ".join(filter(None, (why, reason)))


def _gates(ansatz: QaoaCircuit) -> int:
    """Return the number of two-qubit gates in a shot."""
    return int(ansatz.circuit.num_nonlocal_gates())


def _with_inequalities(
    problem: BinaryProblem, settings: QaoaSettings, gates: Callable[[BinaryProblem], int]
) -> tuple[BinaryProblem, str | None]:
    """Return the problem with the penalties of its inequalities, and why; None where there is nothing to choose."""
    slack = problem.num_qubits - problem.num_variables
    if not slack and not problem.has_unbalanced:
        return problem, None
    if settings.inequalities is InequalitiesName.SLACK:
        if odd := next((each.description for each in problem.constraints if each.is_unbalanced), None):
            what = f"{odd} has coefficients that are no whole numbers, or too large ones"
            raise InputError("inequalities", what, "Scale them to whole numbers, or leave inequalities out.")
        return problem, None
    if settings.inequalities is InequalitiesName.UNBALANCED:
        return _shown(problem) or _unbalanced(problem, 1.0, 1.0), None
    if not slack:
        return _shown(problem) or problem, None
    bits = count_text(slack, "slack bit")
    shown = _shown(problem)
    if shown is None:
        return problem, f"inequalities by {bits}, as no other penalty is known to be safe"
    costs = gates(shown), gates(problem)
    if costs[0] < costs[1]:
        return (
            shown,
            f"inequalities by unbalanced penalties, {costs[0]} two-qubit gates in a shot; by {bits} {costs[1]}",
        )
    return problem, f"inequalities by {bits}, {costs[1]} two-qubit gates in a shot; by unbalanced penalties {costs[0]}"


def _shown(problem: BinaryProblem) -> BinaryProblem | None:
    """Return the problem with unbalanced penalties whose lowest cost is the best feasible one; None without any."""
    if problem.num_variables > MAX_ENUMERATED_VARIABLES:
        return None
    values, is_feasible = problem.sign * problem.objective.all_energies(), problem.all_feasible()
    if not is_feasible.any():
        return None
    best = is_feasible & (values <= values[is_feasible].min() + ROUNDING * np.abs(values).max())
    for share in SHARES:
        for left_over in LEFT_OVER:
            tried = _unbalanced(problem, left_over, share)
            costs = tried.cost.all_energies()
            if best[costs <= costs.min() + ROUNDING * np.abs(costs).max()].all():
                return replace(tried, penalty_reason=_SHOWN)
    return None


def _unbalanced(problem: BinaryProblem, left_over: float, share: float) -> BinaryProblem:
    linears = [each.linear for each in problem.constraints if each.linear is not None]
    constraints = penalized(linears, problem.num_variables, Inequalities.UNBALANCED, left_over)
    reason = "none is shown to be large enough"
    return replace(problem, constraints=constraints, penalty=share * problem.penalty, penalty_reason=reason)
