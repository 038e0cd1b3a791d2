"""A run's report as one HTML page: no network, no script, no font of others; reads in light and dark, and on paper."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from hybridloop.flows.kept import KeptRun
from hybridloop.flows.pictures import pictures_of
from hybridloop.flows.report_facts import Rows, facts_of


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
        loader=PackageLoader("hybridloop.flows"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")
