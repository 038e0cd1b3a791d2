"""`hybridloop doctor` finds each fault of a set-up, made for real, and says how to repair it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import prefect
import pytest

from hybridloop import local_stack as stack
from hybridloop.blocks import AzureQuantumWorkspace
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.storage.schema import VERSION_TABLE
from tests.cli.shell_helpers import CommandResult, connection_string
from tests.conftest import SUBSCRIPTION, Emulator, unavailable
from tests.http_helpers import answer, replying
from tests.prefect_server import as_own_server, own_environ

SECRET = "do-not-tell-anyone"

Finding = Mapping[str, str]
Doctor = Callable[..., dict[str, Finding]]


@pytest.fixture
def doctor(home: Path, inside: Callable[..., CommandResult]) -> Doctor:
    """Run the command with these variables; return its checks by name, and assert that the exit code fits them."""

    def found(*arguments: str, **variables: str) -> dict[str, Finding]:
        result = inside({**own_environ(home), **variables}, "doctor", *arguments, "--json")
        document: dict[str, Any] = json.loads(result.out)
        assert document["ok"] == (result.code == 0)
        assert result.code == int(any(each["state"] == "wrong" for each in document["findings"]))
        assert all(each["remedy"] for each in document["findings"] if each["state"] in ("wrong", "warning"))
        assert "Traceback" not in result.err
        assert SECRET not in result.out + result.err
        return {each["check"]: each for each in document["findings"]}

    return found


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Return a local port without a listener."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def installed(folder: Path, name: str, version: str, *headers: str) -> None:
    """Install the metadata of a package of that version in front of all others, as pip would."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *headers]
    (info / "METADATA").write_text("\n".join(lines) + "\n")


def test_a_correct_set_up_passes_and_nothing_is_started(doctor: Doctor, home: Path) -> None:
    found = doctor()
    assert {value["state"] for value in found.values()} <= {"ok", "warning"}
    assert found.keys() >= {"python", "packages", "folder", "disk", "settings", "journal", "prefect", "workspace"}
    assert not home.exists()


def test_a_python_that_is_too_old(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "hybridloop", "9.0", "Requires-Python: >=3.99")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "hybridloop needs >=3.99" in doctor()["python"]["found"]


