"""Environment variables that name an Azure Quantum workspace: a connection string, or those of the Azure SDK."""

from __future__ import annotations

from collections.abc import Mapping

CONNECTION_VARIABLE = "AZURE_QUANTUM_CONNECTION_STRING"
SUBSCRIPTION_VARIABLE = "AZURE_QUANTUM_SUBSCRIPTION_ID"
RESOURCE_GROUP_VARIABLE = "AZURE_QUANTUM_WORKSPACE_RG"
NAME_VARIABLE = "AZURE_QUANTUM_WORKSPACE_NAME"
LOCATION_VARIABLE = "AZURE_QUANTUM_WORKSPACE_LOCATION"
SDK_VARIABLES = (NAME_VARIABLE, SUBSCRIPTION_VARIABLE, RESOURCE_GROUP_VARIABLE, LOCATION_VARIABLE)


def workspace_variable(environ: Mapping[str, str]) -> str | None:
    """Return the variable that names the workspace of runs; None if none is set, so that the local service is used."""
    return next((name for name in (CONNECTION_VARIABLE, *SDK_VARIABLES) if environ.get(name)), None)
