"""A VQE in natural orbitals that is killed in its second round and resumed: the same digits."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator

OPTIONS = ("--precision", "0.0003", "--seed", "1", "--quiet", "--json")
RUN = ("run", "vqe", "lih-frozen-core", *OPTIONS)
SAME = ("value", "standard_error", "parameters", "table", "jobs", "shots", "rounds", "reason", "choices", "facts")


@pytest.mark.slow
def test_a_run_in_natural_orbitals_that_is_killed_ends_with_the_same_digits(
    prefect_server: PrefectServer, stack_environ: Mapping[str, str], emulator: Emulator
) -> None:
    unbroken = Shell(stack_environ).at(emulator, "natural-unbroken").shell.json_inside(*RUN, "--run-key", "unbroken")
    assert any(
        choice.startswith("orbitals: natural orbitals of the exact ground state") for choice in unbroken["choices"]
    )
    at = Shell(stack_environ).at(emulator, "natural-killed")
    killed = at.shell.with_variables(HYBRIDLOOP_CRASH_AT="result.after:7").run(*RUN, "--run-key", "killed")
    assert killed.returncode == -9
    resumed = at.shell.json_inside("runs", "resume", "killed")
    assert resumed["resumed"]
    assert {name: resumed[name] for name in SAME} == {name: unbroken[name] for name in SAME}
    assert at.session_statuses() == ["Succeeded"]
