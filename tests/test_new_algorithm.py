"""An algorithm of another package, by two files and an entry point: it has all that ours have."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hybridloop.journal import Journal, journal_url
from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import Shell
from tests.conftest import Emulator
from tests.prefect_server import own_environ, prefect_client
from tests.waiting import PATIENCE_S

DESCRIPTION = '''
from pydantic import Field

from hybridloop.algorithms.choices import GraphObjective
from hybridloop.descriptions import Description, Subject, Value
from hybridloop.settings import RunSettings


class UniformSettings(RunSettings):
    """Settings of random sampling."""

    objective: GraphObjective = Field(GraphObjective.MAX_CUT, description="objective of a graph problem")
    shots: int = Field(100, ge=1, description="shots of each round")
    rounds: int = Field(3, ge=1, description="number of rounds")


UNIFORM = Description(
    name="uniform",
    title="Random sampling",
    summary="Sample random assignments of a binary problem.",
    subject=Subject.BINARY,
    settings=UniformSettings,
    prepare="their_algorithm.uniform:prepare",
    flow="their_algorithm.uniform:uniform",
    example="petersen --seed 7",
    main_options="shots rounds",
    value=Value.OBJECTIVE,
    columns=("round", "best"),
    table_title="Best assignments",
    plots={"histogram": "hybridloop.reports.plots.binary:histogram"},
)
'''
ALGORITHM = """
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.estimation.final import FinalMeasurement
from hybridloop.algorithms.optimizers.base import PointEstimate
from hybridloop.algorithms.outcome import Outcome, RoundLog, measured_value
from hybridloop.algorithms.binary.problem import BinaryProblem
from hybridloop.algorithms.qaoa.search import best_assignment
from hybridloop.flows.in_prefect.algorithm_run import algorithm_flow
from hybridloop.preparation.prepared import PlanFacts, PreparedAlgorithm, ProblemFacts
from hybridloop.preparation.binary import read_binary
from their_algorithm.description import UNIFORM


@dataclass(frozen=True, slots=True)
class PreparedUniform(PreparedAlgorithm):
    facts: ProblemFacts
    problem: BinaryProblem
    settings: Any

    def plan_facts(self, *, samples):
        return PlanFacts(self.settings.rounds - 1, 1)

    def measure(self, run_round, on_progress, /):
        number, shots = self.problem.num_variables, self.settings.shots
        circuit = QuantumCircuit(number, number)
        circuit.h(range(number))
        circuit.measure(range(number), range(number))
        log, values, best, table = RoundLog(on_progress), [], None, []
        for round_ in range(1, self.settings.rounds + 1):
            ((counts,),) = run_round([SamplerPub.coerce((circuit, None, shots))])
            best = best_assignment(self.problem, counts.bits, best)
            values += np.repeat(self.problem.objective.energies(counts.bits), counts.counts).tolist()
            estimate = Estimate(float(np.mean(values)), float(np.var(values)) / len(values), len(values))
            phase = "final" if round_ == self.settings.rounds else "search"
            log.add(phase, PointEstimate.of(estimate, np.zeros(0)), 1, 1, shots)
            table.append({"round": round_, "best": best.value})
        return Outcome(
            **measured_value(FinalMeasurement(estimate, is_precise=True), None),
            parameters=(),
            converged=False,
            is_requested=True,
            reason="no search was asked for",
            rounds=round_,
            history=tuple(log.history),
            table=tuple(table),
            best_bitstring=best.bitstring,
            best_value=best.value,
        )


def prepare(problem, settings, seed, target, recorded):
    binary = read_binary(problem, settings.objective)
    mean = binary.objective.offset
    return PreparedUniform(ProblemFacts("", binary.num_variables, 1, mean, lambda: None), binary, settings)


uniform = algorithm_flow(UNIFORM)
"""
RUN = ("run", "uniform", "petersen", "--rounds", "4", "--seed", "7")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder with the package, as a package installer leaves it."""
    files = {
        "their_algorithm/__init__.py": "",
        "their_algorithm/description.py": DESCRIPTION,
        "their_algorithm/uniform.py": ALGORITHM,
        "their_algorithm-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: their-algorithm\nVersion: 1.0\n",
        "their_algorithm-1.0.dist-info/entry_points.txt": "[hybridloop.algorithms]\n"
        "uniform = their_algorithm.description:UNIFORM\n"
        "broken = their_algorithm.nothing:HERE\n"
        "leaves = their_algorithm.leaves:HERE\n"
        "sleeps = their_algorithm.sleeps:HERE\n",
        "their_algorithm/leaves.py": "raise SystemExit(0)\n",
        "their_algorithm/sleeps.py": "import time\ntime.sleep(3600)\n",
    }
    for name, text in files.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "site"


def with_the_package(environ: Mapping[str, str], site: Path, emulator: Emulator) -> Shell:
    """Return a shell of a machine with the package, whose processes are new interpreters."""
    search = os.pathsep.join(filter(None, [str(site), environ.get("PYTHONPATH")]))
    variables = {"PYTHONPATH": search, "HYBRIDLOOP_JOURNAL": journal_url(site / "journal.db")}
    return Shell(environ).with_variables(**variables).at(emulator, "theirs").shell.as_new()


