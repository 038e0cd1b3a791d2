"""Prefect's own evaluation of automations over events on a virtual clock; its actions are printed, and not done.

Standard input has `automations` and `events`, which are as the server's API gives them; `until` is the end. Prefect's
database is that of the environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from prefect.server.events import triggers
from prefect.server.events.models import automations
from prefect.server.events.schemas.automations import Automation, EventTrigger, Firing, Posture
from prefect.server.events.schemas.events import ReceivedEvent

EVERY = timedelta(minutes=20)  # of the clock, between two looks for what is missing


async def fired(document: dict[str, Any]) -> list[dict[str, str]]:
    """Return what each automation did."""
    done: list[dict[str, str]] = []
    now: list[datetime] = []

    async def act(firing: Firing) -> None:
        event = firing.triggering_event
        assert event is not None
        name = event.resource.get("prefect.resource.name") or ""
        done.append({"automation": firing.trigger.automation.name, "of": name, "at": now[0].isoformat()})

    async def no_offset() -> float:
        return 0.0

    triggers.act, triggers.get_events_clock_offset = act, no_offset
    proactive: list[EventTrigger] = []
    models: Any = automations  # what its decorators return has no type that a checker knows
    async with models.automations_session(begin_transaction=True) as session:
        for each in document["automations"]:
            created = await models.create_automation(session, Automation.model_validate(each))
            triggers.load_automation(created)
            assert isinstance(created.trigger, EventTrigger)
            if created.trigger.posture is Posture.Proactive:
                proactive.append(created.trigger)
    events = [ReceivedEvent.model_validate({**each, "id": uuid4(), "follows": None}) for each in document["events"]]
    events.sort(key=lambda each: each.occurred)
    look = events[0].occurred
    until = datetime.fromisoformat(document["until"])
    while look < until:
        look += EVERY
        while events and events[0].occurred < look:
            event = events.pop(0)
            now[:] = [event.occurred]
            await triggers.reactive_evaluation(event)
        now[:] = [look]
        for trigger in proactive:
            await triggers.proactive_evaluation(trigger, look)
    return done


if __name__ == "__main__":
    print(json.dumps(asyncio.run(fired(json.load(sys.stdin)))))
