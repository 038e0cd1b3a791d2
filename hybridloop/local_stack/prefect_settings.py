"""Prefect settings: the user's own server, and the environment of the stack's server and of its clients.

Nothing here imports Prefect at import time: that takes seconds, and Prefect reads its settings only then.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost")
SIGN_IN_PATH = "/sign-in"  # of the stack's server
# A run's log goes to the server only: on the terminal it would break the live display, and errors are raised anyway.
QUIET = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL", "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL"}


def user_server(environ: Mapping[str, str], ours: Path) -> str | None:
    """Return the API URL that the user set by PREFECT_API_URL or by the active profile; None if there is none.

    If PREFECT_HOME is `ours` and the URL is on this machine, the stack itself set both. The profile is found
    as Prefect 3.9 finds it (`prefect.settings.sources`): in PREFECT_PROFILES_PATH, else in `profiles.toml` of
    PREFECT_HOME, else of ~/.prefect; there it is PREFECT_PROFILE, else the one marked active.
    """
    url = environ.get("PREFECT_API_URL")
    if environ.get("PREFECT_HOME") == str(ours) and (not url or urlsplit(url).hostname in LOOPBACK):
        return None
    if url:
        return url
    try:
        profiles = tomllib.loads(_profiles_path(environ).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # there is none, or none that Prefect could read
        return None
    active = environ.get("PREFECT_PROFILE") or profiles.get("active")
    settings: object = profiles.get("profiles")
    for key in (active, "PREFECT_API_URL"):
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings or None if isinstance(settings, str) else None


def _profiles_path(environ: Mapping[str, str]) -> Path:
    if path := environ.get("PREFECT_PROFILES_PATH"):
        return Path(path).expanduser()
    if home := environ.get("PREFECT_HOME"):
        return Path(home).expanduser() / "profiles.toml"
    return Path(environ.get("HOME") or Path.home()) / ".prefect" / "profiles.toml"


def client_environment(api_url: str, home: Path, auth_string: str = "") -> dict[str, str]:
    """Return the environment of a process that uses the stack's server, to be set before Prefect is imported."""
    return {
        **({"PREFECT_API_AUTH_STRING": auth_string} if auth_string else {}),
        "PREFECT_API_URL": api_url,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # The server is on this machine: if it does not answer soon, it has ended or hangs. Under load it refuses
        # requests while its SQLite is locked, which outlasts two retries (6 s).
        "PREFECT_CLIENT_MAX_RETRIES": "5",
        "PREFECT_API_REQUEST_TIMEOUT": "10",
    }


def worker_environment(client: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker on the stack's server, from that of its clients.

    A worker that gives up a request reports the flow run as crashed before it began, and nothing starts it again.
    """
    return {name: value for name, value in client.items() if name != "PREFECT_API_REQUEST_TIMEOUT"}


def server_environment(environ: Mapping[str, str], home: Path, auth_string: str = "") -> dict[str, str]:
    """Return the environment of the stack's server, without the user's own settings of Prefect.

    Those are for other servers; with their database URL, this server would migrate that database. Clients have to send
    the auth string, `user:password`; "" admits all.
    """
    others = {name: value for name, value in environ.items() if not name.startswith("PREFECT_")}
    return {
        **others,
        **({"PREFECT_SERVER_API_AUTH_STRING": auth_string} if auth_string else {}),
        "PREFECT_HOME": str(home),
        # Off: at the first start it finds the database still locked and prints a traceback.
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # In memory, leases would be lost at a restart, and their slots never released.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # By default 300 s. A killed housekeeping run keeps its slot for so long, and the next ones are cancelled.
        "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "60",
        # By default every 5 s. They call runs late, end pauses that timed out, look for events that did not come, and
        # repeat clean-up messages; schedules and cancellations keep their intervals.
        "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "15",
        "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "60",
        "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT15S",
        "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_LOOP_SECONDS": "60",
    }


def loopback_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `no_proxy` settings that exclude this machine's addresses from a proxy in the environment."""
    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in listed.split(",") if host.strip()]
    bypass = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])
    return {"no_proxy": bypass, "NO_PROXY": bypass}


@contextmanager
def temporary_server_settings(environment: Mapping[str, str]) -> Iterator[None]:
    """Run flows called in the block on the server of this client environment, even if Prefect was imported before.

    They run without Prefect's heartbeat thread, whose end costs each synchronous flow up to a second: no automation on
    this server uses it (elsewhere one may detect crashed runs by it). The environment can't set it to None.
    """
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_HOME,
        temporary_settings,
    )

    settings = {
        PREFECT_API_URL: environment["PREFECT_API_URL"],
        PREFECT_API_AUTH_STRING: environment.get("PREFECT_API_AUTH_STRING"),
        PREFECT_HOME: environment["PREFECT_HOME"],
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }
    with temporary_settings(settings):
        yield


@contextmanager
def without_version_check() -> Iterator[None]:
    """Call flows in the block without Prefect's check of the server's version.

    It reads /admin/version, and gives up where a server does not let its users read that. `hybridloop doctor` compares
    the versions.
    """
    from prefect.settings import PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED, temporary_settings

    with temporary_settings({PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}):
        yield
