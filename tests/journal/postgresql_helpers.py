"""A temporary PostgreSQL server, run by a user other than root, as it refuses to run for root."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S, eventually

PASSWORD = "canary-pa55word"  # of a server that ends with the tests


@dataclass(frozen=True, slots=True)
class Server:
    """A server; `folder` has its socket, `run` runs one of PostgreSQL's programs as the server's user."""

    folder: Path
    run: Callable[..., None]
    options: str

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.run("pg_ctl", "-D", self._data, "-w", "-l", str(self.folder / "log"), "-o", self.options, "start")

    def stop(self) -> None:
        """Stop the server like a crash: connections break, and commits survive to the next start."""
        self.run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def url(self, database: str, *, user: str = "postgres", password: str = PASSWORD) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://{user}:{password}@/{database}?host={self.folder}"


def not_installed() -> str | None:
    """Return the missing package of server or client; None if both are installed."""
    if _pg_ctl() is None:
        return "PostgreSQL"
    return "psycopg" if importlib.util.find_spec("psycopg") is None else None


def _pg_ctl() -> Path | None:
    """Return the pg_ctl of the latest installed version."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    found = str(binaries[-1]) if binaries else shutil.which("pg_ctl")
    return None if found is None else Path(found)


@contextmanager
def running_server() -> Iterator[Server]:
    """Run a server for the block; skip the test if PostgreSQL is not installed."""
    if (missing := not_installed()) is not None:
        pytest.skip(f"{missing} is not installed")
    pg_ctl = _pg_ctl()
    assert pg_ctl is not None
    programs = pg_ctl.parent
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="hybridloop-pg-"))
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if user is not None:
            entry = pwd.getpwnam(user)
            for path in (folder, secret):
                os.chown(path, entry.pw_uid, entry.pw_gid)

        def run(*command: str) -> None:
            subprocess.run(
                [programs / command[0], *command[1:]],
                user=user,
                cwd=folder,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                timeout=PATIENCE_S,
            )

        data = str(folder / "data")
        run("initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(secret), "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=300 -c shared_buffers=16MB"
        server = Server(folder, run, options)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


PGBOUNCER = "/usr/sbin/pgbouncer"  # Debian's


@contextmanager
def running_pooler(server: Server, connections: int) -> Iterator[Callable[[str], str]]:
    """Run PgBouncer in transaction mode before the server; yield a function from a database's URL to its URL there.

    Skips the test if it is not installed.
    """
    if not Path(PGBOUNCER).exists():
        pytest.skip("PgBouncer is not installed")
    folder = server.folder / "pooler"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)  # the server's user makes its socket there
    (folder / "users").write_text(f'"postgres" "{PASSWORD}"\n')
    (folder / "settings").write_text(
        f"[databases]\n* = host={server.folder}\n[pgbouncer]\npool_mode = transaction\nlisten_addr =\n"
        f"unix_socket_dir = {folder}\nauth_type = scram-sha-256\nauth_file = {folder}/users\n"
        f"default_pool_size = {connections}\n"
    )
    process = subprocess.Popen(
        [PGBOUNCER, str(folder / "settings")],
        user="nobody" if os.geteuid() == 0 else None,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: any(folder.glob(".s.PGSQL.*")))
        yield lambda url: url.replace(f"host={server.folder}", f"host={folder}&port=6432")
    finally:
        process.kill()
        process.wait()


_numbers = count()


def new_database(server: Server, options: str = "") -> str:
    """Create an empty database with options of SQL; return its URL."""
    import psycopg

    name = f"journal_{next(_numbers)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {options}".encode())
    return server.url(name)
