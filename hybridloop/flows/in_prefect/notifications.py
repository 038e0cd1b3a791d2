"""Notifications of runs: Prefect automations that send them, by a notification block of the user's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

from prefect.blocks.core import Block
from prefect.blocks.notifications import MicrosoftTeamsWebhook, SlackWebhook
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events import emit_event
from prefect.events.actions import CallWebhook, SendNotification
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.types import SecretDict
from pydantic import SecretStr

from hybridloop.data import load_table
from hybridloop.errors import InputError
from hybridloop.tasks.prefect_tasks import TAG

BLOCK = "hybridloop-notify"  # that of a URL
ATTENTION = "hybridloop-attention"
_MESSAGE = (  # as Prefect renders it, with the subject and the body of a notification
    "{%% set subject %%}%s{%% endset %%}{%% set body %%}%s{%% endset %%}"
    '{"subject": {{ subject | tojson }}, "body": {{ body | tojson }}}'
)
_SENDS, _CALLS = "send-notification", "call-webhook"  # actions of automations
_WRITES = "notify"  # capability of notification blocks
_BY_BLOCK = (CallWebhook, SendNotification)
_OURS = "hybridloop-"  # begins the names of all
_PAGE = 200
_SLACK, _TEAMS = "hooks.slack.com", ("webhook.office.com", "logic.azure.com")


def notification_block(
    client: SyncPrefectClient, notify: str, save_as: str = BLOCK, field: str = "notify"
) -> tuple[UUID, str]:
    """Return the id and the name of the user's notification block, or of one that is saved for a URL, by that name.

    Slack and Teams get messages in their form, other addresses JSON with `subject` and `body`. Raises InputError.
    """
    if "://" in notify:
        return _saved(notify, save_as, field), save_as
    kind, _, name = notify.rpartition("/")
    documents = [each for each in client.read_block_documents(include_secrets=False) if each.name == name]
    found = [each for each in documents if each.block_schema and _WRITES in each.block_schema.capabilities]
    found = [each for each in found if not kind or (each.block_type and each.block_type.slug == kind)]
    if len(found) == 1:
        return found[0].id, notify
    what = f"Prefect has {'several notification blocks' if found else 'no notification block'} {notify!r}"
    raise InputError(field, what, "Give TYPE/NAME of `prefect block ls`, or the URL of a webhook.")


def _saved(url: str, name: str, field: str) -> UUID:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        what = f"a URL of {parts.scheme!r} is none of a webhook"
        raise InputError(field, what, "Save a notification block (`prefect block type ls`), and give its TYPE/NAME.")
    block: Block
    if parts.hostname == _SLACK:
        block = SlackWebhook(url=SecretStr(url))
    elif parts.hostname.endswith(_TEAMS):
        block = MicrosoftTeamsWebhook(url=SecretStr(url))
    else:
        # A custom webhook's notification would send it four times to a host that answers late or with an error, and
        # Prefect's log would have the address, in which may be a token.
        block = Webhook(url=SecretStr(url), headers=SecretDict({"Content-Type": "application/json"}))
    return cast(UUID, block.save(name, overwrite=True))


def set_automations(
    client: SyncPrefectClient, block: UUID, name: str, of: DeploymentResponse | None = None, *, heartbeat: bool = False
) -> list[str]:
    """Create the automations, or update those of their names; return what each does, by the block of that name.

    Messages are of the runs of one deployment, or, without one, of all runs and sweeps on the server; of runs that wait
    for workers there is one for each work pool. No address gets a message twice: where that of the block hears of the
    whole server, none is created for a deployment, and those that there are end. `heartbeat` creates that one alone.
    """
    table = load_table("automations")
    if heartbeat:
        return [_set(client, document, block, name) for document in _documents(table["heartbeat"], block, of)]
    there = [each for each in client.read_automations() if each.name.startswith(_OURS)]
    same = [each for each in there if _address(client, _block_of(each)) == _address(client, block)]
    if of is None:
        documents = _documents(table["automations"] + table["sweeps"], block, None)
        for each in same:
            if _is_of_deployment(each.name):
                client.delete_automation(each.id)
    elif any(each.name == ATTENTION for each in same):
        return [f"the address of {name} hears of all runs on the server already"]
    else:
        documents = _documents(table["automations"], block, of)
    done = [_set(client, document, block, name) for document in documents]
    for pool in _pools(client, of):
        if not any(f" {pool.id} " in each.name and _block_of(each) != block for each in same):
            done += _tell_of_pool(client, table["pools"], pool, block, name)
    return done


def _tell_of_pool(
    client: SyncPrefectClient, table: list[dict[str, Any]], pool: WorkPool, block: UUID, name: str
) -> Iterator[str]:
    """Set the automations of a work pool: one that sees that no run is taken, and those that send messages."""
    text = json.dumps(table)
    for word, value in {"BLOCK_ID": block, "POOL_ID": pool.id, "POOL_NAME": pool.name}.items():
        text = text.replace(word, json.dumps(str(value))[1:-1])  # a name may have quotes
    idle, *others = json.loads(text)
    idle["name"] = f"{idle['name']} {pool.id}"
    yield _set(client, idle, block, name)
    (own,) = client.read_automations_by_name(idle["name"])
    for document in json.loads(json.dumps(others).replace("IDLE_ID", str(own.id))):
        document["name"] = f"{document['name']} {pool.id} {block}"
        yield _set(client, document, block, name)


def _documents(table: list[dict[str, Any]], block: UUID, of: DeploymentResponse | None) -> list[dict[str, Any]]:
    """Return the automations of a table that send by a block, of a deployment's runs or of all."""
    documents: list[dict[str, Any]] = json.loads(json.dumps(table).replace("BLOCK_ID", str(block)))
    for document in documents:
        if of is not None and any(action["type"] == _SENDS for action in document["actions"]):
            _narrow(document, of)
    return documents


