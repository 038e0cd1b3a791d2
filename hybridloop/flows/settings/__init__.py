"""What a run can be told, checked before anything starts; imports nothing heavy, so that help stays quick."""

from __future__ import annotations

from collections.abc import Mapping

from hybridloop.flows.settings.binary import QaoaSettings, RqaoaSettings
from hybridloop.flows.settings.energies import AdaptSettings, EnergySettings, ScanSettings, VqdSettings, VqeSettings
from hybridloop.flows.settings.names import (
    AllocationName,
    AnsatzName,
    GroupingName,
    MappingName,
    MitigationName,
    MixerName,
    ObjectiveName,
    OptimizerName,
    PoolName,
    StartName,
    Unattended,
)
from hybridloop.flows.settings.run import (
    LIMITS,
    ProblemText,
    RunKey,
    RunSettings,
    WorkspaceName,
    first_difference,
    put_setting,
)
from hybridloop.flows.settings.texts import MAX_CIRCUIT_BYTES, MAX_PROBLEM_BYTES, Duration, parse_duration

__all__ = [
    "LIMITS",
    "MAX_CIRCUIT_BYTES",
    "MAX_PROBLEM_BYTES",
    "SETTINGS",
    "AdaptSettings",
    "AllocationName",
    "AnsatzName",
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
    "Unattended",
    "VqdSettings",
    "VqeSettings",
    "WorkspaceName",
    "first_difference",
    "parse_duration",
    "put_setting",
]

SETTINGS: Mapping[str, type[RunSettings]] = {
    "vqe": VqeSettings,
    "adapt": AdaptSettings,
    "vqd": VqdSettings,
    "scan": ScanSettings,
    "qaoa": QaoaSettings,
    "rqaoa": RqaoaSettings,
}
