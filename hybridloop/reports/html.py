"""A run's report as one HTML page without network, scripts or fonts, for light and dark screens and for paper."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from hybridloop.errors import HybridloopError
from hybridloop.estimate.figures import Figure, Money
from hybridloop.estimate.planner import plan_run
from hybridloop.reports.content import ReportTable, report_content
from hybridloop.reports.plots import draw_all
from hybridloop.results.result_text import cost_text
from hybridloop.runs.stored_run import StoredRun
from hybridloop.runtime.escaping import escape_control
from hybridloop.targets import recorded_target

_COLUMNS = ("Quantity", "Expected", "Likely", "Taken")


def compare_with_plan(run: StoredRun) -> ReportTable | None:
    """Plan the run from its settings, and compare rounds, jobs, shots and price.

    None for a script, for a run without a result, and if this machine can't plan it.
    """
    result = run.result
    if result is None:
        return None
    try:
        plan = plan_run(run.record.algorithm, run.problem, run.settings, recorded_target(run.record.target))
    except HybridloopError:  # such as an optimizer plug-in that this machine lacks
        return None
    counted = (
        ("Rounds", plan.rounds, result.rounds),
        ("Jobs", plan.jobs, result.jobs),
        ("Shots", plan.shots, result.shots),
    )
    rows = [(name, *_figure(figure), f"{number:,}") for name, figure, number in counted]
    rows.append(("Price", *_money(plan.cost), cost_text(result)))
    return ReportTable("Comparison with its plan", _COLUMNS, tuple(rows))


def _figure(figure: Figure) -> tuple[str, str]:
    return f"{figure.expected:,}", f"{figure.least:,} to {figure.most:,}"


def _money(amount: Money) -> tuple[str, str]:
    if amount.expected is None:
        return "unknown", ""
    return f"{amount.expected:.2f} {amount.unit}", f"{amount.least:.2f} to {amount.most:.2f}"


def render_report(run: StoredRun, *, planned: ReportTable | None = None) -> str:
    """Render the page, with the comparison with its plan if given.

    All texts of the run are escaped, and the page's content security policy forbids scripts and the network.
    """
    pictures = [(each, Markup(each.svg(themed=True))) for each in draw_all(run)]  # safe: the SVG's texts are escaped
    return escape_control(_template().render(content=report_content(run), pictures=pictures, planned=planned))


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
