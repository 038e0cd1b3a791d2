"""The first ring on other machines: a run for each kernel of BLAS, with a quarter of the conditions of users each.

`python -m tests.anywhere 1` makes the first of the four combined runs, `today` that of the day, `all` all of them.
Each runs `make test` in a new clone, then the tests of kills, replays and signals. A test that fails is run again with
fewer conditions, and those that it takes to fail are named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from tests.paths import ROOT, installed_python

FILES = (
    "tests/flows/test_killed_and_resumed.py",
    "tests/tasks/submission/test_replay.py",
    "tests/runtime/test_signals.py",
    "tests/cli/test_signals.py",
)
KERNELS = {"Prescott": "pni", "Sandybridge": "avx", "Haswell": "avx2", "Zen": "avx2"}  # and the processor's flag for it
PYTHONS = ("3.13", "3.12")
MOST_RERUN = 10  # of the tests that failed


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of a machine: a command that sets it, variables, or a place and an interpreter of the checkout."""

    name: str
    prefix: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""  # of the checkout and the home
    pythons: tuple[str, ...] = ()  # of which the first that is found is taken
    busy: int = 0  # processes that take all the time that they get


def _shell(line: str) -> tuple[str, ...]:
    """Return a command that runs what follows it in a shell's line, as `"$@"`."""
    return ("sh", "-c", line, "sh")


NOT_ROOT = ("unshare", "--map-user=1000", "--map-group=1000", "--") if os.geteuid() == 0 else ()
COMBINATIONS: tuple[tuple[Condition, ...], ...] = (
    (
        Condition("SIGINT, SIGHUP and SIGPIPE are ignored", _shell('trap "" INT HUP PIPE; exec "$@"')),
        Condition("no terminal, and a closed standard input", _shell('exec setsid --wait "$@" <&-')),
    ),
    (
        Condition("LC_ALL=C", environ={"LC_ALL": "C"}),
        Condition("umask 077", _shell('umask 077; exec "$@"')),
        Condition("a path with blanks and umlauts", folder="ein Prüfstand für Läufe"),
    ),
    (
        Condition("a user that is not root", NOT_ROOT),
        Condition("a home that can't be written", (*NOT_ROOT, *_shell('chmod 500 "$HOME"; exec "$@"'))),
        Condition("TZ=Asia/Kathmandu", environ={"TZ": "Asia/Kathmandu"}),
    ),
    (
        Condition("four busy processes", busy=4),
        Condition(f"Python {' or '.join(PYTHONS)}", pythons=PYTHONS),
    ),
)


def conditions_of(number: int) -> tuple[Condition, ...]:
    """Return the conditions of a combined run, from 1; the first is its kernel of BLAS."""
    kernel = list(KERNELS)[number - 1]
    return (Condition(f"BLAS kernel {kernel}", environ={"OPENBLAS_CORETYPE": kernel}), *COMBINATIONS[number - 1])


def missing(condition: Condition) -> str:
    """Return why a condition can't be had on this machine; empty where it can."""
    if kernel := condition.environ.get("OPENBLAS_CORETYPE"):
        cpu = Path("/proc/cpuinfo")
        flags = cpu.read_text().split() if cpu.exists() else []
        return "" if KERNELS[kernel] in flags else f"the processor has no {KERNELS[kernel]}"
    if condition.pythons and not _python(condition.pythons):
        return "there is no such Python"
    if condition.prefix and shutil.which(condition.prefix[0]) is None:
        return f"there is no {condition.prefix[0]}"
    if condition.prefix[:1] == NOT_ROOT[:1] != () and subprocess.run([*NOT_ROOT, "true"]).returncode:
        return "this system has no user namespaces"
    return ""


def causes(conditions: Sequence[Condition], fails: Callable[[Sequence[Condition]], bool]) -> Sequence[Condition] | None:
    """Return the conditions that it takes for a failure, of those with which something failed.

    They are none if it fails without any, and None if it does not fail again. Each is tried alone; where none suffices,
    those are left out without which it fails as well.
    """
    few: list[tuple[Condition, ...]] = [(), *((each,) for each in conditions)]
    for tried in few:
        if fails(tried):
            return tried
    if not fails(conditions):
        return None
    needed = list(conditions)
    for each in conditions:
        fewer = [other for other in needed if other is not each]
        if fails(fewer):
            needed = fewer
    return needed


