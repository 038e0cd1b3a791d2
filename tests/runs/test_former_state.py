"""A journal and a bundle of the version before settings were renamed: its runs are found, verified, resumed, repeated.

`tests/data/former` was written by commit a0dddca on its own local service, in the workspace "former". That service is
gone: unfinished runs submit their remaining jobs to another one, which samples the same counts by their seeds.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from azure.quantum import Workspace

import hybridloop as hl
from hybridloop.api.runs import reproduce, resume
from hybridloop.journal import Journal, open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.reports.bundle.archive import read_bundle
from hybridloop.reports.html import render_report
from hybridloop.reports.verify import verify_run
from hybridloop.runs.lookup import settings_of
from hybridloop.runs.stored_run import load_run
from hybridloop.settings.renamed import with_current_names
from tests.cli.shell_helpers import environment
from tests.conftest import Emulator
from tests.paths import DATA

FORMER = DATA / "former"
SETTINGS = {"shots": 100, "precision": 0.1, "seed": 7}
# the algorithm, problem and settings, under their former names, of each finished run
FINISHED: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "former-vqe": ("vqe", "h2", {"unattended": "parked", **SETTINGS}),
    "former-stop-at": ("rqaoa", "ring-8", {"stop_at": 7, "shots": 100, "seed": 7}),
    "former-starts": ("vqd", "h2", {"starts": 1, "levels": 2, "max_rounds": 3, **SETTINGS}),
    "former-hold": (
        *("vqe", "h2"),
        {"exclusive_hold": "40eHQC", "target": "quantinuum.sim.h2-1e", "max_cost": "9000eHQC", **SETTINGS},
    ),
}
SWEEP = {"name": "former-sweep", "algorithm": "rqaoa", "problems": ["ring-8"], "settings": {"seed": 7, "shots": 100}}


@pytest.fixture
def former(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """Open a copy of the journal, which all runs of the test use."""
    (tmp_path / "journal.db").write_bytes(gzip.decompress((FORMER / "journal.db.gz").read_bytes()))
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", f"sqlite:///{tmp_path}/journal.db")
    with open_journal() as journal:
        yield journal


@pytest.fixture
def workspace(emulator: Emulator) -> Workspace:
    """Return the workspace by which the stored runs are identified."""
    return emulator.workspace("former")


@pytest.fixture
def on_the_stack(prefect_server: PrefectServer, stack_environ: Mapping[str, str]) -> Iterator[None]:
    """Let the public functions use the tests' stack, and restore their changes of the environment."""
    assert prefect_server.is_local
    with environment({**os.environ, "HYBRIDLOOP_HOME": stack_environ["HYBRIDLOOP_HOME"]}):
        yield


def jobs_of(emulator: Emulator, run_uid: str) -> int:
    return int(emulator.admin(f"ledger?run={run_uid}&top=0")["jobs"])


@pytest.mark.parametrize("key", FINISHED)
@pytest.mark.parametrize("names", ["former", "current"])
def test_a_finished_run_gives_its_stored_result_without_a_job(
    key: str, names: str, former: Journal, workspace: Workspace, emulator: Emulator
) -> None:
    algorithm, problem, settings = FINISHED[key]
    record = former.run(key)
    warned: AbstractContextManager[object] = pytest.warns(FutureWarning, match="the former name ends")
    if names == "current":
        settings, warned = with_current_names(settings), nullcontext()
    with warned:
        result = getattr(hl, algorithm)(problem, workspace=workspace, run_key=key, **settings)
    assert record.result is not None
    assert (result.run_key, result.value) == (key, record.result["value"])
    assert jobs_of(emulator, record.uid) == 0


@pytest.mark.parametrize("key", [*FINISHED, "former-whole"])
def test_a_finished_run_verifies_to_the_last_bit(key: str, former: Journal) -> None:
    assert verify_run(load_run(former, key)).differences == ()


def test_limits_that_were_given_under_a_former_name_are_those_of_the_run(former: Journal) -> None:
    settings = settings_of(former, former.run("former-limits"))
    assert (settings.max_jobs, settings.resume_automatically) == (50, "parked")


def test_a_bundle_opens_verifies_and_has_a_report(former: Journal) -> None:
    run, _ = read_bundle(FORMER / "former-vqe.zip")
    assert run.record.result == former.run("former-vqe").result
    assert verify_run(run).agrees
    page = render_report(run)
    assert f"{run.record.uid}" in page
    assert page.count("<svg") == 3


@pytest.mark.slow
@pytest.mark.usefixtures("on_the_stack")
@pytest.mark.parametrize(
    ("key", "same"),
    [
        ("former-killed", "former-whole"),
        ("former-stopped", "former-whole"),
        ("former-limits", "former-whole"),
        ("former-parked", "former-vqe"),
    ],
)
def test_an_unfinished_run_resumes_to_the_result_of_an_uninterrupted_one(
    key: str, same: str, former: Journal, workspace: Workspace, emulator: Emulator
) -> None:
    record, whole = former.run(key), former.run(same).result
    measured = sum(len(round_.jobs) for round_ in former.rounds(record.uid) if round_.complete)
    result = resume(key, {"max_jobs": 1000}, workspace=workspace)
    assert whole is not None
    assert (result.value, result.parameters) == (whole["value"], tuple(whole["parameters"]))
    assert result.status == {"finished": "measured"}.get(whole["status"], whole["status"])  # they asked for few rounds
    assert jobs_of(emulator, record.uid) == result.jobs - measured + result.pings


@pytest.mark.slow
@pytest.mark.usefixtures("former", "on_the_stack")
def test_a_run_is_reproduced(workspace: Workspace) -> None:
    repetition = reproduce("former-stop-at", workspace=workspace)
    assert repetition.identical


@pytest.mark.slow
@pytest.mark.usefixtures("on_the_stack")
def test_an_unfinished_sweep_continues(former: Journal, workspace: Workspace, emulator: Emulator) -> None:
    runs = {run.key: run for run in former.runs() if run.key.startswith("former-sweep-")}
    jobs = {key: 0 if run.status == "converged" else 1 for key, run in runs.items()}  # of the remaining rounds
    assert sorted(jobs.values()) == [0, 0, 1]
    stopped = {"brute_force_below": 6, "max_jobs": 10}  # a limit is no part of a key; this one was 1
    points = [{"brute_force_below": 7}, stopped, {"brute_force_below": 5}]  # the last one is new
    # in processes of this machine: other tests have deployments whose workers are gone soon
    result = hl.sweep({**SWEEP, "points": points, "deployment": "none"}, workspace=workspace)
    assert result.is_complete
    assert [row["run"] in runs for row in result.rows] == [True, True, True, False]
    assert {key: jobs_of(emulator, run.uid) for key, run in runs.items()} == jobs
