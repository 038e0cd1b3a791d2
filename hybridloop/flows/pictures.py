"""Pictures of a run, made without a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from hybridloop.flows.results import RunResult

CHEMICAL_ACCURACY = 1.6e-3  # hartree: 1 kcal/mol


def convergence(result: RunResult) -> Figure:
    """Value by round with its standard error, the final value's 95 % interval, and what it is held against."""
    of_molecule, of_energy = result.unit == "hartree", result.algorithm not in ("qaoa", "rqaoa")
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for phase, colour in (("search", "#1f6f9c"), ("final", "#b3541e")):
        rounds = [each for each in result.history if each.phase == phase]
        axes.errorbar(
            [each.round for each in rounds],
            [each.value for each in rounds],
            yerr=[each.standard_error for each in rounds],
            fmt="o-",
            color=colour,
            markersize=4,
            linewidth=1,
            capsize=2,
            label=f"{phase} (± 1 standard error)",
        )
    axes.axhline(
        result.reference, color="#8a8a8a", linestyle=":", label="Hartree-Fock" if of_molecule else "mean of all"
    )
    if result.exact is not None:
        axes.axhline(result.exact, color="#2c7a3f", linewidth=1, label="exact" if of_energy else "optimum")
    if result.exact is not None and of_molecule:
        _mark_accuracy(axes, result.exact)
    where, ended = f"{result.problem} on {result.target}", result.status
    if result.interval95 is not None:
        axes.axhspan(*result.interval95, color="#b3541e", alpha=0.18, linewidth=0, label="result, 95 % interval")
        ended = f"{result.value:.6f} ± {result.standard_error:.6f} {result.unit}".rstrip()
    axes.set_title(f"{where}: {ended}")
    axes.set_xlabel("round")
    axes.set_ylabel(("energy (hartree)" if of_molecule else "energy") if of_energy else "objective")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.legend(fontsize="small", framealpha=0.9)
    return figure


def _mark_accuracy(axes: Axes, exact: float) -> None:
    band = (exact - CHEMICAL_ACCURACY, exact + CHEMICAL_ACCURACY)  # a measured energy may lie below the exact one
    axes.axhspan(*band, color="#2c7a3f", alpha=0.12, linewidth=0, label="chemical accuracy")
