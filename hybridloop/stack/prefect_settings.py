"""Which Prefect server is the user's, and what our own server's clients need in their environment.

All of it is read without importing Prefect, which costs seconds and reads its settings only once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

LOOPBACK = ("127.0.0.1", "localhost")
# A run's log goes to the server alone: on the terminal it would fight the live line, and errors are raised.
QUIET = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL", "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL"}


def chosen_server(environ: Mapping[str, str], ours: Path) -> str | None:
    """The API URL that the user chose by PREFECT_API_URL or by the active profile; None: none was chosen.

    Where PREFECT_HOME is `ours`, the environment is one that we made, and its URL is no choice. The profile is
    found as Prefect 3.8 finds it (`prefect.settings.sources`): in PREFECT_PROFILES_PATH, else in `profiles.toml`
    of PREFECT_HOME, else of ~/.prefect; there it is PREFECT_PROFILE, else the one marked active.
    """
    if environ.get("PREFECT_HOME") == str(ours):
        return None
    if url := environ.get("PREFECT_API_URL"):
        return url
    try:
        profiles = tomllib.loads(_profiles_path(environ).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none there, or none that Prefect would read either
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


def client_environment(api_url: str, home: Path) -> dict[str, str]:
    """Settings of a process that uses our server; they must be there before Prefect is imported."""
    return {
        "PREFECT_API_URL": api_url,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # It is on this machine: if it does not answer it has died, and a run that waited would wait for minutes. The
        # run is in the journal, and its result does not need the server.
        "PREFECT_CLIENT_MAX_RETRIES": "2",
    }


def server_environment(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Settings for our server: the user's own of Prefect are left out.

    They speak of other servers; a database URL among them would have this one migrate that database.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith("PREFECT_")}
    return {
        **kept,
        "PREFECT_HOME": str(home),
        # Off, because on a first start it meets a database that is still locked and prints a traceback.
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # In memory they would be lost at a restart, and the slots that they stand for never given back.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }


def loopback_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Keep a proxy that is set in the environment away from the addresses of this machine."""
    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in listed.split(",") if host.strip()]
    bypass = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])
    return {"no_proxy": bypass, "NO_PROXY": bypass}


@contextmanager
def flows_on(api_url: str, home: Path) -> Iterator[None]:
    """Flows called inside run on our server, also where Prefect was imported before its environment was set.

    They run without Prefect's heartbeat thread, whose end costs each synchronous flow up to a second: nothing on
    our server listens to it (elsewhere an automation may learn by it of a crashed run). That setting takes no
    "none" from the environment.
    """
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_HOME,
        temporary_settings,
    )

    settings = {PREFECT_API_URL: api_url, PREFECT_HOME: str(home), PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(settings):
        yield
