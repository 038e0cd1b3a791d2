"""Settings that a flow run inherits from its deployment.

Prefect replaces a deployment's parameters by name and no deeper: a run with `settings={"shots": 100}` would lose all
other settings of its deployment, such as the cap on its cost.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from pydantic import BaseModel

from hybridloop.errors import InputError
from hybridloop.settings import RunSettings
from hybridloop.settings.renamed import accept_former_names
from hybridloop.settings.validation import validate

_log = logging.getLogger(__name__)
S = TypeVar("S", bound=RunSettings)
_FILLED_IN = "__prefect_kind"  # in parameters that Prefect fills in when a run is created: the run has them already


def deployment_settings() -> Mapping[str, Any]:
    """Return the settings of this flow run's deployment, empty without one."""
    # not from `prefect.runtime`, which in a subflow gives those of the parent flow run
    context = FlowRunContext.get()
    deployment = None if context is None or context.flow_run is None else context.flow_run.deployment_id
    if deployment is None:
        return {}
    with get_client(sync_client=True) as client:
        settings = client.read_deployment(deployment).parameters.get("settings")
    return accept_former_names(settings) if isinstance(settings, Mapping) and _FILLED_IN not in settings else {}


def merge_settings(settings: S, defaults: Mapping[str, Any]) -> S:
    """Return a flow run's settings, with the deployment's for those that were not given; null counts as given.

    Groups of settings are merged field by field. Raises InputError if the two don't fit together.
    """
    if not (inherited := unset_settings(settings, defaults)):
        return settings
    _log.info("settings inherited from the deployment: %s", ", ".join(_names(inherited)))
    given = settings.model_dump(mode="json", exclude_unset=True)
    for name, value in inherited.items():
        given[name] = {**value, **given[name]} if name in given else value
    try:
        return validate(type(settings), given)
    except InputError as error:
        problem = f"with the deployment's settings ({', '.join(_names(defaults))}): {error.problem}"
        remedy = "Give null for settings of the deployment that this run must not have."
        raise InputError(f"settings.{error.field}", problem, remedy) from error


def unset_settings(settings: RunSettings, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the deployment's settings that were not given to the run; of a group, the fields not given."""
    unset: dict[str, Any] = {}
    for name, value in defaults.items():
        group = getattr(settings, name, None)
        if name not in settings.model_fields_set:
            unset[name] = value
        elif isinstance(group, BaseModel) and isinstance(value, Mapping):
            fields = {field: value[field] for field in value if field not in group.model_fields_set}
            unset |= {name: fields} if fields else {}
    return unset


def _names(values: Mapping[str, Any]) -> list[str]:
    names: list[str] = []
    for name, value in values.items():
        is_group = name == "failure" and isinstance(value, Mapping)
        names += [f"{name}.{field}" for field in value] if is_group else [name]
    return names
