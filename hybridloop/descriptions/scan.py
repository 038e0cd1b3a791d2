"""Scan: the ground-state energies of a series of molecules, one VQE after the other in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from hybridloop.descriptions.description import OBSERVABLES_PLOT, Description, Subject
from hybridloop.descriptions.vqe import VqeOptions, VqeSettings

if TYPE_CHECKING:
    from hybridloop.results.result import RunResult


class ScanSettings(VqeSettings):
    """Settings of a scan: those of the VQE at each of its points."""


def scan(problems: Sequence[Any], **options: Unpack[VqeOptions]) -> RunResult:
    """Find the ground-state energies (hartree) of several molecules, one VQE after the other in one run and session.

    `problems` are as for `vqe`; neighbours should be similar. A point starts from the angles of the previous point
    where the orbitals can be matched and the energy there, which is measured, lies below Hartree-Fock's. The result's
    `table` has the points; its value is the first point's. The options are those of `vqe`.
    """
    return SCAN.run(problems, **options)


SCAN = Description(
    name="scan",
    title="Scan",
    summary="Find the ground-state energies of a series of molecules in one run.",
    subject=Subject.SERIES,
    settings=ScanSettings,
    prepare="hybridloop.preparation.scan:prepare_scan",
    flow="hybridloop.flows.algorithms:scan",
    example="h2-0.3 h2 h2-1.6 --seed 7",
    main_options="ansatz search precision",
    value_of="{point}, the first of {rows} points",
    columns=("point", "energy", "standard_error", "exact", "error", "rounds", "circuits", "converged", "note"),
    table_title="Points",
    plots={"curve": "hybridloop.reports.plots.energies:curve", "observables": OBSERVABLES_PLOT},
    answer_plots=("curve",),
)
