"""Settings that several algorithms share, validated before anything starts; imports nothing heavy."""

from __future__ import annotations

from hybridloop.algorithms.choices import FermionMapping, Rotations
from hybridloop.settings.energies import (
    PART_OF_MOLECULE,
    AnsatzName,
    EnergySettings,
    EntanglementName,
    MitigationName,
    MoleculeSettings,
    OptimizerName,
    OrbitalsName,
    SearchName,
    StartName,
)
from hybridloop.settings.parsing import MAX_CIRCUIT_BYTES, MAX_PROBLEM_BYTES, Duration, parse_duration
from hybridloop.settings.recorded import NOTHING, Recorded
from hybridloop.settings.shared import (
    CAPS,
    LIMITS,
    AutoResume,
    Goal,
    Problem,
    ProblemText,
    RunKey,
    RunSettings,
    WorkspaceName,
    first_difference,
    goals_of,
)

__all__ = ["CAPS", "LIMITS", "MAX_CIRCUIT_BYTES", "MAX_PROBLEM_BYTES", "PART_OF_MOLECULE"]
__all__ += ["AnsatzName", "AutoResume", "FermionMapping", "MitigationName", "OptimizerName", "StartName"]
__all__ += ["Duration", "Problem", "ProblemText", "RunKey", "WorkspaceName", "first_difference", "parse_duration"]
__all__ += ["EnergySettings", "MoleculeSettings", "RunSettings"]
__all__ += ["NOTHING", "Goal", "Recorded", "goals_of"]
__all__ += ["EntanglementName", "OrbitalsName", "Rotations", "SearchName"]
