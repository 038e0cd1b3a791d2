"""Settings of a run, validated before anything starts; imports nothing heavy, so that help is quick."""

from __future__ import annotations

from collections.abc import Mapping

from hybridloop.settings.algorithms import (
    AdaptSettings,
    AnsatzName,
    EnergySettings,
    MappingName,
    MitigationName,
    OptimizerName,
    QaoaSettings,
    RqaoaSettings,
    ScanSettings,
    StartName,
    VqdSettings,
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
    "LIMITS",
    "MAX_CIRCUIT_BYTES",
    "MAX_PROBLEM_BYTES",
    "SETTINGS",
    "AdaptSettings",
    "AnsatzName",
    "AutoResume",
    "Duration",
    "EnergySettings",
    "MappingName",
    "MitigationName",
    "OptimizerName",
    "ProblemText",
    "QaoaSettings",
    "RqaoaSettings",
    "RunKey",
    "RunSettings",
    "ScanSettings",
    "StartName",
    "VqdSettings",
    "VqeSettings",
    "WorkspaceName",
    "first_difference",
    "parse_duration",
]

SETTINGS: Mapping[str, type[RunSettings]] = {
    "vqe": VqeSettings,
    "adapt": AdaptSettings,
    "vqd": VqdSettings,
    "scan": ScanSettings,
    "qaoa": QaoaSettings,
    "rqaoa": RqaoaSettings,
}
