"""The workspace that runs would go to: whether it is named rightly, lets us in, keeps our time, and has the target."""

from __future__ import annotations

import time
import urllib.error
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from hybridloop import stack as local_stack
from hybridloop.checkup.finding import Finding, ok, skipped, warning, wrong
from hybridloop.checkup.parts import asking
from hybridloop.environment import workspace_called
from hybridloop.errors import AccessDenied, HybridloopError, InputError, ServiceRefused

SKEW_S, MUCH_SKEW_S = 30.0, 240.0  # Azure takes tokens and signatures within five minutes


def service(environ: Mapping[str, str], block: str | None = None) -> Iterator[Finding]:
    """What is found of the workspace, of a saved block if one is named, and of the target that is the default."""
    try:
        workspace = workspace_called(block) if block else _workspace(environ)
    except InputError as error:
        yield wrong("workspace", f"{error.field}: {error.problem}", error.remedy)
        return
    except HybridloopError as error:
        yield wrong("workspace", *_in_two(error))
        return
    if workspace is None:
        yield ok("workspace", "none is named; runs go to the local service, which the first one starts")
        return
    yield _clock(workspace)
    try:
        targets = {row["target"]: row["state"] for row in _targets(workspace)}
    except AccessDenied as error:
        yield wrong("workspace", error.happened, f"{error.remedy} An identity signs in first: az login.")
    except ServiceRefused as error:
        remedy = "Compare subscription, resource group and name with the workspace's page."
        yield wrong("workspace", error.happened, remedy)
    except HybridloopError as error:
        yield wrong("workspace", *_in_two(error))
    else:
        yield ok("workspace", f"{workspace.name}, with {len(targets)} targets for circuits")
        yield _target(targets, environ)
        return
    yield skipped("target", "not asked for, because of the workspace")


def _workspace(environ: Mapping[str, str]) -> Any | None:
    """The workspace that is named, else the local service's if that runs."""
    from hybridloop.sessions.workspace import CONNECTION_VARIABLE, LocalService, connect

    if text := environ.get(CONNECTION_VARIABLE):
        return connect(text)
    emulator = local_stack.running_emulator(environ)
    return None if emulator is None else connect(LocalService(f"{emulator.url}/", emulator.api_key))


def _targets(workspace: Any) -> list[dict[str, Any]]:
    from hybridloop.sessions.catalog import list_targets

    return list_targets(workspace)


def _clock(workspace: Any) -> Finding:
    """Whether this machine's clock goes as the service's: signatures and tokens are good for a while only."""
    from hybridloop.sessions.workspace import endpoint_of

    url = endpoint_of(workspace)
    try:
        with asking(url) as reply:
            date = reply.headers["Date"]
    except urllib.error.HTTPError as error:  # it asks for a key, and says its time
        date = error.headers["Date"]
    except OSError as error:
        return skipped("clock", f"{url} does not answer ({getattr(error, 'reason', error)})")
    try:
        ahead = time.time() - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return skipped("clock", f"{url} does not say its time")
    said = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the service's"
    if abs(ahead) > MUCH_SKEW_S:
        return wrong("clock", said, "Set this machine's clock (NTP): Azure refuses signatures that are minutes off.")
    if abs(ahead) > SKEW_S:
        return warning("clock", said, "Set this machine's clock (NTP).")
    return ok("clock", said)


def _target(targets: Mapping[str, str | None], environ: Mapping[str, str]) -> Finding:
    """Whether the workspace has the target that runs go to where they name none."""
    from hybridloop.defaults import chosen
    from hybridloop.sessions.targets import find_target

    try:
        found = chosen("vqe", environ=environ)
        name = find_target(found.settings.target).name
    except InputError as error:
        return wrong("target", f"{error.field}: {error.problem}", error.remedy)
    state = targets.get(name)
    if name not in targets:
        remedy = "Add its provider to the workspace, or set HYBRIDLOOP_TARGET to one of `hybridloop targets`."
        return wrong("target", f"this workspace does not offer {name}", remedy)
    if state != "Available":
        return warning("target", f"{name} is {state}", "Runs wait for it; or choose another: hybridloop targets")
    return ok("target", f"{name} is available")


def _in_two(error: HybridloopError) -> tuple[str, str]:
    """What happened, and what to do."""
    return getattr(error, "happened", str(error)), getattr(error, "remedy", "")