def test_packages_that_are_missing_or_outside_their_bounds(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ("Requires-Dist: prefect>=3.9.1,<3.10", "Requires-Dist: nowhere-to-be-found")
    installed(tmp_path, "hybridloop", "9.0", *listed)
    installed(tmp_path, "prefect", "2.20.1")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = doctor()["packages"]
    assert found["state"] == "wrong"
    assert "prefect 2.20.1 is not <3.10,>=3.9.1" in found["found"]
    assert "nowhere-to-be-found is missing" in found["found"]
    assert found["remedy"] == "pip install 'prefect<3.10,>=3.9.1' 'nowhere-to-be-found'"


def test_a_disk_that_is_full(doctor: Doctor, tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be made here: {mounted.stderr.decode()}")
    try:
        assert doctor(HYBRIDLOOP_HOME=str(tmp_path / "home"))["disk"]["state"] == "wrong"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


# variables, in which {port} has no listener and {folder} has a text file; the check, its state, and what it finds
SET_UPS: dict[str, tuple[dict[str, str], str, str, str]] = {
    "a home in a file": ({"HYBRIDLOOP_HOME": "{folder}/text.db/home"}, "folder", "wrong", ""),
    "a home that is unwritable": ({"HYBRIDLOOP_HOME": "/proc/hybridloop"}, "folder", "wrong", ""),
    "a setting that is no number": (
        {"HYBRIDLOOP_SHOTS": "none"},
        "settings",
        "wrong",
        "HYBRIDLOOP_SHOTS must be an integer, for example 2000, got 'none'",
    ),
    "a misspelt setting": (
        {"HYBRIDLOOP_MAX_COSTS": "5USD"},
        "settings",
        "wrong",
        "HYBRIDLOOP_MAX_COSTS: there is no setting of that name",
    ),
    "a variable": ({"HYBRIDLOOP_GREETING": "hello"}, "settings", "warning", "HYBRIDLOOP_GREETING is no setting"),
    "a setting": ({"HYBRIDLOOP_SHOTS": "7"}, "settings", "ok", "from HYBRIDLOOP_SHOTS"),
    "a journal that is away": (
        {"HYBRIDLOOP_JOURNAL": f"postgresql://user:{SECRET}@127.0.0.1:{{port}}/runs"},
        "journal",
        "wrong",
        "",
    ),
    "a file that is no journal": ({"HYBRIDLOOP_JOURNAL": "sqlite:///{folder}/text.db"}, "journal", "wrong", ""),
    "a database that keeps no journal": ({"HYBRIDLOOP_JOURNAL": "mysql://here/runs"}, "journal", "wrong", ""),
    "no password file": (
        {
            "HYBRIDLOOP_JOURNAL": "postgresql://user@127.0.0.1/runs",
            "HYBRIDLOOP_JOURNAL_PASSWORD_FILE": "{folder}/none",
        },
        "journal",
        "wrong",
        "HYBRIDLOOP_JOURNAL_PASSWORD_FILE: {folder}/none can't be read",
    ),
    "a Prefect server that is away": (
        {"PREFECT_API_URL": "http://127.0.0.1:{port}/api"},
        "prefect",
        "wrong",
        "does not answer",
    ),
    "no connection string": (
        {"AZURE_QUANTUM_CONNECTION_STRING": SECRET},
        "workspace",
        "wrong",
        "it is not a connection string",
    ),
    "half a connection string": (
        {"AZURE_QUANTUM_CONNECTION_STRING": f"SubscriptionId=x;ApiKey={SECRET}"},
        "workspace",
        "wrong",
        "it is not a connection string",
    ),
}


@pytest.mark.parametrize("case", SET_UPS)
def test_each_fault_of_a_variable_is_found(case: str, doctor: Doctor, closed_port: int, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, and far too long to be taken for an empty one" * 50)
    variables, check, state, message = SET_UPS[case]
    places = {"folder": str(tmp_path), "port": str(closed_port)}
    found = doctor(**{name: value.format(**places) for name, value in variables.items()})
    assert (found[check]["state"], message.format(**places) in found[check]["found"]) == (state, True)
    assert check != "folder" or "HYBRIDLOOP_HOME" in found[check]["remedy"]
    assert check == "settings" or found["settings"]["state"] == "ok"


def test_folder_and_disk_of_a_journal_elsewhere(doctor: Doctor, tmp_path: Path) -> None:
    assert "journal folder" not in doctor()
    (tmp_path / "file").touch()
    for place, state in (("new/journal.db", "ok"), ("file/journal.db", "wrong")):
        found = doctor(HYBRIDLOOP_JOURNAL=f"sqlite:///{tmp_path / place}")
        assert found["folder"]["state"] == "ok"
        assert found["journal folder"]["state"] == state
        assert found["journal disk"]["state"] in ("ok", "warning")
        assert "HYBRIDLOOP_JOURNAL" in found["journal folder"]["remedy"] or state == "ok"


def test_a_journal_whose_driver_is_missing(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # None marks a module that cannot be imported
    found = doctor(HYBRIDLOOP_JOURNAL="postgresql://user@127.0.0.1/runs")["journal"]
    assert (found["state"], found["remedy"]) == ("wrong", "pip install 'hybridloop[postgres]'")


def journal_of_version(path: Path, version: str) -> str:
    """Create a journal, and return its URL once its schema has this version."""
    Journal(journal_url(path)).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE {VERSION_TABLE} SET version_num = '{version}'")
    return journal_url(path)


def test_a_journal_of_an_older_version_is_reported_and_not_upgraded(doctor: Doctor, tmp_path: Path) -> None:
    url = journal_of_version(tmp_path / "old.db", "0000")
    found = doctor(HYBRIDLOOP_JOURNAL=url)["journal"]
    assert (found["state"], "has version 0000" in found["found"]) == ("warning", True)
    assert doctor(HYBRIDLOOP_JOURNAL=url)["journal"] == found


def test_a_journal_of_a_newer_version(doctor: Doctor, tmp_path: Path) -> None:
    found = doctor(HYBRIDLOOP_JOURNAL=journal_of_version(tmp_path / "new.db", "9999"))["journal"]
    assert (found["state"], "of version 9999" in found["found"]) == ("wrong", True)


@pytest.mark.parametrize(
    ("version", "state"),
    [("2.20.1", "wrong"), ("3.1.0", "warning"), pytest.param(None, "wrong", marks=pytest.mark.slow)],
    ids=["2", "3.1", "none"],
)
def test_a_prefect_server_of_another_version(doctor: Doctor, version: str | None, state: str) -> None:
    def reply(request: BaseHTTPRequestHandler) -> None:
        answer(request, 404 if version is None else 200, json.dumps(version).encode())

    with replying(reply) as url:
        assert doctor(PREFECT_API_URL=f"{url}api")["prefect"]["state"] == state


def test_a_prefect_server_that_pages_of_other_sites_can_use(doctor: Doctor) -> None:
    def reply(request: BaseHTTPRequestHandler) -> None:
        headers = {"Access-Control-Allow-Origin": "*"} if is_open else {}
        answer(request, 200, json.dumps(prefect.__version__).encode(), headers)

    with replying(reply) as url:
        is_open = True
        found = doctor(PREFECT_API_URL=f"{url}api")["prefect"]
        assert (found["state"], "is open" in found["found"]) == ("warning", True)
        assert "PREFECT_SERVER_API_AUTH_STRING" in found["remedy"]
        is_open = False
        assert doctor(PREFECT_API_URL=f"{url}api")["prefect"]["state"] == "ok"


def test_a_prefect_server_that_requires_a_key(doctor: Doctor) -> None:
    def reply(request: BaseHTTPRequestHandler) -> None:
        is_known = request.headers["Authorization"] == f"Bearer {SECRET}"
        answer(request, 200 if is_known else 401, b'"3.9.1"')

    with replying(reply) as url:
        assert doctor(PREFECT_API_URL=f"{url}api")["prefect"]["state"] == "skipped"
        assert doctor(PREFECT_API_URL=f"{url}api", PREFECT_API_KEY="wrong")["prefect"]["state"] == "wrong"
        assert doctor(PREFECT_API_URL=f"{url}api", PREFECT_API_KEY=SECRET)["prefect"]["state"] == "ok"


@pytest.mark.slow
def test_a_part_of_the_local_stack_that_hangs_or_is_outdated(doctor: Doctor, home: Path) -> None:
    environ = own_environ(home)
    stack.ensure_emulator(environ)
    try:
        assert doctor()["local emulator"]["state"] == "ok"
        assert doctor()["workspace"]["found"].startswith("hybridloop, with ")
        (record,) = home.glob("stack/emulator.json")
        known = json.loads(record.read_text())
        os.kill(known["pid"], signal.SIGSTOP)
        try:
            assert doctor()["local emulator"]["state"] == "wrong"
        finally:
            os.kill(known["pid"], signal.SIGCONT)
        record.write_text(json.dumps({**known, "release": "0.0.1+older"}))
        assert doctor()["local emulator"]["state"] == "warning"
    finally:
        stack.down(environ)


def test_a_workspace_that_does_not_answer(doctor: Doctor, closed_port: int) -> None:
    text = connection_string(f"http://127.0.0.1:{closed_port}/", SECRET, "mine")
    found = doctor(AZURE_QUANTUM_CONNECTION_STRING=text)
    assert (found["workspace"]["state"], found["clock"]["state"]) == ("wrong", "skipped")


def test_a_key_that_is_refused(doctor: Doctor, emulator: Emulator) -> None:
    text = connection_string(emulator.endpoint, SECRET, "mine")
    found = doctor(AZURE_QUANTUM_CONNECTION_STRING=text)
    assert "does not accept the key" in found["workspace"]["found"]
    assert (found["workspace"]["state"], found["target"]["state"]) == ("wrong", "skipped")


def test_a_missing_workspace(doctor: Doctor, start_emulator: Callable[..., Emulator]) -> None:
    emulator = start_emulator()
    rule = {"fault": "error", "status": 404, "code": "ResourceNotFound", "message": "no such workspace"}
    emulator.admin("faults", {"rules": [rule]})
    text = connection_string(emulator.endpoint, emulator.api_key, "mine")
    found = doctor(AZURE_QUANTUM_CONNECTION_STRING=text)["workspace"]
    assert found["state"] == "wrong"
    assert "resource group and name" in found["remedy"]


@pytest.mark.slow
def test_an_identity_that_has_not_signed_in(doctor: Doctor, prefect_server: stack.PrefectServer) -> None:
    resource = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Quantum/Workspaces/ws"
    name = f"by-identity-{secrets.token_hex(4)}"
    AzureQuantumWorkspace(resource_id=resource, endpoint="https://eastus.quantum.azure.com").save(name)
    # the other ways to sign in search the network
    variables = {**as_own_server(prefect_server), "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"}
    found = doctor("--workspace", name, **variables)["workspace"]
    assert (found["state"], "az login" in found["remedy"]) == ("wrong", True)
    missing = doctor("--workspace", "nowhere-to-be-found", **variables)["workspace"]
    assert (missing["state"], "has no block" in missing["found"]) == ("wrong", True)


@pytest.mark.parametrize(
    ("ahead_s", "state"), [(3600, "wrong"), pytest.param(-100, "warning", marks=pytest.mark.slow), (0, "ok")]
)
def test_a_wrong_clock(doctor: Doctor, ahead_s: int, state: str) -> None:
    def reply(request: BaseHTTPRequestHandler) -> None:
        request.date_time_string = lambda timestamp=None: formatdate(time.time() + ahead_s, usegmt=True)  # type: ignore[method-assign]
        answer(request, 401)

    with replying(reply) as url:
        found = doctor(AZURE_QUANTUM_CONNECTION_STRING=connection_string(url, SECRET, "mine"))["clock"]
    assert found["state"] == state


@pytest.mark.parametrize(
    ("target", "state", "message"),
    [
        ("ionq.simulater", "wrong", "target: 'ionq.simulater' is not a known target"),
        ("ionq.qpu.aria-1", "warning", "ionq.qpu.aria-1 is Unavailable"),
        ("ionq.simulator", "ok", "ionq.simulator is available"),
    ],
)
def test_an_unknown_or_unavailable_target(
    doctor: Doctor, emulator: Emulator, target: str, state: str, message: str
) -> None:
    text = connection_string(emulator.endpoint, emulator.api_key, "mine")
    with unavailable(emulator, "ionq.qpu.aria-1"):
        found = doctor(AZURE_QUANTUM_CONNECTION_STRING=text, HYBRIDLOOP_TARGET=target)["target"]
    assert (found["state"], found["found"]) == (state, message)
