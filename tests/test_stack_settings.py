"""Whose Prefect server and whose workspace is used, and what processes get into their environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop import stack
from hybridloop.home import home as hybridloop_home
from hybridloop.stack.prefect_settings import chosen_server, loopback_environment, server_environment

PROFILES = """
active = "work"

[profiles.work]
PREFECT_API_URL = "https://prefect.work.example/api"

[profiles.plain]
PREFECT_LOGGING_LEVEL = "DEBUG"
"""


OURS = Path("/ours/prefect")


def _chosen(environ: Mapping[str, str]) -> str | None:
    return chosen_server(environ, OURS)


@pytest.fixture
def user_home(tmp_path: Path) -> Path:
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect" / "profiles.toml").write_text(PROFILES)
    return tmp_path


def test_a_server_in_the_environment_goes_before_the_active_profile(user_home: Path) -> None:
    environ = {"HOME": str(user_home), "PREFECT_API_URL": "http://mine.example/api"}
    assert _chosen(environ) == "http://mine.example/api"


def test_the_environment_that_we_made_is_not_taken_for_a_choice() -> None:
    assert _chosen({"PREFECT_HOME": str(OURS), "PREFECT_API_URL": "http://127.0.0.1:4711/api"}) is None


def test_the_active_profile_names_the_server(user_home: Path) -> None:
    assert _chosen({"HOME": str(user_home)}) == "https://prefect.work.example/api"


@pytest.mark.parametrize("profile", ["plain", "missing"])
def test_a_profile_without_a_server_chooses_none(user_home: Path, profile: str) -> None:
    assert _chosen({"HOME": str(user_home), "PREFECT_PROFILE": profile}) is None


def test_the_profiles_are_sought_where_prefect_seeks_them(user_home: Path, tmp_path: Path) -> None:
    moved = {"HOME": "/nowhere", "PREFECT_HOME": str(user_home / ".prefect")}
    assert _chosen(moved) == "https://prefect.work.example/api"
    named = {**moved, "PREFECT_PROFILES_PATH": str(tmp_path / "none.toml")}
    assert _chosen(named) is None


@pytest.mark.parametrize("text", ["active = ", "profiles = 3", 'active = "a"\n[profiles]\na = 3'])
def test_profiles_that_are_broken_choose_no_server(user_home: Path, text: str) -> None:
    (user_home / ".prefect" / "profiles.toml").write_text(text)
    assert _chosen({"HOME": str(user_home)}) is None


def test_whoever_has_a_server_and_a_workspace_gets_no_process(tmp_path: Path) -> None:
    environ = {
        "HYBRIDLOOP_HOME": str(tmp_path / "home"),
        "PREFECT_API_URL": "http://mine.example/api",
        "AZURE_QUANTUM_CONNECTION_STRING": "SubscriptionId=…",
    }
    server = stack.ensure_prefect(environ)
    assert (server.api_url, server.is_local, dict(server.environment)) == ("http://mine.example/api", False, {})
    assert {part.state for part in stack.up(environ).parts} == {stack.PartState.YOURS}
    assert stack.down(environ) == ()


def test_asking_for_the_status_of_what_never_ran_leaves_no_trace(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environ = {"HYBRIDLOOP_HOME": str(home), "PREFECT_PROFILES_PATH": str(tmp_path / "none.toml")}
    assert {part.state for part in stack.status(environ).parts} == {stack.PartState.STOPPED}
    assert not home.exists()


def test_our_server_is_started_without_the_users_settings_for_others() -> None:
    environ = {"PATH": "/bin", "PREFECT_API_DATABASE_CONNECTION_URL": "postgresql+asyncpg://production/prefect"}
    ours = server_environment(environ, Path("/home/prefect"))
    assert "PREFECT_API_DATABASE_CONNECTION_URL" not in ours
    assert (ours["PATH"], ours["PREFECT_HOME"]) == ("/bin", "/home/prefect")


@given(st.lists(st.sampled_from(["localhost", "10.0.0.0/8", ".corp.example", "127.0.0.1"]), unique=True))
def test_loopback_is_kept_from_proxies_and_what_was_kept_from_them_stays_so(hosts: list[str]) -> None:
    settings = loopback_environment({"NO_PROXY": ", ".join(hosts)})
    assert settings["NO_PROXY"] == settings["no_proxy"]
    assert set(settings["NO_PROXY"].split(",")) == {*hosts, "127.0.0.1", "localhost"}


def test_importing_the_stack_loads_nothing_heavy() -> None:
    script = (
        "import sys, hybridloop.stack; "
        "print({name.partition('.')[0] for name in sys.modules} & {'prefect', 'qiskit', 'scipy', 'azure', 'numpy'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"


@pytest.mark.slow
def test_prefects_server_is_found_again_in_a_folder_of_its_own(
    prefect_server: stack.PrefectServer, stack_environ: Mapping[str, str]
) -> None:
    home = hybridloop_home(stack_environ)
    assert stack.ensure_prefect(stack_environ) == prefect_server
    # a process, or a child of it, that took over the environment is on the same server, and it is ours
    assert stack.ensure_prefect({**stack_environ, **prefect_server.environment}) == prefect_server
    assert prefect_server.environment["PREFECT_HOME"] == str(home / "prefect")
    assert (home / "prefect" / "prefect.db").exists()
    (prefect, _) = stack.status(stack_environ).parts
    assert prefect.state is stack.PartState.RUNNING


@pytest.mark.slow
def test_the_emulator_is_started_found_again_and_takes_the_key_of_the_stack(
    stack_environ: Mapping[str, str],
) -> None:
    first = stack.ensure_emulator(stack_environ)
    assert stack.ensure_emulator(stack_environ) == first
    (_, emulator) = stack.status(stack_environ).parts
    assert (emulator.state, emulator.url) == (stack.PartState.RUNNING, first.url)


def test_taking_down_what_never_ran_leaves_no_trace(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert stack.down({"HYBRIDLOOP_HOME": str(home)}) == ()
    assert not home.exists()


@pytest.mark.slow
def test_what_no_record_is_left_of_is_taken_down_and_named(tmp_path: Path) -> None:
    environ = {**os.environ, "HYBRIDLOOP_HOME": str(tmp_path)}
    stack.ensure_emulator(environ)
    for record in (tmp_path / "stack").glob("emulator*.json"):
        record.unlink()
    assert stack.down(environ) == ("emulator",)
    assert stack.down(environ) == ()
