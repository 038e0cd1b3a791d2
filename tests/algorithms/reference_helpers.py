"""Reference molecules, computed by PySCF and OpenFermion, and their problems on qubits."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem
from hybridloop.inputs.formats.fcidump import read_fcidump
from tests.paths import DATA

# FCIDUMP text, energies and qubit operators by name
MOLECULES: Mapping[str, Any] = json.loads((DATA / "molecules.json").read_text())["molecules"]


@functools.cache
def problem_of(name: str, mapping: FermionMapping = FermionMapping.PARITY) -> ElectronicProblem:
    """Return a reference molecule on qubits; each is made once."""
    return electronic_problem(read_fcidump(MOLECULES[name]["fcidump"], name), mapping)
