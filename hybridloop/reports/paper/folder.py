"""Write the folder of a run for a paper: figure, table, methods with references, bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import InputError
from hybridloop.reports.bundle.archive import removed_on_error, write_bundle
from hybridloop.reports.content import with_axis
from hybridloop.reports.paper.latex import cell, table
from hybridloop.reports.paper.methods import MethodsText
from hybridloop.reports.plots import draw, kinds_of
from hybridloop.reports.plots.style import Picture
from hybridloop.results.result import RunResult
from hybridloop.results.result_text import ERRORS, OBSERVABLES, heading_of, observable_error, shown_rows
from hybridloop.results.summary import headline
from hybridloop.runs.stored_run import StoredRun
from hybridloop.runtime.escaping import csv_text

_OWN = ("value", "standard_error", "exact", "error", "reference", "rounds", "jobs", "shots")  # of a run without a table


def write_paper(run: StoredRun, folder: Path) -> list[str]:
    """Write the files of a run into a new or empty folder; return their names.

    Raises InputError for a run without a value, and for a folder that has files or can't be written.
    """
    result = run.result
    if result is None or result.value is None:
        remedy = f"To finish it: hybridloop runs resume {run.record.key}" if run.is_of_algorithm else ""
        raise InputError("run", f"run {run.record.key!r} has no result for a paper", remedy)
    methods, picture, rows = MethodsText(run, result), _figure(run), _rows(result)
    caption = f"{ALGORITHMS[result.algorithm].title} of {result.problem}: {headline(result)}."
    texts = {
        "table.csv": _csv(rows, result),
        "table.tex": _table(rows, result, caption),
        "methods.tex": methods.paragraph,
        "references.bib": methods.bibliography(),
    }
    if result.observables:
        texts |= _observables(result)
    bundle = f"{run.record.key}.zip"
    names = ["figure.pdf", "figure.svg", *texts, bundle]
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError("--paper", f"{folder} has files, which stay as they are", "Give a new or empty folder.")
        folder.mkdir(parents=True, exist_ok=True)
        with removed_on_error([folder / name for name in names]):
            for name in ("figure.svg", "figure.pdf"):
                picture.save(str(folder / name))
            for name, text in texts.items():
                (folder / name).write_text(text, encoding="utf-8")
            write_bundle(run, folder / bundle)
    except OSError as error:
        raise InputError("--paper", f"{folder} can't be written ({error.strerror})", "Check the path.") from error
    return names


def _figure(run: StoredRun) -> Picture:
    """Return the picture of the answer, else the convergence; the energy of one round, which shows no trend."""
    algorithm = run.record.algorithm
    for kind in (*ALGORITHMS[algorithm].answer_plots, "convergence", "energy", "timeline"):
        if kind in kinds_of(algorithm) and (picture := draw(run, kind)) is not None:
            return picture
    raise InputError("run", f"run {run.record.key!r} has nothing to draw", "It may have been pruned.")


def _rows(result: RunResult) -> list[dict[str, Any]]:
    """Return the table's rows as plain values; those of a run without a table are its value and its effort."""
    if rows := with_axis(result, shown_rows(result)):
        return rows
    values = {name: getattr(result, name) for name in _OWN}
    name = {"value": str(result.value_name), "exact": "exact" if result.unit else "optimum"}
    return [{"problem": result.problem, **{name.get(each, each): value for each, value in values.items()}}]


def _observables(result: RunResult) -> dict[str, str]:
    """Return the files of a table of the operators beside the energy."""
    columns = (
        "point",
        "observable",
        "value",
        "standard_error",
        "unseen_bound",
        "rounding_bound",
        "unit",
        "simulated",
        "shots",
    )
    rows = [{name: row[name] for name in columns if name in row} for row in result.observables]
    listed = csv_text((name.replace("_", " ") for name in rows[0]), (row.values() for row in rows))
    names = [name for name in rows[0] if name not in ("standard_error", "rounding_bound")]
    bars = [{"value": None if row["value"] is None else observable_error(row)} for row in rows]
    cells = [[cell(row[name], bar.get(name)) for name in names] for row, bar in zip(rows, bars, strict=True)]
    caption = f"{OBSERVABLES} of {result.problem}."
    latex = table(caption, f"tab:{result.run_key}-observables", names, cells)
    return {"observables.csv": listed, "observables.tex": latex}


def _headings(names: Iterable[str], result: RunResult) -> list[str]:
    """Return the headings of columns, in which an exact energy of an active space says so."""
    of_space = " of the active space" if result.is_active_space else ""
    return [heading_of(name, result.unit).replace("exact", f"exact{of_space}", 1) for name in names]


def _csv(rows: Sequence[Mapping[str, Any]], result: RunResult) -> str:
    return csv_text(_headings(rows[0], result), (row.values() for row in rows))


def _table(rows: Sequence[Mapping[str, Any]], result: RunResult, caption: str) -> str:
    """Return the LaTeX table, in which a value and its standard error share a column."""
    errors = {name: ERRORS[name] for name in rows[0] if ERRORS.get(name) in rows[0]}
    names = [name for name in rows[0] if name not in errors.values()]
    cells = [[cell(row[name], row.get(errors.get(name, ""))) for name in names] for row in rows]
    return table(caption, f"tab:{result.run_key}", _headings(names, result), cells)
