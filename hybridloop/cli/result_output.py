"""Output of `hybridloop run …` and `hybridloop runs resume`: the result of a run, with its picture."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybridloop.algorithms.problems.energy_units import EnergyUnit
from hybridloop.cli.output import print_json, print_line, print_message
from hybridloop.runtime.paths import home, make_folder

if TYPE_CHECKING:
    from hybridloop.runs.result import RunResult


Unit = Annotated[EnergyUnit | None, typer.Option(help="Print energies in this unit, too.", rich_help_panel="Run")]
UNIT = inspect.Parameter("unit", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Unit)


def print_result(result: RunResult, *, as_json: bool, unit: EnergyUnit | None = None) -> None:
    """Print a run's result, energies in another unit too; exit with its status's code if that is not 0."""
    from hybridloop.runs.summary import summary

    if as_json:
        picture = _save_picture(result)
        print_json({**result.as_dict(), "picture": picture and str(picture)})
    else:
        if unit is not None and result.unit != "hartree":
            print_message(f"hybridloop: --unit {unit} is left out: the value is no energy in hartree")
            unit = None
        *first, last = summary(result, unit, _picture_path(result))
        for line in first:
            print_line(line)
        if not _save_picture(result):  # loading the library takes a moment, and the answer is read meanwhile
            (*_, last) = summary(result)
        print_line(last)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _picture_path(result: RunResult) -> str:
    return str(home() / "pictures" / f"{result.run_key}.svg") if result.history else ""


def _save_picture(result: RunResult) -> Path | None:
    """Return the picture's path; None without a measurement, or, with a message, if it can't be written."""
    if not result.history:
        return None
    path = Path(_picture_path(result))
    try:
        make_folder(path.parent)
        result.plot(str(path))
    except OSError as error:
        print_message(f"hybridloop: the picture can't be written to {path} ({error.strerror})")
        return None
    return path