def _set(client: SyncPrefectClient, document: dict[str, Any], block: UUID, name: str) -> str:
    """Create an automation, or update that of its name; return what it does."""
    if _is_webhook(client, block):
        document["actions"] = [_called(action) for action in document["actions"]]
    automation = AutomationCore.model_validate(document)
    if existing := client.read_automations_by_name(automation.name):
        client.update_automation(existing[0].id, automation)
    else:
        client.create_automation(automation)
    sends = any(action.type in (_SENDS, _CALLS) for action in automation.actions)
    message = f" Then {name} gets a message." if sends else ""
    return f"automation {automation.name}: {automation.description}{message}"


def _pools(client: SyncPrefectClient, of: DeploymentResponse | None) -> list[WorkPool]:
    """Return the work pool of a deployment, or those of all that this package deployed."""
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    found = [of] if of is not None else client.read_deployments(deployment_filter=tagged, limit=_PAGE)
    names = sorted({each.work_pool_name for each in found if each.work_pool_name is not None})
    return [client.read_work_pool(name) for name in names]


def _is_of_deployment(name: str) -> bool:
    """Return True for the name of an automation that is narrowed to one deployment."""
    return name.count(" ") == 1


def _block_of(automation: Automation) -> UUID | None:
    return next((each.block_document_id for each in automation.actions if isinstance(each, _BY_BLOCK)), None)


def _address(client: SyncPrefectClient, block: UUID | None) -> Any:
    """Return what a block sends to: its type and its data."""
    if block is None:
        return None
    try:
        document = client.read_block_document(block, include_secrets=True)
    except ObjectNotFound:
        return None
    return document.block_type_id, document.data


def _narrow(document: dict[str, Any], deployment: DeploymentResponse) -> None:
    """Let an automation see the events of one deployment's runs alone."""
    document["name"] = f"{document['name']} {deployment.id}"
    trigger = document["trigger"]
    own = {"prefect.resource.role": "deployment", "prefect.resource.id": f"prefect.deployment.{deployment.id}"}
    others = trigger.get("match_related", [])
    trigger["match_related"] = [own, *(others if isinstance(others, list) else [others])]


def _is_webhook(client: SyncPrefectClient, block: UUID) -> bool:
    kind = client.read_block_document(block, include_secrets=False).block_type
    return kind is not None and kind.slug == Webhook.get_block_type_slug()


def _called(action: dict[str, Any]) -> dict[str, Any]:
    """Return the action that sends a notification's message to a webhook, once."""
    if action["type"] != _SENDS:
        return action
    payload = _MESSAGE % (action["subject"], action["body"])
    return {"type": _CALLS, "block_document_id": action["block_document_id"], "payload": payload}


def send_test(client: SyncPrefectClient) -> None:
    """Let the automations for attention send a message. Raises InputError where there is none."""
    ours = [each for each in client.read_automations() if each.name.partition(" ")[0] == ATTENTION]
    if not ours:
        remedy = "Set one up: hybridloop deploy --notify URL."
        raise InputError("test_notify", "this Prefect server has no automation of hybridloop", remedy)
    resource: dict[str, Any] = {"prefect.resource.id": "hybridloop.run.test", "prefect.resource.name": "a test"}
    deployments = [each.name.partition(" ")[2] for each in ours]
    related = [
        {"prefect.resource.id": f"prefect.deployment.{each}", "prefect.resource.role": "deployment"}
        for each in deployments
        if each
    ]
    message = {"message": "This is a test of notifications."}
    emit_event("hybridloop.run.attention", resource=resource, related=related, payload=message)
