"""Optimizer plug-in of another package, chosen by its name: the example of the guide."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridloop.journal import Journal, journal_url
from hybridloop.local_stack import PrefectServer
from tests.cli.shell_helpers import CommandResult, Shell
from tests.conftest import Emulator
from tests.paths import DOCS
from tests.waiting import PATIENCE_S

GUIDE = DOCS / "optimizers.md"
OPTIONS = "--ansatz uccsd --optimizer compass --precision 0.003 --seed 7 --batching off"
RUN = ("run", "vqe", "h2", *OPTIONS.split())
ANSWER = ("value", "standard_error", "interval95", "parameters", "rounds", "shots", "history", "reason")
ENTRIES = """[hybridloop.optimizers]
compass = their_package.compass:spec
broken = their_package.broken:search
nothing = their_package.compass:Compass
rotosolve = their_package.compass:spec
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one installed distribution, as a package installer leaves it."""
    folder = tmp_path_factory.mktemp("site")
    snippets = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (shown,) = (snippet for snippet in snippets if "class Compass" in snippet)
    files = {
        "their_package/__init__.py": "",
        "their_package/compass.py": shown,
        "their_package/broken.py": "import a_module_that_is_missing\n",
        "their_package-2.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: their-package\nVersion: 2.1\n",
        "their_package-2.1.dist-info/entry_points.txt": ENTRIES,
        "their_package-2.1.dist-info/INSTALLER": "pip\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    record = folder / "their_package-2.1.dist-info" / "RECORD"
    record.write_text("".join(f"{name},,\n" for name in files), encoding="utf-8")
    return folder


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the package for this process."""
    monkeypatch.syspath_prepend(str(site))


def answer(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in ANSWER}


@pytest.mark.slow
def test_a_killed_run_with_a_plugin_resumes_to_the_same_answer_where_it_is_installed(
    shell: Shell,
    inside: Callable[..., CommandResult],
    emulator: Emulator,
    prefect_server: PrefectServer,
    site: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = journal_url(tmp_path / "journal.db")
    at = shell.with_variables(HYBRIDLOOP_JOURNAL=journal).at(emulator, "plug-in").shell
    path = f"{site}:{at.environ['PYTHONPATH']}" if "PYTHONPATH" in at.environ else str(site)
    dying = at.with_variables(PYTHONPATH=path, HYBRIDLOOP_CRASH_AT="put.after:8")  # in the second round
    with dying.start(*RUN, "--run-key", "theirs", "--quiet") as process:
        try:
            assert process.wait(PATIENCE_S) == -signal.SIGKILL
        finally:
            process.kill()
    missing = inside(at.environ, "runs", "resume", "theirs")
    assert missing.code == 2
    assert "run 'theirs' was started with settings that can't be read: optimizer must be the name of" in missing.err
    monkeypatch.syspath_prepend(str(site))
    ended = (("runs", "resume", "theirs"), (*RUN, "--run-key", "uninterrupted"))
    results = [inside(at.environ, *command, "--quiet", "--json") for command in ended]
    assert [result.code for result in results] == [4, 4]
    resumed, reference = (json.loads(result.out) for result in results)
    assert answer(resumed) == answer(reference)
    assert (resumed["resumed"], reference["resumed"]) == (True, False)
    # its own rule is met, and the simulation of its angles shows that more was left
    assert reference["reason"].startswith("above the ground state; ")
    assert "no neighbour is lower by more than 0.01 hartree" in reference["reason"]
    with Journal(journal) as kept:
        books = emulator.admin(f"ledger?run={kept.run('theirs').uid}")
    assert (len(books["entries"]), books["duplicates"]["count"]) == (reference["jobs"]["total"], 0)


def test_a_plugin_is_listed_with_its_package(installed: None, run_command: Callable[..., CommandResult]) -> None:
    rows = {row["name"]: row for row in json.loads(run_command("optimizers", "--json").out)}
    assert {"trust-region", "rotosolve", "scipy:l-bfgs-b", "compass"} < rows.keys()
    assert rows["compass"] == {
        "name": "compass",
        "goes_by": "tolerance",
        "package": "their-package 2.1",
        "does": "moves to the lowest neighbour",
    }
    assert rows["rotosolve"]["package"] == "hybridloop"  # a plug-in replaces no optimizer
    assert "can't be loaded (ModuleNotFoundError" in rows["broken"]["does"]
    assert "moves to the lowest neighbour" in run_command("optimizers").out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--optimizer", "compas"], "optimizer must be the name of an optimizer, got 'compas'"),
        (["--optimizer", "compas"], "Did you mean 'compass'?"),
        (["--optimizer", "compass", "--gradient-norm", "0.1"], "gradient-norm: the optimizer compass does not support"),
        (["--optimizer", "compass", "--on-lost-job", "skip"], "--on-lost-job: this optimizer needs every point"),
        (["--optimizer", "broken"], "optimizer: 'broken' of their-package 2.1 can't be loaded (ModuleNotFoundError"),
        (["--optimizer", "nothing"], "optimizer: their_package.compass:Compass of their-package 2.1 is a type"),
    ],
)
def test_an_invalid_plugin_is_refused_before_anything_is_started(
    installed: None, run_command: Callable[..., CommandResult], home: Path, arguments: list[str], complaint: str
) -> None:
    result = run_command("run", "vqe", "h2", *arguments)
    assert result.code == 2
    assert complaint in result.err
    assert not home.exists(), sorted(map(str, home.rglob("*")))


def test_a_plugin_receives_the_settings_that_it_declares(installed: None) -> None:
    from hybridloop.descriptions.vqe import VqeSettings
    from hybridloop.settings import ProblemText
    from tests.preparation_helpers import prepare_vqe

    settings = VqeSettings(optimizer="compass", tolerance=0.125)
    optimizer: Any = prepare_vqe(ProblemText(name="h2"), settings, seed=0).search.make_optimizer()
    assert (type(optimizer).__name__, optimizer.tolerance) == ("Compass", 0.125)


def test_help_imports_no_plugin(installed: None, plain_shell: Shell, site: Path) -> None:
    code = (
        "import atexit, sys; atexit.register(lambda: print('their_package' in sys.modules)); "
        "sys.argv = ['hybridloop', 'run', 'vqe', '--help']; from hybridloop.cli import main; main()"
    )
    path = f"{site}:{plain_shell.environ.get('PYTHONPATH', '')}"
    done = plain_shell.as_new().with_variables(PYTHONPATH=path).run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("False\n")