def test_it_is_a_command_with_options_and_a_plan_and_a_broken_one_is_named(
    site: Path, emulator: Emulator, tmp_path: Path
) -> None:
    theirs = with_the_package(own_environ(tmp_path / "home"), site, emulator)
    code = """
import sys
import hybridloop as hl
from hybridloop.cli import main
from hybridloop.descriptions import ALGORITHMS
assert {"uniform", "broken"} < {*ALGORITHMS} and hl.uniform.__self__ is ALGORITHMS["uniform"]
try:
    hl.uniform("petersen", shots=0)
except hl.errors.InputError as error:
    print(error)
try:
    hl.plan("broken", "petersen")
except hl.errors.InputError as error:
    print(error)
sys.argv = ["hybridloop", "plan", "uniform", "petersen", "--shots", "50", "--seed", "7", "--json"]
main()
"""
    done = theirs.run_python("-c", code)
    assert done.returncode == 0, done.stderr
    short, broken, *document = done.stdout.splitlines()
    assert short == "shots must be at least 1, got 0."
    assert broken.startswith("algorithm: 'broken' of their-algorithm can't be loaded (ModuleNotFoundError")
    plan = json.loads("\n".join(document))
    assert (plan["rounds"]["expected"], plan["shots"]["expected"]) == (3, 150)


@pytest.mark.slow
def test_a_package_is_imported_where_it_is_named_and_can_neither_end_nor_stall_another_command(
    site: Path, stack_environ: dict[str, str], emulator: Emulator
) -> None:
    theirs = with_the_package(stack_environ, site, emulator)
    for command in ("runs list", "cost", "status", "limit list", "problems", "run --help", "run vqe --help", "config"):
        done = theirs.run(*command.split())
        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout or done.stderr, command
    assert "sleeps" in theirs.run("run", "--help").stdout
    ran = theirs.json("run", "vqe", "h2", "--seed", "7", "--precision", "0.05", "--run-key", "ours")
    assert ran["status"] in ("converged", "finished")
    for named in ("leaves", "broken"):
        refused = theirs.run("run", named, "petersen")
        assert refused.returncode == 2
        assert f"'{named}' of their-algorithm can't be loaded" in refused.stderr
        assert "Repair or remove their-algorithm." in refused.stderr
    with theirs.start("plan", "sleeps", "petersen") as waiting:
        assert waiting.stderr is not None
        assert "their_algorithm.sleeps:HERE of their-algorithm is still being imported" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(PATIENCE_S) == 130


@pytest.mark.slow
def test_it_runs_resumes_after_a_kill_reports_and_is_deployed(
    site: Path, stack_environ: dict[str, str], prefect_server: PrefectServer, emulator: Emulator, tmp_path: Path
) -> None:
    theirs = with_the_package(stack_environ, site, emulator)
    killed = theirs.with_variables(HYBRIDLOOP_CRASH_AT="put.after:3").run(*RUN, "--run-key", "killed")
    assert killed.returncode == -signal.SIGKILL
    resumed = theirs.json("runs", "resume", "killed")
    unbroken = theirs.json(*RUN, "--run-key", "unbroken")
    assert (resumed["resumed"], resumed["table"], resumed["value"]) == (True, unbroken["table"], unbroken["value"])
    assert (unbroken["status"], unbroken["jobs"]["total"], resumed["jobs"]["total"]) == ("measured", 4, 4)
    report = theirs.run("runs", "report", "killed", "--output", str(tmp_path / "report.html"))
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Random sampling" in page
    assert "Best assignments" in page
    assert theirs.run("runs", "verify", "killed").returncode == 0
    removed = theirs.with_variables(PYTHONPATH=stack_environ.get("PYTHONPATH", ""))
    verified, resumed_again = (removed.run("runs", command, "killed") for command in ("verify", "resume"))
    assert (verified.returncode, resumed_again.returncode) == (2, 2)
    assert "nothing of run 'killed' is derived: its algorithm 'uniform' is not installed" in verified.stderr
    assert "Install what it was started with, then resume it." in resumed_again.stderr
    assert removed.json("runs", "show", "killed")["value"] == unbroken["value"]
    assert removed.run("runs", "show", "killed").returncode == 0
    # a deployment names the flow
    with prefect_client(prefect_server) as client, pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        from their_algorithm.uniform import uniform  # type: ignore[import-not-found]

        flow = client.create_flow(uniform)
        deployed = client.create_deployment(flow, "nightly", entrypoint="their_algorithm.uniform.uniform")
        parameters: dict[str, Any] = {"problem": {"name": "petersen"}, "settings": {"seed": 7, "rounds": 4}}
        run = client.create_flow_run_from_deployment(deployed, parameters=parameters)
        variables = {**prefect_server.environment, "PREFECT__FLOW_RUN_ID": str(run.id)}
        done = theirs.with_variables(**variables).run_python("-m", "prefect.engine")  # as a worker does
        assert done.returncode == 0, done.stderr
    with Journal(theirs.environ["HYBRIDLOOP_JOURNAL"]) as journal:
        record = journal.run_by_flow_run(str(run.id))
        assert record is not None
        assert record.result is not None
        assert json.loads(json.dumps(record.result))["value"] == unbroken["value"]
        assert all(row.ended_at is not None for each in journal.runs() for row in journal.sessions(each.uid))
    sys.modules.pop("their_algorithm.uniform", None)
