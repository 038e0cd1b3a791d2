"""A VQE that is killed and resumed: in natural orbitals, and before the operators beside its energy."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator

OPTIONS = ("--quiet", "--json")
NATURAL = ("run", "vqe", "lih-frozen-core", "--precision", "0.0003", "--seed", "1", *OPTIONS)
OPERATORS = ("--observables", "spin,occupations", "--set", "observable_precision=0.001")
BESIDE = ("run", "vqe", "h2", "--ansatz", "uccsd", "--precision", "0.005", "--seed", "5", *OPERATORS, *OPTIONS)
SAME = (
    *("value", "standard_error", "parameters", "table", "jobs", "shots", "rounds", "reason", "choices", "facts"),
    "observables",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "run", "point"),
    [
        ("natural", NATURAL, "result.after:7"),
        ("beside", BESIDE, "commit.after:1"),  # the energy is measured, and the operators beside it are not yet
        ("pilot", BESIDE, "put.after:2"),
    ],
)
def test_a_killed_run_ends_with_the_same_digits_and_jobs(
    prefect_server: PrefectServer,
    stack_environ: Mapping[str, str],
    emulator: Emulator,
    name: str,
    run: tuple[str, ...],
    point: str,
) -> None:
    unbroken = Shell(stack_environ).at(emulator, f"{name}-unbroken").shell.json_inside(*run, "--run-key", name)
    if run is NATURAL:
        start = "orbitals: natural orbitals of the exact ground state"
        assert any(choice.startswith(start) for choice in unbroken["choices"])
    else:
        assert len(unbroken["history"]) > 1
        assert all(row["standard_error"] <= 0.001 for row in unbroken["observables"])
    at = Shell(stack_environ).at(emulator, f"{name}-killed")
    killed = at.shell.with_variables(HYBRIDLOOP_CRASH_AT=point).run(*run, "--run-key", f"{name}-killed")
    assert killed.returncode == -9
    resumed = at.shell.json_inside("runs", "resume", f"{name}-killed")
    assert resumed["resumed"]
    assert {each: resumed[each] for each in SAME} == {each: unbroken[each] for each in SAME}
    assert at.session_statuses() == ["Succeeded"]
