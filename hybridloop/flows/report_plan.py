"""What a run took beside what it was to take: its plan, rehearsed from its settings without any service."""

from __future__ import annotations

from hybridloop.errors import HybridloopError
from hybridloop.flows.answers import money
from hybridloop.flows.kept import KeptRun
from hybridloop.flows.plan.figures import Figure, Money
from hybridloop.flows.plan.planning import plan_run
from hybridloop.flows.report_facts import Rows

_COLUMNS = ("What", "Expected", "Rehearsals", "At most", "Taken")


def beside_its_plan(run: KeptRun) -> Rows | None:
    """Rounds, jobs, shots and price; None of a script, before a result, and where no plan can be made of it here."""
    result = run.result
    if result is None:
        return None
    try:
        plan = plan_run(run.record.algorithm, run.problem, run.settings)
    except HybridloopError:  # its search or its target may be one that this machine does not know
        return None
    counted = (
        ("Rounds", plan.rounds, result.rounds),
        ("Jobs", plan.jobs, result.jobs),
        ("Shots", plan.shots, result.shots),
    )
    rows = [(name, *_figure(figure), f"{taken:,}") for name, figure, taken in counted]
    rows.append(("Price", *_money(plan.cost), money(result.cost) or "not stated by the service"))
    return Rows("Beside its plan", _COLUMNS, tuple(rows))


def _figure(figure: Figure) -> tuple[str, str, str]:
    return f"{figure.expected:,}", f"{figure.least:,} to {figure.most:,}", f"{figure.worst:,}"


def _money(amount: Money) -> tuple[str, str, str]:
    upper = "nobody can say" if amount.upper is None else f"{amount.upper:.2f} {amount.unit}"
    return f"{amount.expected:.2f} {amount.unit}", f"{amount.least:.2f} to {amount.most:.2f}", upper
