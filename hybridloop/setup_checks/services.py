"""Checks of what a run connects to: journal, local stack, Prefect server, and the workspace with clock and target."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hybridloop import local_stack
from hybridloop.api.environment import resolve_workspace
from hybridloop.errors import AccessDenied, HybridloopError, InputError, JournalError, ServiceRefused
from hybridloop.local_stack import ComponentState
from hybridloop.local_stack.prefect_settings import LOOPBACK
from hybridloop.local_stack.worker import workers_of
from hybridloop.runtime.paths import home
from hybridloop.runtime.waits import CHECK_REQUEST_S
from hybridloop.setup_checks.check_result import CheckResult, ok, skipped, warning, wrong

if TYPE_CHECKING:
    import httpx

_VERSION, _COUNT = ("GET", "/admin/version"), ("POST", "/flow_runs/count")  # the second needs no admin rights
_VERSION_CHECK = "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED"
_CLOUD = "https://api.prefect.cloud/api"
_FOREIGN_ORIGIN = "http://another-site.invalid"
_CLOSE = (
    "Set PREFECT_SERVER_API_AUTH_STRING and PREFECT_SERVER_CORS_ALLOWED_ORIGINS where the server is started, and "
    "PREFECT_API_AUTH_STRING at its clients."
)


def check_journal(environ: Mapping[str, str]) -> CheckResult:
    """Check that the journal can be read, has the current version, and that what its limits sum over is whole."""
    from hybridloop.journal import inspect_journal, open_journal

    try:
        status = inspect_journal(environ)
        if status.version == status.newest:
            with open_journal(environ) as journal:
                journal.check_sums()
    except InputError as error:
        variable = "HYBRIDLOOP_JOURNAL" if error.field == "journal" else error.field
        return wrong("journal", f"{variable}: {error.problem}", error.remedy)
    except JournalError as error:
        return wrong("journal", error.happened, error.remedy)
    if status.version is None:
        return ok("journal", f"{status.place} will be created")
    if status.version != status.newest:
        found = f"{status.place} has version {status.version}; this hybridloop writes version {status.newest}"
        remedy = "The next command upgrades it. Older versions of hybridloop can't read it then: make a copy first."
        return warning("journal", found, remedy)
    return ok("journal", f"{status.place}, version {status.version}")


def check_stack(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    """Check that the running parts of the local stack answer and are up to date."""
    if not home(environ).is_dir():
        yield ok("local stack", "not running; the first run starts it")
        return
    for part in local_stack.status(environ).components:
        name, restart = f"local {part.name}", "The next run restarts it, or: hybridloop up"
        is_down = part.name == "prefect" and part.state is ComponentState.STOPPED
        if is_down and (workers := workers_of(home(environ))):
            pids = ", ".join(map(str, workers))
            yield wrong(name, f"not running, and these workers wait for it: process {pids}", "Start it: hybridloop up")
            continue
        remedy = f"Restart it: hybridloop down, then hybridloop up. Its log: {part.output}"
        results = {
            ComponentState.YOURS: ok(name, "not needed: your own is used"),
            ComponentState.STOPPED: ok(name, "not running; the first command that needs it starts it"),
            ComponentState.SILENT: wrong(name, f"process {part.pid} runs but does not answer", remedy),
            ComponentState.OUTDATED: warning(name, "it runs another version than is installed", restart),
            ComponentState.RUNNING: ok(name, f"answers at {part.url}"),
        }
        yield results[part.state]


def check_prefect(environ: Mapping[str, str]) -> CheckResult:
    """Check that the Prefect server that runs use answers and fits the installed client."""
    url, is_yours = _prefect_url(environ)
    if url is None:
        return ok("prefect", "no server is configured; the first run starts a local one")
    remedy = "Restart it: hybridloop down, then hybridloop up."
    if is_yours:
        remedy = "Start it, or correct PREFECT_API_URL or the profile."
    # Ask the server for its version
    import httpx

    ours = None if is_yours else local_stack.find_prefect(environ)
    credentials = _credentials(environ if ours is None else ours.environment)
    question = _VERSION
    try:
        reply = _ask(url, question, credentials)
        if reply.status_code in (403, 404) and (count := _ask(url, _COUNT, credentials)).is_success:
            question, reply = _COUNT, count  # a user without admin rights, or Prefect Cloud
        is_foreign = question == _VERSION and reply.is_success and not local_stack.is_version(reply.content)
        running = str(reply.json()) if reply.is_success and not is_foreign else ""
        is_open = reply.is_success and _is_open(url, question)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return wrong("prefect", f"{url} does not answer ({error})", remedy)
    if reply.status_code in (401, 403) and not credentials:
        return skipped("prefect", f"{url} requires a key, which is not in the environment; a profile may have it")
    if reply.status_code in (401, 403):
        remedy = "Correct PREFECT_API_KEY or PREFECT_API_AUTH_STRING."
        return wrong("prefect", f"{url} denies access (HTTP {reply.status_code})", remedy)
    if not reply.is_success or is_foreign:
        return wrong("prefect", f"{url} is not the API of a Prefect 3 server (HTTP {reply.status_code})", remedy)
    # Compare it with the client's
    installed = version("prefect")
    versions = f"{url} has version {running}, the installed client {installed}"
    if question == _VERSION and running.split(".")[0] != installed.split(".")[0]:
        return wrong("prefect", versions, "Use a Prefect 3 server.")
    if question == _VERSION and running.split(".")[:2] != installed.split(".")[:2]:
        return warning("prefect", versions, "Install the same version of both.")
    if is_open:
        return warning("prefect", f"{url} is open: any web page in a browser that reaches it can run code", _CLOSE)
    if question == _VERSION:
        return ok("prefect", f"{url}, version {running}")
    found = f"{url} answers; it does not tell this user its version"
    is_checked = environ.get(_VERSION_CHECK, "true").lower() not in ("false", "0", "no", "off")
    if is_checked and not url.startswith(environ.get("PREFECT_CLOUD_API_URL", _CLOUD)):
        return warning("prefect", found, f"Set {_VERSION_CHECK}=false where a worker starts: its runs would fail.")
    return ok("prefect", found)


def _prefect_url(environ: Mapping[str, str]) -> tuple[str | None, bool]:
    """Return the API's address and True if the user configured it; address None if a run would start a server."""
    if not home(environ).is_dir() and not environ.get("PREFECT_API_URL"):
        return None, False
    (part, _) = local_stack.status(environ).components
    if part.state is ComponentState.YOURS:
        return part.url, True
    return (f"{part.url}/api", False) if part.state is ComponentState.RUNNING else (None, False)


