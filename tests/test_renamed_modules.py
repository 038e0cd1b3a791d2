"""Former import paths and names still lead to today's objects, with a FutureWarning."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybridloop.algorithms.circuits.ansatz import hardware_efficient
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.registry import OptimizerSpec, SearchSettings
from hybridloop.renamed_modules import load_renames
from tests.paths import ROOT

MODULES, NAMES = load_renames()["modules"], load_renames()["names"]

# public names at the paths that the documentation showed, as long as the thing itself still exists
FORMER = {
    "algorithms.optimizer": (
        "MOST_REPEATS JSON Reading Stop Optimizer AsksOverlaps checked_start checked_frequencies end_without_angles "
        "lost_beyond_repair one_more_repeat"
    ),
    "algorithms.searches": "ENDINGS Outset Search SEARCHES",
    "algorithms.rounds": "Counts Lost Unreadable Measured RunRound CountedRounds points_of run_round_on",
    "algorithms.outcome": "Table Progress RoundLog Outcome",
    "api": "keep_house",
    "environment": "workspace_called default_workspace prefect",
    "flows.context": "Update TAG OnProgress tasks_untagged workspace_of_run",
    "flows.results": "CHEMICAL_ACCURACY SessionRecord RunResult",
    "flows.settings": (
        "LIMITS MAX_CIRCUIT_BYTES MAX_PROBLEM_BYTES SETTINGS AdaptSettings AllocationName AnsatzName Duration "
        "EnergySettings GroupingName MappingName MitigationName MixerName ObjectiveName OptimizerName PoolName "
        "ProblemText QaoaSettings RqaoaSettings RunKey RunSettings ScanSettings StartName Unattended VqdSettings "
        "VqeSettings WorkspaceName first_difference parse_duration"
    ),
    "sessions.budget": "AMOUNT parse_cost Caps Spending Reservation check_caps without_effect settled Budget",
    "sessions.policy": (
        "FIRST_WAIT_S LONGEST_WAIT_S OnJobFailure OnLostJob OnSessionLost OnTargetDown FailurePolicy wait_before_retry "
        "while_away cautions"
    ),
    "sessions.service_clock": "LOOK_S AWAY_S REJOIN_EVERY_S ServiceClock",
    "sessions.session": "OpenSession open_session",
    "sessions.sorting": "Sorted JOB_ERRORS OWN_ENDINGS TROUBLES transient meaning_of",
    "sessions.workspace": (
        "CONNECTION_VARIABLE LOCAL_SUBSCRIPTION LOCAL_RESOURCE_GROUP LOCAL_WORKSPACE LocalService AzureWorkspace "
        "connect connect_from_environment connection_of identity_of is_local endpoint_of"
    ),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("path", FORMER)
def test_a_former_path_has_all_its_public_names(path: str) -> None:
    module = importlib.import_module(f"hybridloop.{path}")
    missing = [name for name in FORMER[path].split() if not hasattr(module, name)]
    assert missing == []


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in NAMES.items() for name in names])
def test_a_former_name_is_todays_object_with_a_warning_that_names_it(path: str, name: str) -> None:
    module, _, today = NAMES[path][name].rpartition(":")
    module = module or MODULES.get(path, path)
    former = importlib.import_module(path)
    with pytest.warns(FutureWarning, match=f"{path}.{name} is now {module}.{today}"):
        value = getattr(former, name)
    assert value is getattr(importlib.import_module(module), today)


def test_a_former_path_is_announced_once_and_todays_names_there_are_not() -> None:
    code = "import hybridloop.sessions.policy as p; p.FailurePolicy; from hybridloop.sessions.policy import OnLostJob"
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RenamedWarning") == 1
    assert "hybridloop.sessions.policy is now hybridloop.tasks.failure_policy" in done.stderr


@pytest.mark.parametrize("path", ["algorithms.rounds", "algorithms.outcome", "api"])
def test_a_name_that_never_was_is_still_an_attribute_error(path: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'hybridloop.{path}' has no attribute 'nothing'"):
        _ = importlib.import_module(f"hybridloop.{path}").nothing


def test_an_optimizer_plug_in_written_for_the_former_names_works_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plug-in is the example that the guide showed with the former names, letter by letter."""
    (tmp_path / "former_plugin.py").write_text((ROOT / "tests" / "data" / "former_plugin.txt").read_text("utf-8"))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.warns(FutureWarning, match=r"searches\.Outset is now .*\.SearchSettings"):
        plugin = importlib.import_module("former_plugin")
    assert isinstance(plugin.search, OptimizerSpec)
    ansatz = hardware_efficient(2, np.zeros(4))
    minimum = np.linspace(0.2, 0.5, ansatz.num_parameters)
    optimizer: Any = plugin.search.create("compass", SearchSettings(ansatz, is_near=False, seed=7, max_rounds=200))
    while len(points := optimizer.ask()):
        optimizer.tell(points, [Estimate(float(((point - minimum) ** 2).sum()), 1e-12, 100) for point in points])
    assert optimizer.stop.converged
    assert np.allclose(optimizer.best.point, minimum, atol=0.2)
