"""Place, schedule and notifications of a deployed run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hybridloop.errors import InputError

_POOL = re.compile(r"[^\x00-\x20/%&><?#\x7f-\x9f][^\x00-\x1f/%&><?#\x7f-\x9f]{0,199}")  # it stands in a URL


def check_pool(pool: str, field: str) -> str:
    """Return a work pool's name. Raises InputError for one that Prefect can't have."""
    if not _POOL.fullmatch(pool):
        raise InputError(field, f"{pool[:40]!r} is no name of a work pool", "Give up to 200 letters and digits.")
    return pool


@dataclass(frozen=True, slots=True)
class DeploymentOptions:
    """Options of a deployment on Prefect's server.

    Without a `cron` schedule its runs start on request. `workspace` is a saved block's name or a resource id, None for
    that of the worker. `notify` is a webhook's URL, or TYPE/NAME of a notification block; so is `heartbeat`, which
    hears of ended runs alone. With `catch_up` a run is made for each start that was missed without a worker, else one
    for all.
    """

    name: str
    pool: str = "hybridloop"
    cron: str | None = None
    timezone: str = "UTC"
    workspace: str | None = None
    notify: str | None = None
    heartbeat: str | None = None
    catch_up: bool = False

    def __post_init__(self) -> None:
        check_pool(self.pool, "pool")
