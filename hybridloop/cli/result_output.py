"""Output of `hybridloop run …` and `hybridloop runs resume`: the result of a run."""

from __future__ import annotations

import inspect
import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from hybridloop.algorithms.problems.energy_units import EnergyUnit
from hybridloop.cli.output import print_json, print_line, print_message
from hybridloop.errors import ResultNotPrinted

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult


Unit = Annotated[EnergyUnit | None, typer.Option(help="Print energies in this unit, too.", rich_help_panel="Run")]
LEAST_COLUMNS = 40  # fewer are no terminal's that shows text
UNIT = inspect.Parameter("unit", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Unit)


def print_result(result: RunResult, *, as_json: bool, unit: EnergyUnit | None = None) -> None:
    """Print a run's result, energies in another unit too; exit with its status's code if that is not 0.

    Raises ResultNotPrinted if standard output takes nothing.
    """
    from hybridloop.results.summary import MOST_LINES, WIDTH, summary

    try:
        if as_json:
            print_json(result.as_dict())
        else:
            if unit is not None and result.unit != "hartree":
                print_message(f"hybridloop: --unit {unit} is left out: the value is no energy in hartree")
                unit = None
            columns = shutil.get_terminal_size((WIDTH, MOST_LINES)).columns
            for line in summary(result, unit, max(columns, LEAST_COLUMNS)):
                print_line(line)
    except OSError as error:
        raise ResultNotPrinted(result.run_key, error.strerror or str(error)) from error
    if result.exit_code:
        raise typer.Exit(result.exit_code)
