"""Dockerfile, container pool and systemd unit: checked as text, since tests run without Docker."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import prefect
import pytest

from hybridloop.local_stack.components import prefect_home
from hybridloop.local_stack.prefect_settings import user_server
from hybridloop.runtime.waits import WORKER_END_S, WORKER_RUNS_END_S
from tests.deployments.checkout_helpers import FILE, GUIDE, of_unit
from tests.deployments.worker_helpers import START
from tests.paths import ROOT

FOLDER = (ROOT / FILE).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMAGE = f"hybridloop:{PROJECT['version']}"
PINNED = re.compile(r"python:3\.\d+\.\d+-slim-[a-z]+")  # to the patch version, and to Debian's release
SECRET = re.compile(r"(?i)key|secret|token|password|connection_string")


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions without comments, with continued lines joined."""
    lines = [line for line in (FOLDER / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def copied() -> Iterator[str]:
    """Return the paths that the image copies from the checkout."""
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from="):
            yield from rest.split()[:-1]


def test_every_stage_of_the_image_begins_with_a_base_that_is_pinned() -> None:
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert len(set(bases)) == 1
    assert PINNED.fullmatch(bases[0])
    assert bases[0].split(":")[1].startswith(PROJECT["requires-python"].removeprefix(">="))


def test_the_image_does_not_run_as_root_and_contains_no_secret() -> None:
    *_, last_stage = "\n".join(f"{name} {rest}" for name, rest in instructions()).split("FROM ")
    user = re.findall(r"^USER (\d+):(\d+)$", last_stage, re.MULTILINE)
    assert len(user) == 1
    assert "0" not in user[0]
    assert last_stage.index("\nUSER ") < last_stage.index("\nCMD ")
    assert f"--uid {user[0][0]} " in last_stage
    assert "ADD" not in [name for name, _ in instructions()]
    assert not [rest for name, rest in instructions() if name in ("ENV", "ARG") and SECRET.search(rest)]


def test_the_build_context_has_exactly_the_files_that_the_image_copies() -> None:
    ignored, *seen = [
        line for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert ignored == "*"
    assert {line.removeprefix("!") for line in seen if line.startswith("!")} == {each.lstrip("./") for each in copied()}
    assert all((ROOT / each).exists() for each in copied())
    (extra,) = [re.findall(r'"\.\[(\w+)\]"', rest) for name, rest in instructions() if name == "RUN" and "pip" in rest]
    assert extra[0] in PROJECT["optional-dependencies"]


def test_image_and_unit_start_the_worker_as_the_guide_does() -> None:
    command = json.loads(dict(instructions())["CMD"])
    assert " ".join(command) == START
    (started,) = of_unit("ExecStart")
    program, *arguments = shlex.split(started)
    assert " ".join([Path(program).name, *arguments]) == f"{START} --limit 4"
    assert f"    {START}\n" in GUIDE
    assert f"{Path(program).parent}/pip install" in GUIDE


def test_image_and_unit_use_a_prefect_server_of_their_environment_also_on_this_machine() -> None:
    """With the PREFECT_HOME of a local stack, a server on this machine would count as the stack's."""
    for line in (dict(instructions())["ENV"], *of_unit("Environment")):
        variables = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if "PREFECT_HOME" in variables:
            ours = prefect_home(Path(variables["HYBRIDLOOP_HOME"]))
            for url in ("http://127.0.0.1:4200/api", "http://prefect:4200/api"):
                assert user_server({**variables, "PREFECT_API_URL": url}, ours) == url


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze is installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = (FOLDER / "hybridloop-worker.service").read_text(encoding="utf-8")
    unit = tmp_path / "hybridloop-worker.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE), encoding="utf-8")
    found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_run_without_memory_left_ends_alone_and_a_worker_takes_some_runs_at_once() -> None:
    assert of_unit("OOMPolicy") == ["continue"]
    compose = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    for started in (*of_unit("ExecStart"), compose):
        assert "hybridloop worker --limit 4" in started


def test_the_unit_signals_the_worker_alone_and_waits_for_its_runs() -> None:
    assert of_unit("KillMode") == ["mixed"]
    (timeout,) = of_unit("TimeoutStopSec")
    assert float(timeout) > WORKER_RUNS_END_S + WORKER_END_S


def test_the_pool_starts_that_image_with_the_journal_in_a_volume() -> None:
    template = json.loads((FOLDER / "docker-pool.json").read_text())
    fields = template["variables"]["properties"]
    assert {value for value in template["job_configuration"].values()} == {f"{{{{ {name} }}}}" for name in fields}
    assert fields["image"]["default"] == IMAGE
    assert f"--tag {IMAGE} ." in GUIDE
    (volume,) = fields["volumes"]["default"]
    environment = dict(instructions())["ENV"]
    assert f"HYBRIDLOOP_HOME={volume.split(':')[1]} " in environment
    assert not SECRET.search(json.dumps({name: field.get("default") for name, field in fields.items()}))


def prefects_variables(kind: str) -> dict[str, Any]:
    """Return Prefect's own schema of the variables of a type of work pool, as its server has it."""
    path = Path(prefect.__file__).parent / "server/api/collections_data/views/aggregate-worker-metadata.json"
    kinds = [types[kind] for types in json.loads(path.read_text()).values() if kind in types]
    (schema,) = (dict(each["default_base_job_configuration"]["variables"]) for each in kinds)
    return {**schema, "additionalProperties": False}


def test_the_docker_pool_has_only_variables_that_prefect_knows() -> None:
    fields = json.loads((FOLDER / "docker-pool.json").read_text())["variables"]["properties"]
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    jsonschema.validate(defaults, prefects_variables("docker"))


@pytest.mark.parametrize("kind", ["kubernetes", "azure-container-instance"])
def test_the_defaults_that_the_guide_gives_for_a_pool_are_valid(kind: str) -> None:
    (shown,) = re.findall(rf"^\| `{kind}` \| `(\{{.*\}})` \|$", GUIDE, re.MULTILINE)
    defaults = json.loads(shown)
    schema = prefects_variables(kind)
    jsonschema.validate(
        defaults, {**schema, "required": [name for name in schema.get("required", ()) if name != "aci_credentials"]}
    )
    assert defaults["image"].endswith(IMAGE)
    assert not SECRET.search(shown)
