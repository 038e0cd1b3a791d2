"""Settings that a flow run has from its deployment beside those that it was given itself.

Prefect puts a run's parameters in place of the deployment's by name and no deeper: a run that is given
`settings={"shots": 100}` would lose all other settings of its deployment, the cap on its cost among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from pydantic import BaseModel

from hybridloop.errors import InputError
from hybridloop.settings import RunSettings
from hybridloop.settings.renamed import accept_former_names
from hybridloop.settings.validation import validate

S = TypeVar("S", bound=RunSettings)
_FILLED_IN = "__prefect_kind"  # marks what Prefect fills in at a run's creation: the run's own parameters have it


def with_deployment_settings(settings: S) -> S:
    """The flow run's settings, and for those that it was not given the deployment's own, if it is a deployment's run.

    What was given as null was given. Raises InputError where the two do not go together.
    """
    own = _deployments_own()
    added = missing(settings, own)
    if not added:
        return settings
    get_run_logger().info("settings of the deployment's own: %s", ", ".join(_names(added)))
    return merge_settings(settings, own)


def merge_settings(settings: S, own: Mapping[str, Any]) -> S:
    """The settings as they were given over a deployment's own, field by field. Raises InputError."""
    given = settings.model_dump(mode="json", exclude_unset=True)
    for name, value in missing(settings, own).items():
        given[name] = {**value, **given[name]} if name in given else value
    try:
        return validate(type(settings), given)
    except InputError as error:
        what = f"with what the deployment sets ({', '.join(_names(own))}): {error.problem}"
        raise InputError(
            f"settings.{error.field}", what, "Give null for what the deployment sets and this run is to do without."
        ) from error


def missing(settings: RunSettings, own: Mapping[str, Any]) -> dict[str, Any]:
    """What a deployment sets and the run was not given; of a group of settings, those in it."""
    found: dict[str, Any] = {}
    for name, value in own.items():
        group = getattr(settings, name, None)
        if name not in settings.model_fields_set:
            found[name] = value
        elif isinstance(group, BaseModel) and isinstance(value, Mapping):
            inner = {each: value[each] for each in value if each not in group.model_fields_set}
            found |= {name: inner} if inner else {}
    return found


def _deployments_own() -> Mapping[str, Any]:
    # of this very flow run: what `prefect.runtime` gives in a subflow is of the flow run around it
    context = FlowRunContext.get()
    deployment = None if context is None or context.flow_run is None else context.flow_run.deployment_id
    if deployment is None:
        return {}
    with get_client(sync_client=True) as client:
        own = client.read_deployment(deployment).parameters.get("settings")
    return accept_former_names(own) if isinstance(own, Mapping) and _FILLED_IN not in own else {}


def _names(values: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name, value in values.items():
        found += [f"{name}.{each}" for each in value] if name == "failure" and isinstance(value, Mapping) else [name]
    return found
