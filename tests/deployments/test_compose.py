"""Compose file: its references are consistent, and it contains no secret."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from hybridloop.journal.storage.location import Location
from hybridloop.runtime.waits import WORKER_END_S, WORKER_RUNS_END_S
from tests.deployments.worker_helpers import START
from tests.paths import ROOT

FILE = ROOT / "deployments" / "compose.yaml"
VARIABLE = re.compile(r"\$\{([A-Z_]+)(:\?[^}]*)?\}")


def _compose() -> list[str] | None:
    """Return the command of Docker Compose: the plugin, else the program of its own."""
    if shutil.which("docker") and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


COMPOSE = _compose()
KNOWN = {
    "image",
    "build",
    "command",
    "environment",
    "volumes",
    "healthcheck",
    "restart",
    "ports",
    "depends_on",
    "init",
    "stop_grace_period",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return document


def test_services_depend_on_existing_services_with_health_checks(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"postgres", "prefect", "worker"}
    for service in services.values():
        assert set(service) <= KNOWN
        for name, needed in service.get("depends_on", {}).items():
            assert needed == {"condition": "service_healthy"}
            assert services[name]["healthcheck"]["test"][0] == "CMD"


def test_used_volumes_are_declared_and_mounted_files_exist(compose: dict[str, Any]) -> None:
    mounted = [each.split(":")[0] for service in compose["services"].values() for each in service.get("volumes", [])]
    assert {each for each in mounted if not each.startswith(".")} == set(compose["volumes"])
    (script,) = [FILE.parent / each for each in mounted if each.startswith(".")]
    assert "pg_trgm" in script.read_text("utf-8")  # required by Prefect's migrations


def test_a_restart_of_the_server_loses_no_lease(compose: dict[str, Any]) -> None:
    server = compose["services"]["prefect"]
    assert server["environment"]["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"].endswith(".filesystem")
    (volume,) = server["volumes"]
    dockerfile = (FILE.parent / "Dockerfile").read_text("utf-8")
    assert f"PREFECT_HOME={volume.split(':')[1]}/prefect-home " in dockerfile


def test_a_stop_leaves_runs_the_time_to_close_their_sessions(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert (worker["command"], worker["init"]) == (f"{START} --limit 4", True)
    assert float(worker["stop_grace_period"].removesuffix("s")) > WORKER_RUNS_END_S + WORKER_END_S


def test_images_are_pinned_and_server_and_workers_use_one_image_of_this_version(compose: dict[str, Any]) -> None:
    images = {name: service.get("image", "") for name, service in compose["services"].items()}
    assert re.fullmatch(r"postgres:\d+\.\d+-\w+", images["postgres"])
    for name in ("prefect", "worker"):
        assert images[name] == f"hybridloop:{version('hybridloop')}"
        build = compose["services"][name]["build"]
        assert (FILE.parent / build["context"] / build["dockerfile"]).is_file()


@pytest.mark.skipif(COMPOSE is None, reason="no Docker Compose is installed")
def test_compose_reads_the_file_and_says_which_variable_is_missing(tmp_path: Path) -> None:
    given = {name: "given" for name, demand in VARIABLE.findall(FILE.read_text("utf-8")) if demand}
    assert COMPOSE is not None
    copy = FILE.read_text("utf-8")
    if COMPOSE == ["docker-compose"]:  # which may be of version 1, without names of projects
        copy = copy.replace("\nname: hybridloop\n", "\nversion: '3.9'\n")
    (tmp_path / "compose.yaml").write_text(copy, encoding="utf-8")
    command = [*COMPOSE, "-f", str(tmp_path / "compose.yaml"), "config"]
    read = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **given})
    assert read.returncode == 0, read.stderr
    assert yaml.safe_load(read.stdout)["services"].keys() == {"postgres", "prefect", "worker"}
    for name in given:
        others = {**os.environ, **given}
        others.pop(name)
        refused = subprocess.run(command, capture_output=True, text=True, env=others)
        assert refused.returncode != 0
        assert name in refused.stderr


def test_secrets_come_from_required_variables() -> None:
    found = VARIABLE.findall(FILE.read_text("utf-8"))
    asked = {name for name, demand in found if demand}
    assert (
        asked
        == {name for name, _ in found}
        == {
            "POSTGRES_PASSWORD",
            "PREFECT_API_AUTH_STRING",
            "AZURE_QUANTUM_CONNECTION_STRING",
        }
    )


def test_workers_share_a_journal_and_a_server(compose: dict[str, Any]) -> None:
    worker, prefect = compose["services"]["worker"], compose["services"]["prefect"]
    journal = VARIABLE.sub("secret", worker["environment"]["HYBRIDLOOP_JOURNAL"])
    location = Location.parse(journal)
    assert not location.is_file
    assert "secret" not in str(location)
    assert location.url.host == "postgres"
    assert location.url.database == compose["services"]["postgres"]["environment"]["POSTGRES_DB"]
    assert "@postgres:5432/prefect" in prefect["environment"]["PREFECT_API_DATABASE_CONNECTION_URL"]
    assert worker["environment"]["PREFECT_API_URL"] == "http://prefect:4200/api"
    assert "PREFECT_API_AUTH_STRING" in prefect["environment"]["PREFECT_SERVER_API_AUTH_STRING"]
    assert worker["environment"]["PREFECT_API_AUTH_STRING"] == "${PREFECT_API_AUTH_STRING}"
    assert prefect["environment"]["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://localhost:4200"