class Checkouts:
    """Clones of this checkout with its changes, one for each place and interpreter, in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clones: dict[tuple[str, str], Path] = {}

    def get(self, conditions: Sequence[Condition]) -> tuple[Path, str]:
        """Return the clone for these conditions, and the interpreter for its environment."""
        place = next((each.folder for each in conditions if each.folder), "checkout")
        python = next((_python(each.pythons) for each in conditions if each.pythons), sys.executable)
        if (place, python) not in self._clones:
            clone = self._folder / str(len(self._clones)) / place / "hybridloop"
            subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
            changed = ("ls-files", "-z", "--modified", "--others", "--exclude-standard")
            listed = subprocess.run(["git", "-C", ROOT, *changed], check=True, capture_output=True, text=True).stdout
            for name in listed.split("\0"):
                if (ROOT / name).is_file():
                    (clone / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / name, clone / name)
            self._clones[place, python] = clone
        return self._clones[place, python], python


def _python(versions: Sequence[str]) -> str:
    """Return the first of these versions of Python that this machine has; empty without one."""
    return next((found for version in versions if (found := installed_python(version))), "")


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    with ExitStack() as running:
        for _ in range(processes):
            process = running.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            running.callback(process.kill)
        yield


def run(command: Sequence[str], conditions: Sequence[Condition], clone: Path, report: Path) -> int:
    """Run a command in a clone under conditions, with a home of its own; pytest reports to a file in JUnit's format."""
    home = clone.with_name("home")
    home.mkdir(exist_ok=True)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "VIRTUAL_ENV"))}
    environ |= {"HOME": str(home), "PYTEST_ADDOPTS": f"'--junitxml={report}'"}
    for each in conditions:
        environ |= each.environ
    prefix = [word for each in conditions for word in each.prefix]
    with _busy(sum(each.busy for each in conditions)):
        status = subprocess.run([*prefix, *command], cwd=clone, env=environ).returncode
    home.chmod(0o700)
    return status


def combined(number: int, folder: Path) -> bool:
    """Make a combined run; print what passed and failed, and what each failure takes. Return True if all passed."""
    reasons = [(each, missing(each)) for each in conditions_of(number)]
    conditions = [each for each, reason in reasons if not reason]
    names = "; ".join(each.name + f" (not run: {reason})" * bool(reason) for each, reason in reasons)
    print(f"run {number}: {names}", flush=True)
    checkouts, ring, files = Checkouts(folder), folder / "ring.xml", folder / "files.xml"
    clone, python = checkouts.get(conditions)
    pytest = (".venv/bin/pytest", "-n", "2", "--dist", "loadfile")
    statuses = [
        run(["make", "test", f"PYTHON={python}"], conditions, clone, ring),
        run([*pytest, "-m", "not claim", *FILES], conditions, clone, files),
    ]
    print(f"run {number}: make test: {counts(ring)}; kills, replays, signals: {counts(files)}", flush=True)

    def fails(name: str, fewer: Sequence[Condition]) -> bool:
        own, interpreter = checkouts.get(fewer)
        run(["make", "-s", ".venv/ready", f"PYTHON={interpreter}"], (), own, folder / "none.xml")
        return run([*pytest, "-q", name], fewer, own, folder / "again.xml") != 0

    for name in [*failures(ring), *failures(files)][:MOST_RERUN]:
        found = causes(conditions, lambda fewer, name=name: fails(name, fewer))  # type: ignore[misc]
        needed = "not again" if found is None else " with ".join(["again", *(each.name for each in found)])
        print(f"run {number}: {name} failed, and {needed}", flush=True)
    return not any(statuses)


def failures(report: Path) -> list[str]:
    """Return the ids of the tests that failed, from a report in JUnit's format."""
    if not report.exists():
        return []
    cases = ElementTree.parse(report).iter("testcase")
    failed = [each for each in cases if each.find("failure") is not None or each.find("error") is not None]
    return [f"{str(each.get('classname')).replace('.', '/')}.py::{each.get('name')}" for each in failed]


def counts(report: Path) -> str:
    """Return how many tests passed and failed, from a report in JUnit's format."""
    if not report.exists():
        return "no test ran"
    suite = next(ElementTree.parse(report).iter("testsuite"))
    tests, failed, errors, skipped = (int(suite.get(each, 0)) for each in ("tests", "failures", "errors", "skipped"))
    return f"{tests - failed - errors - skipped} passed, {failed + errors} failed, {skipped} skipped"


def main(which: str) -> int:
    """Make the combined runs that were asked for; return 1 if a test failed."""
    today = datetime.now(UTC).timetuple().tm_yday % len(KERNELS) + 1
    numbers = range(1, len(KERNELS) + 1) if which == "all" else [today if which == "today" else int(which)]
    passed = []
    for number in numbers:
        with tempfile.TemporaryDirectory(prefix="anywhere-", ignore_cleanup_errors=True) as folder:
            passed.append(combined(number, Path(folder)))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "all"))
