"""Every wait of the product has an end: a bound of `runtime/waits.py`, or an event that is listed here."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import hybridloop.runtime.waits as waits
from tests.paths import ROOT

PACKAGE = ROOT / "hybridloop"
WAITING = {"wait", "join", "acquire", "communicate"}  # of threads, processes, events and locks
REQUESTING = {"httpx", "requests", "subprocess"}
BOUNDS = {"timeout", "timeout_s", "blocking"}
ENDED_BY = {  # what ends a wait without a bound
    "algorithms/optimizers/own.py": "the step of another optimizer of this process, which computes",
    "algorithms/optimizers/scipy.py": "the other half of the pair: the optimizer asks, or its run answers or is closed",
    "api/progress.py": "a drawing thread, whose event is set before",
    "cli/progress.py": "a thread that prints one line more",
    "compiler/qsharp_process.py": "a process that was killed, or has closed its output",
    "flows/in_prefect/beside.py": "the caller's thread, which always puts an end",
    "flows/lifecycle/acquire_session.py": "the failure policy's wait, which has a limit",
    "flows/lifecycle/begin.py": "a timer that is cancelled, or adds one row",
    "flows/sweep_execution/worker_process.py": "the sweep's process, or the end of its pipe",
    "journal/held_run.py": "one renewal of a lease, which has the journal's bounds",
    "journal/storage/migrate.py": "the bound that the lock has been made with",
    "local_stack/worker.py": "a signal: a worker runs until then",
    "runtime/thread_pool.py": "the pool's end",
    "setup_checks/live/closing.py": "a process that was killed",
    "tasks/subspaces/worker.py": "the end of the pipe from the run's process",
}


def unbounded(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        of, called, named = ast.unparse(node.func.value), node.func.attr, {each.arg for each in node.keywords}
        is_wait = called in WAITING and not node.args
        is_queue = called == "get" and not node.args and not node.keywords and of in queues(tree)
        is_request = of in REQUESTING and called in {"run", "call", "check_output", "get", "post", "stream", "Client"}
        if (is_wait or is_queue or is_request) and not named & BOUNDS:
            yield ast.unparse(node)


def queues(tree: ast.Module) -> set[str]:
    """Return the names that are queues in a module, by what they are made of or annotated with."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation and "Queue" in ast.unparse(node.annotation):
            found.add(ast.unparse(node.target) if isinstance(node, ast.AnnAssign) else node.arg)
        elif isinstance(node, ast.Assign) and "Queue" in ast.unparse(node.value):
            found |= {ast.unparse(target) for target in node.targets}
    return found


def test_each_wait_has_a_bound_or_is_listed_with_what_ends_it() -> None:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        calls = list(unbounded(ast.parse(path.read_text(encoding="utf-8"))))
        if calls and not name.startswith("emulator/"):  # a service, which waits for requests
            found[name] = calls
    assert found.keys() == ENDED_BY.keys(), {name: found.get(name) for name in found.keys() ^ ENDED_BY.keys()}


def test_a_wait_without_an_end_is_found() -> None:
    text = "inbox: SimpleQueue[int] = SimpleQueue()\ninbox.get()\nprocess.wait()\nhttpx.get(url)\nprocess.wait(3)\n"
    assert list(unbounded(ast.parse(text))) == ["inbox.get()", "process.wait()", "httpx.get(url)"]


def test_each_bound_is_used_and_is_one_that_a_user_accepts() -> None:
    texts = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path.name != "waits.py"]
    bounds = {name: value for name, value in vars(waits).items() if name.endswith("_S")}
    assert [name for name in bounds if not any(name in text for text in texts)] == []
    assert waits.SILENCE_SAID_S + waits.CONNECT_TIMEOUT_S < 40.0
    assert waits.SERVICE_SILENT_S + waits.READ_TIMEOUT_S < 120.0
    assert {name for name, value in bounds.items() if value > 120.0} == {
        "JOB_SILENT_S",
        "SLOT_OUTAGE_S",
        "RESUMED_WITHIN_S",
        "JOURNAL_AWAY_S",
        "SWEEP_OUTAGE_S",
    }  # in them a run goes on, or a night waits for an outage's end
