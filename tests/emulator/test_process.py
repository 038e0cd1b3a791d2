"""Service process: start, stop, exit codes, keys and files."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridloop.emulator.__main__ import parse_settings
from hybridloop.emulator.settings import ClockKind, IdleRule, Settings
from hybridloop.emulator.state import ServiceKeys, load_keys
from tests.conftest import Emulator
from tests.emulator.http_helpers import Caller, raw_call


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_on_a_signal_with_exit_code_0(start_emulator: Callable[..., Emulator], how: signal.Signals) -> None:
    emulator = start_emulator()
    Caller(emulator).submit()  # a worker exists, and may be busy
    assert emulator.stop(how) == 0


def test_a_second_service_on_the_same_state_is_refused(tmp_path: Path, start_emulator: Callable[..., Emulator]) -> None:
    start_emulator(state=tmp_path)
    command = [sys.executable, "-m", "hybridloop.emulator", "--port", "0", "--state", str(tmp_path)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout) == (1, "")
    assert "another service uses the folder" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_taken_port_is_refused_with_one_line(emulator: Emulator) -> None:
    port = emulator.endpoint.rstrip("/").rpartition(":")[2]
    command = [sys.executable, "-m", "hybridloop.emulator", "--port", port, "--in-memory"]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert second.stderr.splitlines() == [
        f"hybridloop emulator: port {port} can't be used: Address already in use; choose another with --port"
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("service.sqlite", b"this is no database, and it is long enough to be looked at" * 20, "not a database"),
        ("service.sqlite", None, "version is 99"),
        ("keys.json", b"{", "remove that file to generate new ones"),
    ],
)
def test_an_unreadable_state_folder_is_refused_with_one_line(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is None:
        with contextlib.closing(sqlite3.connect(tmp_path / name)) as database:
            database.execute("PRAGMA user_version = 99")
    else:
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-m", "hybridloop.emulator", "--port", "0", "--state", str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert len(refused.stderr.splitlines()) == 1
    assert message in refused.stderr


def test_only_its_owner_can_read_the_state_and_keys_from_the_environment_are_not_written_or_printed(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "state"
    command = [sys.executable, "-m", "hybridloop.emulator", "--port", "0", "--state", str(folder)]
    keys = {"HYBRIDLOOP_EMULATOR_API_KEY": "canary-one", "HYBRIDLOOP_EMULATOR_ADMIN_KEY": "canary-two"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **keys}, umask=0)
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        endpoint = line.removeprefix("listening on ").strip()
        caller = Caller(Emulator(endpoint, "canary-one", "canary-two", process))
        caller.submit()
        process.terminate()
        printed = line + process.stdout.read()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in files if path.name == "keys.json"} == {
        "keys.json": 0o600
    }
    assert not any(word in text for word in ("canary-one", "canary-two") for text in [printed])
    assert not any(word in path.read_bytes() for word in (b"canary-one", b"canary-two") for path in files)


def test_the_folder_has_the_keys_that_hold_and_no_others(tmp_path: Path) -> None:
    def kept(**given: Any) -> tuple[dict[str, str], ServiceKeys]:
        keys = load_keys(Settings(state=tmp_path, **given))
        return json.loads((tmp_path / "keys.json").read_text()), keys

    first, keys = kept()
    assert first == {"api_key": keys.api_key, "admin_key": keys.admin_key, "signing": keys.signing.decode()}
    second, keys = kept(api_key="given")
    assert keys.api_key == "given"
    assert second == {name: key for name, key in first.items() if name != "api_key"}
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    third, keys = kept()
    assert third["api_key"] == keys.api_key != first["api_key"]


def test_generated_keys_are_printed_and_kept_over_a_restart(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hybridloop.emulator", "--port", "0", "--state", str(tmp_path)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HYBRIDLOOP_EMULATOR_")}
    printed = []
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            while "Stop with Ctrl-C" not in lines[-1]:
                lines.append(process.stdout.readline())
            process.terminate()
        printed.append("".join(lines))
    keys = [text.partition("ApiKey=")[2].partition(";")[0] for text in printed]
    assert keys[0] == keys[1]
    assert len(keys[0]) >= 32
    endpoint = printed[0].partition("QuantumEndpoint=")[2].partition(";")[0]
    assert f"listening on {endpoint}\n" == printed[0].splitlines(keepends=True)[0]


@pytest.mark.parametrize(
    "key_of",
    [
        lambda service: None,
        lambda service: "",
        lambda service: "wrong",
        lambda service: service.api_key[:-1],
        lambda service: service.api_key + "y",
        lambda service: service.admin_key,
    ],
    ids=["none", "empty", "wrong", "cut", "longer", "the admin key"],
)
def test_a_wrong_or_missing_key_is_answered_with_401_and_no_body(
    emulator: Emulator, key_of: Callable[[Emulator], str | None]
) -> None:
    key = key_of(emulator)
    headers = {} if key is None else {"x-ms-quantum-api-key": key}
    reply = raw_call(emulator.endpoint, "GET", f"{Caller(emulator).base}/sessions", None, headers)
    assert (reply.status, reply.body) == (401, b"")
    assert reply.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_the_key_may_come_as_a_bearer_token(emulator: Emulator) -> None:
    headers = {"authorization": f"Bearer {emulator.api_key}"}
    assert raw_call(emulator.endpoint, "GET", f"{Caller(emulator).base}/sessions", None, headers).status == 200


def test_settings_come_from_arguments_and_keys_also_from_the_environment(tmp_path: Path) -> None:
    environment = {"HYBRIDLOOP_EMULATOR_API_KEY": "a", "HYBRIDLOOP_EMULATOR_ADMIN_KEY": "b"}
    given = ["--port", "1", "--state", str(tmp_path), "--api-key", "c", "--clock", "virtual", "--seed", "3"]
    settings = parse_settings([*given, "--idle-rule", "documented"], environment)
    assert settings == Settings(1, tmp_path, "c", "b", ClockKind.VIRTUAL, 3, IdleRule.DOCUMENTED)
    assert "'c'" not in repr(settings)
    default = parse_settings(["--in-memory"], {})
    assert (default.port, default.state, default.api_key) == (8099, None, None)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--in-memory", "--port", "70000"],
        ["--in-memory", "--api-key", "a b"],
        ["--in-memory", "--api-key", "k", "--admin-key", "k"],
        ["--in-memory", "--clock", "slow"],
        ["--in-memory", "--state", "folder"],
        [],
    ],
)
def test_bad_settings_end_with_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse_settings(arguments, {})
    assert end.value.code == 2
    assert "error:" in capsys.readouterr().err
