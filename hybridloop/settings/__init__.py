"""What a run can be told, checked before anything starts; imports nothing heavy, so that help stays quick."""

from __future__ import annotations

from collections.abc import Mapping

from hybridloop.settings.algorithms import (
    AdaptSettings,
    EnergySettings,
    QaoaSettings,
    RqaoaSettings,
    ScanSettings,
    VqdSettings,
    VqeSettings,
)
from hybridloop.settings.choices import (
    AllocationName,
    AnsatzName,
    AutoResume,
    GroupingName,
    MappingName,
    MitigationName,
    MixerName,
    ObjectiveName,
    OptimizerName,
    PoolName,
    StartName,
)
from hybridloop.settings.parsing import MAX_CIRCUIT_BYTES, MAX_PROBLEM_BYTES, Duration, parse_duration
from hybridloop.settings.run import (
    LIMITS,
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
    "AllocationName",
    "AnsatzName",
    "AutoResume",
    "Duration",
    "EnergySettings",
    "GroupingName",
    "MappingName",
    "MitigationName",
    "MixerName",
    "ObjectiveName",
    "OptimizerName",
    "PoolName",
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
