"""Prefect server and journal on one PostgreSQL server, which can be restarted under both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from hybridloop.local_stack import PrefectServer
from hybridloop.local_stack.prefect_settings import client_environment, server_environment
from tests.journal.postgresql_helpers import new_database, running_server
from tests.prefect_server import own_environ
from tests.waiting import PATIENCE_S, eventually


@contextmanager
def on_postgresql(folder: Path) -> Iterator[tuple[PrefectServer, Callable[[], None]]]:
    """Hold both, and yield a function that restarts the database. Skips the test if PostgreSQL is not installed."""
    with running_server() as database:
        journal, ours = new_database(database), new_database(database)
        with psycopg.connect(ours, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pg_trgm")
        home = folder / "prefect"
        environ = {
            **server_environment(own_environ(folder / "home"), home),
            "PREFECT_API_DATABASE_CONNECTION_URL": ours.replace("postgresql://", "postgresql+asyncpg://"),
        }
        log = folder / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "hybridloop.local_stack.prefect_server", "--port", "0"],
                env=environ,
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            eventually(lambda: "listening on" in log.read_text(errors="replace"))
            (line,) = [line for line in log.read_text(errors="replace").splitlines() if "listening on" in line]
            api_url = line.split()[-1] + "api"
            eventually(lambda: _is_healthy(api_url), poll_s=0.2)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("HYBRIDLOOP_JOURNAL", journal)
                yield (
                    PrefectServer(api_url, is_local=True, environment=client_environment(api_url, home)),
                    restart(database.folder),
                )
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            finally:
                process.kill()


def restart(folder: Path) -> Callable[[], None]:
    """Return a function that stops the database server as in a crash, and starts it again."""

    def restarted() -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))[-1]
        subprocess.run(
            [programs, "-D", str(folder / "data"), "-m", "immediate", "-w", "restart"],
            user="nobody" if os.geteuid() == 0 else None,
            cwd=folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=PATIENCE_S,
        )

    return restarted


def _is_healthy(api_url: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{api_url}/health", timeout=5.0).status_code == 200
    except httpx.HTTPError:
        return False
