"""Runs that are killed on one processor and resumed on another end with an answer.

The kernels of OpenBLAS stand for processors: they differ in the last digits of all that linear algebra computes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.anywhere import KERNELS, conditions_of, missing
from tests.cli.shell_helpers import connection_string
from tests.conftest import Emulator
from tests.long_form import long_form, short_or_long
from tests.waiting import PATIENCE_S

FEW = {"ansatz": "hardware-efficient", "shots": 200, "precision": 0.02, "search": "measured", "max_rounds": 40}
METHODS = {"cobyla": 20, "tnc": 34}  # SciPy's, and the rounds after which the run is killed; both are elsewhere by then
METHODS |= short_or_long({}, {"cobyqa": 34, "nelder-mead": 34, "powell": 34, "bfgs": 9, "l-bfgs-b": 9, "slsqp": 9})
RUNS: Mapping[str, tuple[str, Any, int, Mapping[str, Any]]] = {
    **{name: ("vqe", "h2", kept, {**FEW, "optimizer": f"scipy:{name}"}) for name, kept in METHODS.items()},
    "capped": ("vqe", "h2", 5, {**FEW, "optimizer": "scipy:cobyla", "max_shots": 6000}),
    "rotosolve": ("vqe", "h2", 9, {**FEW, "optimizer": "rotosolve"}),
    "trust-region": ("vqe", "h2", 3, FEW),
    "simulated": ("vqe", "heh+", 1, {"precision": 0.003}),
    "adapt": ("adapt", "heh+", 1, {"precision": 0.01}),
    "levels": ("levels", "h2", 1, {"precision": 0.01}),
    "scan": ("scan", ("h2-0.3", "h2"), 1, {"precision": 0.01}),
    "qaoa": ("qaoa", "petersen", 9, {"search": "measured", "optimizer": "scipy:cobyla", "shots": 200}),
    "rqaoa": ("rqaoa", "petersen", 1, {}),
    "sqd": ("sqd", "h4", 1, {"max_subspace": 20}),
}
PROGRAM = "from tests.chaos.test_another_processor import make_runs; make_runs()"
PAIRS = [(one, other) for one in KERNELS for other in KERNELS if one != other]


def make_runs() -> None:
    """Make or resume all runs, each in a forked process; print how each ended: the child process of a kernel."""
    ended = {}
    for name in RUNS:
        reader, writer = os.pipe()
        if (pid := os.fork()) == 0:
            try:
                os.write(writer, json.dumps(_run(name)).encode())
            except BaseException as error:  # of any kind: how each run ended is reported
                os.write(writer, json.dumps(f"{type(error).__name__}: {error}").encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answer:
            text = answer.read()
        _, status = os.waitpid(pid, 0)
        ended[name] = json.loads(text) if text else -os.waitstatus_to_exitcode(status)
    print(json.dumps(ended))


def _run(name: str) -> tuple[str, bool]:
    """Make or resume a run; return its status, and whether its value follows from its counts on this processor."""
    import hybridloop as hl
    from hybridloop.journal import open_journal
    from hybridloop.reports.verify import verify_run
    from hybridloop.runs.stored_run import load_run

    algorithm, problem, rounds, options = RUNS[name]
    if os.environ.get("KILLED"):
        os.environ["HYBRIDLOOP_CRASH_AT"] = f"commit.after:{rounds}"
    result = getattr(hl, algorithm)(problem, seed=7, run_key=name, host="plain", **options)
    with open_journal() as journal:
        verified = verify_run(load_run(journal, name))
    return result.status, verified.agrees


def on_kernel(kernel: str, environ: Mapping[str, str], **more: str) -> dict[str, Any]:
    """Return the ends of all runs on a kernel."""
    own = {**os.environ, **environ, **more, "OPENBLAS_CORETYPE": kernel, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], env=own, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    ended: dict[str, Any] = json.loads(done.stdout)
    print(done.stderr)
    return ended


@long_form
@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), short_or_long([("Haswell", "Prescott")], PAIRS))
def test_a_run_that_is_killed_on_one_processor_ends_with_an_answer_on_another(
    one: str, other: str, emulator: Emulator, tmp_path: Path
) -> None:
    for kernel in (one, other):
        if reason := missing(conditions_of(list(KERNELS).index(kernel) + 1)[0]):
            pytest.skip(reason)
    name = f"processors-{one}-{other}".lower()
    environ = {
        "HYBRIDLOOP_JOURNAL": f"sqlite:///{tmp_path}/journal.db",
        "AZURE_QUANTUM_CONNECTION_STRING": connection_string(emulator.endpoint, emulator.api_key, name),
    }
    killed = on_kernel(one, environ, KILLED="yes")
    assert killed == dict.fromkeys(RUNS, signal.SIGKILL)
    ended = on_kernel(other, environ)
    answers = [["converged", True], ["measured", True], ["finished", True]]
    assert {name: end for name, end in ended.items() if end not in answers} == {}
    assert {each.details.status for each in emulator.workspace(name).list_sessions()} == {"Succeeded"}
    assert emulator.admin("ledger")["duplicates"]["count"] == 0
