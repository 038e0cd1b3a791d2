"""Which Prefect server is the user's, and what our own server's clients need in their environment.

All of it is read without importing Prefect, which costs seconds and reads its settings only once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

LOOPBACK = ("127.0.0.1", "localhost")


def chosen_server(environ: Mapping[str, str]) -> str | None:
    """The API URL that the user chose by PREFECT_API_URL or by the active profile; None: none was chosen.

    The profile is found as Prefect 3.8 finds it (`prefect.settings.sources`): PREFECT_PROFILES_PATH, else
    `profiles.toml` in PREFECT_HOME, else in ~/.prefect; in it PREFECT_PROFILE, else the one marked active.
    """
    if url := environ.get("PREFECT_API_URL"):
        return url
    try:
        profiles = tomllib.loads(_profiles_path(environ).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none there, or none that Prefect would read either
        return None
    active = environ.get("PREFECT_PROFILE") or profiles.get("active")
    settings = profiles.get("profiles", {}).get(active, {})
    return settings.get("PREFECT_API_URL") or None


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
        "PREFECT_LOGGING_LEVEL": "WARNING",  # else every task writes two lines into the live line of progress
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
    }


def loopback_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Keep a proxy that is set in the environment away from the addresses of this machine."""
    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in listed.split(",") if host.strip()]
    bypass = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])
    return {"no_proxy": bypass, "NO_PROXY": bypass}


@contextmanager
def without_heartbeat() -> Iterator[None]:
    """Run flows without Prefect's heartbeat thread, whose end costs each synchronous flow up to a second.

    Only for flows on our own server: nothing there listens to heartbeats (on a server with an automation they
    tell of a crashed run). The setting takes no "none" from the environment, so it is a context.
    """
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield
