"""The description of an algorithm, from which its command, function, plan, flow, report and schema are made.

It imports nothing heavy. What runs and draws is named as "package.module:name", and imported when it is needed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hybridloop.settings import MoleculeSettings, RunSettings

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult


class Subject(enum.StrEnum):
    """The kind of problem that an algorithm takes."""

    ENERGY = "a molecule or a Pauli sum"
    MOLECULE = "a molecule"
    SERIES = "several molecules or Pauli sums, in order"
    BINARY = "a graph or another binary problem"


class Value(enum.StrEnum):
    """The meaning of the value in an algorithm's result."""

    ENERGY = "energy"
    OBJECTIVE = "objective"


OBSERVABLES_PLOT = "hybridloop.reports.plots.observables:observables"  # of energies


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """An algorithm, described.

    `name` is that of its command, function, flow and settings' section, `title` stands in reports. `summary` is the
    command's help, with an `example` of its arguments and the `main_options` that the short help shows.

    `prepare` names the function of (problem, settings, seed, target, groupings) that returns a
    `hybridloop.preparation.prepared.PreparedAlgorithm`, and `flow` the Prefect flow.

    `value_of` says which of the result's rows its value is of, with the row's columns and the number of `rows` in
    braces. `columns` of the table are shown under `table_title`. `plots` are the kinds of plots of its own, each with
    the function that draws it from a `PlotRequest`; `answer_plots` are those that show the answer, the best first.
    `sampling_rounds` are those of an algorithm with a classical part after its session, which then has an upper bound
    in place of an estimate; 0: it has none.
    """

    name: str
    title: str
    summary: str
    subject: Subject
    settings: type[RunSettings]
    prepare: str
    flow: str
    example: str
    main_options: str
    value: Value = Value.ENERGY
    value_of: str = ""
    columns: tuple[str, ...] = ()
    table_title: str = ""
    plots: Mapping[str, str] = field(default_factory=dict)
    answer_plots: tuple[str, ...] = ()
    sampling_rounds: int = 0

    @property
    def is_on_molecules(self) -> bool:
        """True if the settings are those of a molecule, so that a geometry has a basis and a charge."""
        return issubclass(self.settings, MoleculeSettings)

    def run(self, problem: Any, **options: Any) -> RunResult:
        """Run the algorithm as its public function does; see `hybridloop.vqe`."""
        result: RunResult = load("hybridloop.api.algorithms:run_algorithm")(self.name, problem, options)
        return result


def load(path: str) -> Any:
    """Return the object that "package.module:name" names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
