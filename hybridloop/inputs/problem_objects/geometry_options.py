"""Options of a geometry: how its integrals are made, and the part of the molecule that is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from hybridloop.algorithms.geometries import LengthUnit
from hybridloop.errors import InputError
from hybridloop.settings.parsing import ActiveSpace


@dataclass(frozen=True, slots=True)
class GeometryOptions:
    """Options for the integrals of a geometry, and the part of the molecule that is taken.

    What is left out: sto-3g, the core potentials of the basis set, charge 0, the lowest multiplicity, Å, the whole
    molecule.
    """

    basis: str | None = None
    ecp: str | None = None
    charge: Annotated[int, Field(strict=True)] | None = None
    geometry_unit: LengthUnit | None = None
    multiplicity: Annotated[int, Field(ge=1, strict=True)] | None = None
    active_space: ActiveSpace | None = None
    frozen_core: int = 0

    def check_unused(self, name: str) -> None:
        """Raise InputError for options of a geometry with a problem that has its integrals already."""
        for field in OF_GEOMETRY:
            if getattr(self, field) is not None:
                raise InputError(field, f"{name} is no geometry, and has its integrals already", "Leave it out.")


OF_GEOMETRY = ("basis", "ecp", "charge", "geometry_unit")  # options that are no settings of a run
DEFAULT_BASIS = "sto-3g"  # PySCF's own default
