"""Notifications of runs: Prefect automations that send them, by a notification block of the user's."""

from __future__ import annotations

import json
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock, MicrosoftTeamsWebhook, SlackWebhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events import emit_event
from prefect.events.schemas.automations import AutomationCore
from prefect.types import SecretDict
from pydantic import SecretStr

from hybridloop.data import load_table
from hybridloop.errors import InputError

BLOCK = "hybridloop-notify"  # that of a URL
ATTENTION = "hybridloop-attention"
_MESSAGE = {"subject": "{{subject}}", "body": "{{body}}"}
_WRITES = "notify"  # capability of notification blocks
_SLACK, _TEAMS = "hooks.slack.com", ("webhook.office.com", "logic.azure.com")


def notification_block(client: SyncPrefectClient, notify: str) -> tuple[UUID, str]:
    """Return the id and the name of the user's notification block, or of one that is saved for a URL.

    Slack and Teams get messages in their form, other addresses JSON with `subject` and `body`. Raises InputError.
    """
    if "://" in notify:
        return _saved(notify), BLOCK
    kind, _, name = notify.rpartition("/")
    documents = [each for each in client.read_block_documents(include_secrets=False) if each.name == name]
    found = [each for each in documents if each.block_schema and _WRITES in each.block_schema.capabilities]
    found = [each for each in found if not kind or (each.block_type and each.block_type.slug == kind)]
    if len(found) == 1:
        return found[0].id, notify
    what = f"Prefect has {'several notification blocks' if found else 'no notification block'} {notify!r}"
    raise InputError("notify", what, "Give TYPE/NAME of `prefect block ls`, or the URL of a webhook.")


def _saved(url: str) -> UUID:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        what = f"a URL of {parts.scheme!r} is none of a webhook"
        raise InputError("notify", what, "Save a notification block (`prefect block type ls`), and give its TYPE/NAME.")
    block: Block
    if parts.hostname == _SLACK:
        block = SlackWebhook(url=SecretStr(url))
    elif parts.hostname.endswith(_TEAMS):
        block = MicrosoftTeamsWebhook(url=SecretStr(url))
    else:
        # the address may have a token: only values of `secrets` are encrypted, and left out for readers
        secret = SecretDict({"address": url})
        block = CustomWebhookNotificationBlock(
            name=BLOCK, url="{{address}}", method="POST", json_data=_MESSAGE, secrets=secret
        )
    return cast(UUID, block.save(BLOCK, overwrite=True))


def set_automations(client: SyncPrefectClient, block: UUID, name: str) -> list[str]:
    """Create the automations, or update those of their names; return what each does, by the block of that name."""
    text = json.dumps(load_table("automations")["automations"]).replace("BLOCK_ID", str(block))
    done = []
    for document in json.loads(text):
        automation = AutomationCore.model_validate(document)
        if existing := client.read_automations_by_name(automation.name):
            client.update_automation(existing[0].id, automation)
        else:
            client.create_automation(automation)
        sends = any(action.type == "send-notification" for action in automation.actions)
        message = f" Then {name} gets a message." if sends else ""
        done.append(f"automation {automation.name}: {automation.description}{message}")
    return done


def send_test(client: SyncPrefectClient) -> None:
    """Let the automation for attention send a message. Raises InputError where there is none."""
    if not client.read_automations_by_name(ATTENTION):
        remedy = "Set one up: hybridloop deploy --notify URL."
        raise InputError("test_notify", "this Prefect server has no automation of hybridloop", remedy)
    resource: dict[str, Any] = {"prefect.resource.id": "hybridloop.run.test", "prefect.resource.name": "a test"}
    emit_event("hybridloop.run.attention", resource=resource, payload={"message": "This is a test of notifications."})
