"""Environment variables that name an Azure Quantum workspace: a connection string, or those of the Azure SDK."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from hybridloop.errors import NOTHING_SUBMITTED, InputError

CONNECTION_VARIABLE = "AZURE_QUANTUM_CONNECTION_STRING"
SUBSCRIPTION_VARIABLE = "AZURE_QUANTUM_SUBSCRIPTION_ID"
RESOURCE_GROUP_VARIABLE = "AZURE_QUANTUM_WORKSPACE_RG"
NAME_VARIABLE = "AZURE_QUANTUM_WORKSPACE_NAME"
LOCATION_VARIABLE = "AZURE_QUANTUM_WORKSPACE_LOCATION"
_SIMILAR = 0.9  # a name this similar to one of these is a misspelt one; others may belong to other programs
SDK_VARIABLES = (NAME_VARIABLE, SUBSCRIPTION_VARIABLE, RESOURCE_GROUP_VARIABLE, LOCATION_VARIABLE)


def workspace_variable(environ: Mapping[str, str]) -> str | None:
    """Return the variable that names the workspace of runs; None if none is set, so that the local service is used."""
    return next((name for name in (CONNECTION_VARIABLE, *SDK_VARIABLES) if environ.get(name)), None)


def refuse_misspelt(environ: Mapping[str, str]) -> None:
    """Raise InputError for a variable that is nearly one of these: a run meant for Azure would run on this machine."""
    known = (CONNECTION_VARIABLE, *SDK_VARIABLES)
    for name in environ:
        if name not in known and (similar := difflib.get_close_matches(name, known, n=1, cutoff=_SIMILAR)):
            problem = "no such variable is read, and no other names a workspace"
            raise InputError(
                name, problem, f"Did you mean {similar[0]}? Unset it to use the local service.", NOTHING_SUBMITTED
            )
