"""Fixtures shared by all tests: a real emulator in its own process, started as the pytest plug-in starts it."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from hypothesis import settings

from hybridloop.emulator.pytest_plugin import SUBSCRIPTION, Emulator, running_emulator
from hybridloop.targets import known_targets
from tests.forked_processes import ForkedPython
from tests.long_form import IS_LONG

if TYPE_CHECKING:
    from azure.quantum import Workspace

    from hybridloop.journal import Journal
    from hybridloop.runs.stored_run import StoredRun

# assertions in the helper modules are rewritten, too
pytest.register_assert_rewrite(
    *(f"tests.{path.stem}" for path in Path(__file__).parent.iterdir() if path.is_dir() or "_helpers" in path.stem)
)

# the time of an example depends on the machine's load
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# a shell's `&` and nohup start tests with signals ignored, which all processes that they start would inherit
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)

__all__ = ["SUBSCRIPTION", "Emulator", "running_emulator"]


class Died(BaseException):
    """Stand-in for the death of a process."""


@pytest.fixture(scope="session")
def state_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Set a state folder in place of the user's, which is not there, and leave their workspace out."""
    home = tmp_path_factory.mktemp("user") / "state"
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AZURE_QUANTUM_")]:
            patch.delenv(name)
        patch.setenv("HYBRIDLOOP_HOME", str(home))
        yield home


@pytest.fixture(autouse=True)
def _user_state_untouched(state_of_the_user: Path) -> Iterator[None]:
    """Check that a test has started no stack of the user's and written nothing to their journal."""
    yield
    used = {path.name for path in state_of_the_user.glob("*")} - {"simulations", "plans", "integrals"}
    for name in used:  # so that the next test does not fail for it, too
        shutil.rmtree(state_of_the_user / name, ignore_errors=True)
        (state_of_the_user / name).unlink(missing_ok=True)
    assert not used, "the test used the user's own state; see `prefect_server` and `journal`"


@pytest.fixture(autouse=True)
def _shared_services_as_before(request: pytest.FixtureRequest) -> Iterator[None]:
    """Withdraw the faults and the states of targets that a test has set at services that all tests share."""
    names = {"emulator", "azure_quantum_emulator"} & set(request.fixturenames)
    services = [(service, service.admin("targets")) for service in map(request.getfixturevalue, names)]
    yield
    for service, targets in services:
        service.admin("faults", {"rules": []})
        changed = [name for name, state in service.admin("targets").items() if state != targets[name]]
        if changed:
            service.admin("targets", dict.fromkeys(changed))


@pytest.fixture(autouse=True)
def _no_qsharp_left() -> Iterator[None]:
    """Drop the process's one Q# interpreter: its target profile and operations would be another test's, too.

    It has 40 MB, and is in circles of references.
    """
    yield
    module = sys.modules.get("qdk._interpreter")
    if module and vars(module)["_default_context"] is not None:
        vars(module)["_default_context"] = None
        gc.collect()


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """Return one emulator for all tests: in memory, real clock, seed 0; every test takes a workspace of its own."""
    with running_emulator() as running:
        yield running


@pytest.fixture
def workspace(emulator: Emulator) -> Workspace:
    """Return a workspace of the test's own at the emulator."""
    return emulator.workspace()


@contextmanager
def unavailable(emulator: Emulator, target: str) -> Iterator[None]:
    """Make a target unavailable for a block."""
    emulator.admin("targets", {target: {"availability": "Unavailable"}})
    try:
        yield
    finally:
        emulator.admin("targets", {target: None})


@pytest.fixture
def job_per_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each point a job of its own on the default target too, in this process and in those that it starts."""
    monkeypatch.setenv("HYBRIDLOOP_BATCHING", "off")
    unbatched = {name: replace(target, batches=False) for name, target in known_targets().items()}
    monkeypatch.setattr("hybridloop.targets.known_targets", lambda: unbatched)


@pytest.fixture(scope="module")
def forked_points() -> Iterator[list[ForkedPython]]:
    """Fork the processes for points of sweeps that this process leads; return those started."""
    from hybridloop.flows.sweep_execution import process_pool

    started: list[ForkedPython] = []

    def start(*command: Any, **options: Any) -> ForkedPython:
        started.append(ForkedPython(*command, **options))
        return started[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_pool, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": start}))
        yield started


@pytest.fixture
def start_emulator() -> Iterator[Callable[..., Emulator]]:
    """Return a starter of emulators: `start_emulator("--clock", "virtual")`, `start_emulator(state=folder)`."""
    with ExitStack() as running:
        yield lambda *options, state=None: running.enter_context(running_emulator(*options, state=state))


@pytest.fixture(scope="session")
def bundles(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with bundles of real runs, and their `journal.db`; see `tests.stored_run_helpers`.

    The first worker of pytest-xdist that comes here writes it for all.
    """
    from tests.stored_run_helpers import write_bundles

    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "bundles"
    with FileLock(f"{folder}.lock"), pytest.MonkeyPatch.context() as patch:
        if not folder.exists():
            unfinished = tmp_path_factory.mktemp("bundles")
            patch.setenv("HYBRIDLOOP_JOURNAL", f"sqlite:///{unfinished}/journal.db")
            write_bundles(emulator, unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture
def kept(bundles: Path, request: pytest.FixtureRequest) -> StoredRun:
    """Return one of the bundles by name: `@pytest.mark.parametrize("kept", ["vqe"], indirect=True)`."""
    from hybridloop.reports.bundle.archive import read_bundle

    return read_bundle(bundles / f"{request.param}.zip")[0]


@pytest.fixture
def vqe_run(bundles: Path) -> StoredRun:
    """Return the stored run of the VQE of H2."""
    from hybridloop.reports.bundle.archive import read_bundle

    return read_bundle(bundles / "vqe.zip")[0]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Return an empty journal."""
    from hybridloop.journal import Journal, journal_url

    with Journal(journal_url(tmp_path / "journal.db")) as journal:
        yield journal


@pytest.fixture(scope="module")
def own_journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Set a journal of the test module's own, for runs on the plain host; return its URL."""
    url = f"sqlite:///{tmp_path_factory.mktemp('journal')}/journal.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRIDLOOP_JOURNAL", url)
        yield url


LOG_LINES = 40  # shown of each log


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show, with a failure, the ends of the log files that servers, services and workers wrote meanwhile."""
    report = yield
    factory = item.funcargs.get("tmp_path_factory")
    if report.failed and isinstance(factory, pytest.TempPathFactory):
        own = factory.getbasetemp()
        shared = [each for each in own.parent.iterdir() if not each.name.startswith("popen-")]
        for folder in [own, *(shared if "PYTEST_XDIST_WORKER" in os.environ else [])]:
            for path in sorted(folder.rglob("*.log")):
                if path.stat().st_mtime >= call.start:
                    lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
                    report.sections.append((f"end of {path.relative_to(own.parent)}", "\n".join(lines)))
    return report


DEAR = 4  # slow tests of a file that begins before others


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that have a long form only, unless asked for; begin with the dear files, which else end last."""
    left_out = [] if IS_LONG else [item for item in items if item.get_closest_marker("long_only")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: slow[item.path] < DEAR)  # by files, whose order stays random otherwise


def pytest_collection_finish() -> None:
    """Leave what is imported and collected so far out of later collections of garbage, which take long with it."""
    gc.collect()
    gc.freeze()
