"""Choice between the user's Prefect server and the stack's, and the environment of processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop import local_stack as stack
from hybridloop.local_stack.prefect_settings import (
    client_environment,
    loopback_environment,
    server_environment,
    user_server,
    worker_environment,
)
from hybridloop.local_stack.state_files import private_folder
from hybridloop.runtime.paths import home as hybridloop_home

PROFILES = """
active = "work"

[profiles.work]
PREFECT_API_URL = "https://prefect.work.example/api"

[profiles.plain]
PREFECT_LOGGING_LEVEL = "DEBUG"
"""


OURS = Path("/ours/prefect")


WORK, MINE = "https://prefect.work.example/api", "http://mine.example/api"
REMOTE = "http://prefect:4200/api"  # never the stack's, which listens on this machine only


@pytest.fixture
def user_home(tmp_path: Path) -> Path:
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect" / "profiles.toml").write_text(PROFILES)
    return tmp_path


@pytest.mark.parametrize(
    ("environ", "server"),
    [
        pytest.param({"HOME": "{home}", "PREFECT_API_URL": MINE}, MINE, id="the environment before the profile"),
        pytest.param(
            {"PREFECT_HOME": str(OURS), "PREFECT_API_URL": "http://127.0.0.1:4711/api"}, None, id="that of our own"
        ),
        pytest.param({"PREFECT_HOME": str(OURS), "PREFECT_API_URL": REMOTE}, REMOTE, id="one elsewhere"),
        pytest.param({"HOME": "{home}"}, WORK, id="the active profile"),
        pytest.param({"HOME": "{home}", "PREFECT_PROFILE": "plain"}, None, id="a profile without a server"),
        pytest.param({"HOME": "{home}", "PREFECT_PROFILE": "missing"}, None, id="no such profile"),
        pytest.param({"HOME": "/nowhere", "PREFECT_HOME": "{home}/.prefect"}, WORK, id="profiles in Prefect's home"),
        pytest.param(
            {"PREFECT_HOME": "{home}/.prefect", "PREFECT_PROFILES_PATH": "{home}/none.toml"}, None, id="no profiles"
        ),
    ],
)
def test_the_users_server_is_found_where_prefect_finds_it(
    environ: Mapping[str, str], server: str | None, user_home: Path
) -> None:
    assert user_server({name: value.format(home=user_home) for name, value in environ.items()}, OURS) == server


@pytest.mark.parametrize("text", ["active = ", "profiles = 3", 'active = "a"\n[profiles]\na = 3'])
def test_broken_profiles_set_no_server(user_home: Path, text: str) -> None:
    (user_home / ".prefect" / "profiles.toml").write_text(text)
    assert user_server({"HOME": str(user_home)}, OURS) is None


@pytest.mark.claim("a Prefect server unless you have one")
def test_with_a_server_and_a_workspace_of_the_user_no_process_is_started(tmp_path: Path) -> None:
    environ = {
        "HYBRIDLOOP_HOME": str(tmp_path / "home"),
        "PREFECT_API_URL": "http://mine.example/api",
        "AZURE_QUANTUM_CONNECTION_STRING": "SubscriptionId=…",
    }
    server = stack.ensure_prefect(environ)
    assert (server.api_url, server.is_local, dict(server.environment)) == ("http://mine.example/api", False, {})
    assert {component.state for component in stack.up(environ).components} == {stack.ComponentState.YOURS}
    assert stack.down(environ) == ()


def test_the_status_of_a_stack_that_never_ran_creates_no_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environ = {"HYBRIDLOOP_HOME": str(home), "PREFECT_PROFILES_PATH": str(tmp_path / "none.toml")}
    assert {component.state for component in stack.status(environ).components} == {stack.ComponentState.STOPPED}
    assert not home.exists()


def test_our_server_is_started_without_the_users_prefect_settings() -> None:
    environ = {"PATH": "/bin", "PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://production/prefect"}
    ours = server_environment(environ, Path("/home/prefect"))
    assert "PREFECT_API_DATABASE_CONNECTION_URL" not in ours
    assert (ours["PATH"], ours["PREFECT_HOME"]) == ("/bin", "/home/prefect")


@given(st.lists(st.sampled_from(["localhost", "10.0.0.0/8", ".corp.example", "127.0.0.1"]), unique=True))
def test_loopback_is_added_to_the_hosts_without_a_proxy(hosts: list[str]) -> None:
    settings = loopback_environment({"NO_PROXY": ", ".join(hosts)})
    assert settings["NO_PROXY"] == settings["no_proxy"]
    assert set(settings["NO_PROXY"].split(",")) == {*hosts, "127.0.0.1", "localhost"}


def test_importing_the_stack_loads_nothing_heavy() -> None:
    script = (
        "import sys, hybridloop.local_stack; "
        "print({name.partition('.')[0] for name in sys.modules} & {'prefect', 'qiskit', 'scipy', 'azure', 'numpy'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
def test_prefects_server_is_found_again_and_has_its_own_folder(
    prefect_server: stack.PrefectServer, stack_environ: Mapping[str, str]
) -> None:
    home = hybridloop_home(stack_environ)
    assert stack.ensure_prefect(stack_environ) == prefect_server
    # a process with the environment of our server uses the same server, and it is ours
    assert stack.ensure_prefect({**stack_environ, **prefect_server.environment}) == prefect_server
    assert prefect_server.environment["PREFECT_HOME"] == str(home / "prefect")
    assert (home / "prefect" / "prefect.db").exists()
    (prefect, _) = stack.status(stack_environ).components
    assert prefect.state is stack.ComponentState.RUNNING


@pytest.mark.slow
def test_the_emulator_is_started_and_found_again(
    stack_environ: Mapping[str, str],
) -> None:
    first = stack.ensure_emulator(stack_environ)
    assert stack.ensure_emulator(stack_environ) == first
    (_, emulator) = stack.status(stack_environ).components
    assert (emulator.state, emulator.url) == (stack.ComponentState.RUNNING, first.url)


def test_stopping_a_stack_that_never_ran_creates_no_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert stack.down({"HYBRIDLOOP_HOME": str(home)}) == ()
    assert not home.exists()


@pytest.mark.slow
def test_a_process_without_a_state_file_is_stopped_and_named(tmp_path: Path) -> None:
    environ = {**os.environ, "HYBRIDLOOP_HOME": str(tmp_path)}
    stack.ensure_emulator(environ)
    for record in (tmp_path / "stack").glob("emulator*.json"):
        record.unlink()
    assert stack.down(environ) == ("emulator",)
    assert stack.down(environ) == ()


def test_clients_and_workers_repeat_a_refused_request_for_a_minute(tmp_path: Path) -> None:
    limit = "PREFECT_API_REQUEST_TIMEOUT"
    client = client_environment("http://127.0.0.1:4200/api", tmp_path, "a:password")
    worker = worker_environment(client)
    assert sum(2**attempt for attempt in range(1, int(client["PREFECT_CLIENT_MAX_RETRIES"]) + 1)) >= 60
    assert limit not in worker  # Prefect's own, a minute
    assert {**worker, limit: "10"} == client


def test_all_folders_that_hold_the_stacks_state_are_made_for_their_owner_only(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "home" / "hybridloop" / "stack")
    made = [folder, *folder.parents][:3]
    assert [each.stat().st_mode & 0o777 for each in made] == [0o700] * 3
