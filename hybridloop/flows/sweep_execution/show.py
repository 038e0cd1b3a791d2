"""A sweep's end in Prefect: the state of its flow run, its artifacts, and its event, of which a message is made."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events import emit_event
from prefect.states import Completed

from hybridloop.flows.in_prefect.host import REFUSALS
from hybridloop.flows.in_prefect.stored_result import stored
from hybridloop.flows.sweep_execution.results import SweepResult
from hybridloop.runtime.escaping import escape_markdown

_NOT_IN_A_KEY = re.compile(r"[^a-z0-9]+")
_PLAIN = re.compile(r"[\w.+ -]*", re.ASCII)


def show(result: SweepResult) -> Any:
    """Create the artifacts of a sweep, let its message be sent, and return the state of its flow run."""
    _create_artifacts(result)
    tell("sweep.ended", result.name, {"message": result.title, "title": result.title, "text": result.text()})
    name = ("Finished" if "finished" in result.counts else "Completed") if result.is_complete else "Incomplete"
    return Completed(name=name, message=result.title, data=stored(result))


@contextmanager
def telling_refusal(name: str) -> Iterator[None]:
    """Tell that the input of a sweep is refused, if the block raises that."""
    try:
        yield
    except REFUSALS as error:
        tell("sweep.refused", name, {"message": f"sweep {name} is refused: {error}"})
        raise


def tell(kind: str, name: str, payload: dict[str, str]) -> None:
    """Emit an event of a sweep, of which automations send messages."""
    resource = {"prefect.resource.id": f"hybridloop.sweep.{name}", "prefect.resource.name": name}
    emit_event(f"hybridloop.{kind}", resource=resource, payload=payload)


def _cell(value: Any) -> Any:
    is_foreign = isinstance(value, str) and _PLAIN.fullmatch(value) is None
    return escape_markdown(value) if is_foreign else value


def _create_artifacts(result: SweepResult) -> None:
    key = f"sweep-{_NOT_IN_A_KEY.sub('-', result.name.lower()).strip('-') or 'unnamed'}"
    columns = [name for name in result.columns if name != "sessions"]
    # the page shows a cell as markdown
    rows = [{_cell(name): _cell(row[name]) for name in columns} for row in result.rows]
    create_table_artifact(table=rows, key=key, description=f"The {len(rows)} points of the sweep {result.name}.")
    data = base64.b64encode(result.picture().svg().encode()).decode()
    create_markdown_artifact(
        markdown=f"![{escape_markdown(result.name)}](data:image/svg+xml;base64,{data})",
        key=f"{key}-picture",
        description="Values by the varied setting.",
    )
