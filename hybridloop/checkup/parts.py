"""What runs beside a run: its journal, the local stack, the Prefect server."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from hybridloop import stack as local_stack
from hybridloop.checkup.finding import Finding, ok, skipped, warning, wrong
from hybridloop.errors import InputError, JournalError
from hybridloop.home import home
from hybridloop.stack.prefect_settings import LOOPBACK

ANSWER_S = 10.0


def journal(environ: Mapping[str, str]) -> Finding:
    """Whether the journal can be read, and whose version it has."""
    from hybridloop.sessions.journal import look_at_journal

    try:
        found = look_at_journal(environ)
    except InputError as error:
        return wrong("journal", f"HYBRIDLOOP_JOURNAL: {error.problem}", error.remedy)
    except JournalError as error:
        return wrong("journal", error.happened, error.remedy)
    if found.version is None:
        return ok("journal", f"{found.place} will be made")
    if found.version != found.newest:
        said = f"{found.place} has version {found.version}, and this hybridloop writes {found.newest}"
        remedy = "The next command upgrades it; older versions of hybridloop can't read it then. Copy it before."
        return warning("journal", said, remedy)
    return ok("journal", f"{found.place}, version {found.version}")


def stack(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the parts of the local stack are well, where they run."""
    if not home(environ).is_dir():
        yield ok("local stack", "not running; the first run starts it")
        return
    for part in local_stack.status(environ).parts:
        name, state = f"local {part.name}", part.state
        if state is local_stack.PartState.YOURS:
            yield ok(name, "not needed: you have your own")
        elif state is local_stack.PartState.STOPPED:
            yield ok(name, "not running; whoever needs it starts it")
        elif state is local_stack.PartState.SILENT:
            yield wrong(
                name, f"process {part.pid} lives and does not answer", f"hybridloop down, then up; see {part.output}"
            )
        elif state is local_stack.PartState.OUTDATED:
            yield warning(name, "it runs other code than is installed", "The next run replaces it: hybridloop up")
        else:
            yield ok(name, f"answers at {part.url}")


def prefect(environ: Mapping[str, str]) -> Finding:
    """Whether the Prefect server that runs would go to answers, and is of a version that goes with the client."""
    url, is_yours = _prefect_url(environ)
    if url is None:
        return ok("prefect", "no server of your own; the first run starts one")
    remedy = "Start it, or mend PREFECT_API_URL or the profile." if is_yours else "hybridloop down, then hybridloop up"
    try:
        with asking(f"{url.rstrip('/')}/admin/version", _credentials(environ)) as reply:
            found = str(json.load(reply))
    except urllib.error.HTTPError as error:
        if error.code in (401, 403) and not _credentials(environ):
            return skipped("prefect", f"{url} wants a key, which is not in the environment; a profile may have it")
        if error.code in (401, 403):
            remedy = "Mend PREFECT_API_KEY or PREFECT_API_AUTH_STRING."
            return wrong("prefect", f"{url} does not let you in (HTTP {error.code})", remedy)
        return wrong("prefect", f"{url} is no API of Prefect 3's (HTTP {error.code})", remedy)
    except (OSError, ValueError) as error:
        return wrong("prefect", f"{url} does not answer ({getattr(error, 'reason', error)})", remedy)
    installed = version("prefect")
    if found.split(".")[0] != installed.split(".")[0]:
        said = f"{url} is of version {found}, the client here is {installed}"
        return wrong("prefect", said, "Use a server of Prefect 3.")
    if found.split(".")[:2] != installed.split(".")[:2]:
        said = f"{url} is of version {found}, the client here is {installed}"
        return warning("prefect", said, "Bring both to the same version.")
    return ok("prefect", f"{url}, version {found}")


def _prefect_url(environ: Mapping[str, str]) -> tuple[str | None, bool]:
    """The API's address, and whether the user named it; None where a run would start one."""
    if not home(environ).is_dir() and not environ.get("PREFECT_API_URL"):
        return None, False
    (part, _) = local_stack.status(environ).parts
    if part.state is local_stack.PartState.YOURS:
        return part.url, True
    return (f"{part.url}/api", False) if part.state is local_stack.PartState.RUNNING else (None, False)


def _credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """The header that says who asks, as Prefect's client makes it of the environment."""
    if key := environ.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    if pair := environ.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def asking(url: str, headers: Mapping[str, str] = {}) -> AbstractContextManager[Any]:
    """The reply to a GET; what is on this machine is asked past proxies. Raises OSError, HTTPError among them."""
    is_local = (urlsplit(url).hostname or "") in LOOPBACK
    handlers = [urllib.request.ProxyHandler({})] if is_local else []
    request = urllib.request.Request(url, headers=dict(headers))
    reply: AbstractContextManager[Any] = urllib.request.build_opener(*handlers).open(request, timeout=ANSWER_S)
    return reply
