"""Settings of a run, validated before anything starts; imports nothing heavy, so that help is quick."""

from __future__ import annotations

from collections.abc import Mapping

from hybridloop.settings.algorithms import (
    AdaptSettings,
    AnsatzName,
    EnergySettings,
    EntanglementName,
    LevelsSettings,
    MappingName,
    MitigationName,
    MoleculeSettings,
    OptimizerName,
    QaoaSettings,
    RotationsName,
    RqaoaSettings,
    ScanSettings,
    SqdSettings,
    StartName,
    VqeSettings,
)
from hybridloop.settings.parsing import MAX_CIRCUIT_BYTES, MAX_PROBLEM_BYTES, Duration, parse_duration
from hybridloop.settings.run import (
    LIMITS,
    AutoResume,
    ProblemText,
    RunKey,
    RunSettings,
    WorkspaceName,
    first_difference,
)

__all__ = [
    "AdaptSettings",
    "EnergySettings",
    "LevelsSettings",
    "MoleculeSettings",
    "QaoaSettings",
    "RqaoaSettings",
    "RunSettings",
    "ScanSettings",
    "SqdSettings",
]
__all__ += ["SETTINGS", "VqeSettings"]
__all__ += ["EntanglementName", "RotationsName"]
__all__ += ["AnsatzName", "AutoResume", "MappingName", "MitigationName", "OptimizerName", "StartName"]
__all__ += ["Duration", "ProblemText", "RunKey", "WorkspaceName", "first_difference", "parse_duration"]
__all__ += ["LIMITS", "MAX_CIRCUIT_BYTES", "MAX_PROBLEM_BYTES"]

SETTINGS: Mapping[str, type[RunSettings]] = {
    "vqe": VqeSettings,
    "adapt": AdaptSettings,
    "levels": LevelsSettings,
    "sqd": SqdSettings,
    "scan": ScanSettings,
    "qaoa": QaoaSettings,
    "rqaoa": RqaoaSettings,
}
