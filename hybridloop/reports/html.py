"""What a run took beside what it was to take: its plan, rehearsed from its settings without any service.

A run's report as one HTML page: no network, no script, no font of others; reads in light and dark, and on paper.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from hybridloop.errors import HybridloopError
from hybridloop.estimate.plan import Figure, Money
from hybridloop.estimate.planner import plan_run
from hybridloop.reports.answer import money
from hybridloop.reports.content import Rows, facts_of
from hybridloop.reports.plots import pictures_of
from hybridloop.runs.stored_run import KeptRun

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


def report_page(run: KeptRun, *, planned: Rows | None = None) -> str:
    """The page; `planned` is what its plan says beside what it took.

    Whatever stands in the run is escaped, and the page forbids scripts and the network besides.
    """
    drawn = pictures_of(run)
    pictures = [(each, Markup(each.svg(themed=True))) for each in drawn]  # ours, and its texts escaped
    return _template().render(facts=facts_of(run), pictures=pictures, planned=planned)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("hybridloop.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")
