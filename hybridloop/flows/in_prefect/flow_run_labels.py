"""The sweep and the deployment by which limits and reports find a run that is begun in a flow run."""

from __future__ import annotations

import logging
import os
from uuid import UUID

from httpx import HTTPError
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from hybridloop.errors import NOTHING_SUBMITTED, ServiceUnreachable
from hybridloop.flows.in_prefect.completion import sweep_of
from hybridloop.flows.in_prefect.one_request import client_without_retries
from hybridloop.journal import open_journal
from hybridloop.journal.journal import FLOW_RUN_VARIABLE

_log = logging.getLogger(__name__)


def flow_run_labels() -> dict[str, str]:
    """Return the sweep and the deployment (`flow/name`) of the flow run around, as far as it has them.

    A flow run inside of a user's own flow has no deployment: that of the flow run counts for which a worker started
    this process. Raises ServiceUnreachable where Prefect's server does not tell a deployment's name, and a limit counts
    by deployment; without such a limit it is left out, with a warning.
    """
    context = FlowRunContext.get()
    around = None if context is None else context.flow_run
    labels = _sweep(around)
    try:
        with client_without_retries() as client:
            first = os.environ.get(FLOW_RUN_VARIABLE)
            if first is not None and (around is None or (around.deployment_id is None and str(around.id) != first)):
                around = client.read_flow_run(UUID(first))
                labels = _sweep(around) | labels
            if around is not None and around.deployment_id is not None:
                deployment = client.read_deployment(around.deployment_id)
                labels["deployment"] = f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
    except (HTTPError, PrefectException, RuntimeError, ValueError) as error:
        _check_no_limit_by_deployment(error)
        _log.warning("limits and reports by deployment do not find this run: %s", error)
    return labels


def _sweep(flow_run: FlowRun | None) -> dict[str, str]:
    return {"sweep": sweep} if flow_run is not None and (sweep := sweep_of(flow_run)) else {}


def _check_no_limit_by_deployment(error: Exception) -> None:
    with open_journal() as journal:
        names = [state.limit.name for state in journal.limits() if "deployment" in state.limit.scope]
    if names:
        problem = f"limit {names[0]} counts by deployment, and Prefect's server does not tell that of this run: {error}"
        raise ServiceUnreachable(problem, NOTHING_SUBMITTED, "Start the run again once the server answers.") from error
