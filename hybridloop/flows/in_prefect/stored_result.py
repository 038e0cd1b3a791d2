"""Results of flow runs as JSON on Prefect's server, so that `state.result()` has them in any process.

Prefect itself would store them, by default as a pickle, in a folder of the machine that the flow ran on.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.context import FlowRunContext
from prefect.results import ResultStore
from prefect.serializers import JSONSerializer, prefect_json_object_decoder, prefect_json_object_encoder

from hybridloop.blocks import results_block
from hybridloop.results.result import RunResult

if TYPE_CHECKING:
    from hybridloop.flows.sweep_execution.results import SweepResult

_KIND = "__hybridloop__"

_log = logging.getLogger(__name__)


def encode(value: Any) -> Any:
    """Return plain values for a result or an error; an error is its text."""
    if isinstance(value, RunResult):
        return {_KIND: "run", "value": value.as_dict()}
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    from hybridloop.flows.sweep_execution.results import SweepResult  # it loads matplotlib

    if isinstance(value, SweepResult):
        return {_KIND: "sweep", "value": asdict(value)}
    return prefect_json_object_encoder(value)


def decode(values: dict[str, Any]) -> Any:
    """Return what `encode` got, for each dictionary of a JSON document; the text of an error."""
    match values.get(_KIND):
        case "run":
            return RunResult.from_dict(values["value"])
        case "sweep":
            from hybridloop.flows.sweep_execution.results import SweepResult

            return SweepResult.from_dict(values["value"])
    return prefect_json_object_decoder(values)


SERIALIZER = JSONSerializer(object_encoder=f"{__name__}.encode", object_decoder=f"{__name__}.decode")


def stored(result: RunResult | SweepResult) -> Any:
    """Return the data of a flow run's state: a result, or for a deployment's flow run the record of the stored one."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        return result
    return stored_for(result, context.flow_run.id)


def stored_for(result: RunResult | SweepResult, flow_run_id: UUID) -> Any:
    """Return the record of a deployment's result, which Prefect's server stores; the result itself if it can't."""
    try:
        store = ResultStore(result_storage=results_block(), serializer=SERIALIZER)
        record = store.create_result_record(result, key=str(flow_run_id))
        store.persist_result_record(record)
    except Exception as error:  # whatever Prefect or its server raises: the journal has the result
        _log.warning("Prefect's server has no copy of the result: %s", error)
        return result
    return record
