"""Place, schedule and notifications of a deployed run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeploymentOptions:
    """Options of a deployment on Prefect's server.

    Without a `cron` schedule its runs start on request. `workspace` is a saved block's name or a resource id, None for
    that of the worker. `notify` is a webhook's URL, or TYPE/NAME of a notification block.
    """

    name: str
    pool: str = "hybridloop"
    cron: str | None = None
    timezone: str = "UTC"
    workspace: str | None = None
    notify: str | None = None
