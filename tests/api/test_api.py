"""Environment of the public functions: Prefect's and proxy settings belong together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.shell_helpers import Shell

SCRIPT = """
import json, os
import hybridloop
from hybridloop import local_stack as stack
hybridloop.vqe("h2", target="ionq.simulator", seed=1)
names = ("PREFECT_HOME", "PREFECT_API_URL", "NO_PROXY")
(prefect, _) = stack.status().components
print(json.dumps({**{name: os.environ[name] for name in names}, "state": prefect.state, "url": prefect.url}))
"""


@pytest.mark.slow
def test_a_run_on_our_server_uses_only_its_settings_and_no_proxy(
    stack_environ: Mapping[str, str], tmp_path: Path
) -> None:
    """PREFECT_HOME without a server, a proxy and its list of excluded hosts are the user's settings."""
    theirs = {"PREFECT_HOME": str(tmp_path), "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ".corp.example"}
    environ = {**stack_environ, **theirs, "http_proxy": theirs["HTTP_PROXY"], "no_proxy": theirs["NO_PROXY"]}
    done = Shell(environ).run_python("-c", SCRIPT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["state"] == "running"  # our server, still recognized as ours
    assert found["PREFECT_API_URL"] == f"{found['url']}/api"
    assert found["PREFECT_HOME"].startswith(stack_environ["HYBRIDLOOP_HOME"])
    assert {".corp.example", "127.0.0.1", "localhost"} <= set(found["NO_PROXY"].split(","))