def _ask(url: str, question: tuple[str, str], headers: Mapping[str, str]) -> httpx.Response:
    """Send a request of this method and path to Prefect's API. Raises httpx.HTTPError and httpx.InvalidURL."""
    method, path = question
    with _request(method, url.rstrip("/") + path, headers) as reply:
        reply.read()
    return reply


def _is_open(url: str, question: tuple[str, str]) -> bool:
    """Return whether the server answers pages of other sites, without a password. Raises httpx.HTTPError."""
    reply = _ask(url, question, {"Origin": _FOREIGN_ORIGIN})
    allowed = reply.headers.get("Access-Control-Allow-Origin")
    return reply.is_success and allowed in {"*", _FOREIGN_ORIGIN}


def _credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the Authorization header that Prefect's client would build from the environment."""
    if key := environ.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    if pair := environ.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _request(method: str, url: str, headers: Mapping[str, str] = {}) -> AbstractContextManager[httpx.Response]:
    """Send a request whose answer is not read yet; loopback addresses bypass proxies, and redirects are not followed.

    Raises httpx.HTTPError and httpx.InvalidURL.
    """
    import httpx

    is_local = (urlsplit(url).hostname or "") in LOOPBACK
    return httpx.stream(method, url, headers=dict(headers), timeout=CHECK_REQUEST_S, trust_env=not is_local)


SKEW_S, MUCH_SKEW_S = 30.0, 240.0  # Azure accepts tokens and signatures within five minutes


def check_workspace(environ: Mapping[str, str], block: str | None = None) -> Iterator[CheckResult]:
    """Check the workspace (of a saved block, if one is named), this machine's clock, and the default target."""
    # Connect
    try:
        workspace = resolve_workspace(block) if block else _configured_workspace(environ)
    except InputError as error:
        yield wrong("workspace", error.happened, error.remedy)
        return
    except HybridloopError as error:
        yield wrong("workspace", *_problem_and_remedy(error))
        return
    if workspace is None:
        yield ok("workspace", "none is configured; runs use the local service, which the first run starts")
        return
    yield _check_clock(workspace)
    # List the targets, which needs access
    from hybridloop.budget.unknown_facts import list_targets

    try:
        targets = {row["target"]: row for row in list_targets(workspace)}
    except AccessDenied as error:
        yield wrong("workspace", error.happened, f"{error.remedy} For an identity, sign in: az login.")
    except ServiceRefused as error:
        remedy = "Compare subscription, resource group and name with the workspace's page."
        yield wrong("workspace", error.happened, remedy)
    except HybridloopError as error:
        yield wrong("workspace", *_problem_and_remedy(error))
    else:
        yield ok("workspace", f"{workspace.name}, with {len(targets)} targets")
        yield _check_target(targets, environ)
        return
    yield skipped("target", "not checked, because of the workspace")


def _configured_workspace(environ: Mapping[str, str]) -> Any | None:
    """Return the configured workspace, else that of the local service if it runs."""
    from hybridloop.azure.workspace import LocalService, connect, connect_from_environment

    if (workspace := connect_from_environment()) is not None:
        return workspace
    emulator = local_stack.find_emulator(environ)
    return None if emulator is None else connect(LocalService(f"{emulator.url}/", emulator.api_key))


def _check_clock(workspace: Any) -> CheckResult:
    """Compare this machine's clock with the service's, because signatures and tokens expire."""
    import httpx

    from hybridloop.azure.workspace import endpoint_of

    url = endpoint_of(workspace)
    try:
        with _request("GET", url) as reply:
            date = reply.headers.get("Date", "")  # also in a reply that denies access
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return skipped("clock", f"{url} does not answer ({error})")
    try:
        ahead = time.time() - parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return skipped("clock", f"{url} does not send a date")
    found = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the service's"
    if abs(ahead) > MUCH_SKEW_S:
        return wrong("clock", found, "Set this machine's clock (NTP): Azure rejects signatures that are minutes off.")
    if abs(ahead) > SKEW_S:
        return warning("clock", found, "Set this machine's clock (NTP).")
    return ok("clock", found)


def _check_target(targets: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]) -> CheckResult:
    """Check that the workspace offers the default target, and name what is not known of it."""
    from hybridloop.inputs.sources import resolve_settings
    from hybridloop.targets import find_target

    try:
        name = resolve_settings("vqe", environ=environ).settings.target.lower()
        if name not in targets:
            find_target(name)
    except InputError as error:
        return wrong("target", error.happened, error.remedy)
    if name not in targets:
        remedy = "Add its provider to the workspace, or set HYBRIDLOOP_TARGET to one of `hybridloop targets`."
        return wrong("target", f"this workspace does not offer {name}", remedy)
    if (state := targets[name]["state"]) != "Available":
        return warning("target", f"{name} is {state}", "Runs wait for it; or choose another target: hybridloop targets")
    if unknown := targets[name]["unknown"]:
        found = f"{name} is available; not known of it: {', '.join(unknown)}"
        return warning("target", found, "Runs on it work; cap them with --max-cost and --max-cost-per-job.")
    return ok("target", f"{name} is available")


def _problem_and_remedy(error: HybridloopError) -> tuple[str, str]:
    """Return what happened and what to do."""
    return getattr(error, "happened", str(error)), getattr(error, "remedy", "")
