"""Commands and Python snippets of README and guides run successfully."""

from __future__ import annotations

import contextlib
import math
import re
import shlex
import shutil
import signal
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hybridloop.journal.storage.location import Location
from hybridloop.runtime.crash_points import VARIABLE
from tests.cli.shell_helpers import Shell, environment, run_in_process
from tests.paths import ROOT
from tests.prefect_server import own_environ

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OF_THE_SERVICE = ROOT / "docs" / "emulator.md"  # its snippet needs its own service: tests/emulator runs it
OF_A_CLUSTER = "prefect_dask"  # tests/flows/test_cluster.py runs it as a program
OF_DEPLOYING = ROOT / "docs" / "deploy.md"  # its snippet needs a workspace: tests/deployments runs it
SHOWN = re.compile(
    r"^(?:    |\$ )(?P<environ>(?:[A-Z_]+=\S+ )*)(?:\.venv/bin/)?hybridloop (?P<arguments>[^#\n]+)", re.MULTILINE
)
INLINE = re.compile(r"`hybridloop (?P<arguments>[a-z][^`…]*)`")
JOURNAL = re.compile(r"`(?P<url>(?:sqlite|postgresql)[a-z+]*://[^`]+)`")
EXTRA = re.compile(r"`hybridloop\[(?P<extra>[a-z]+)\]`")
FILE = re.compile(r"^```[a-z]+ (?P<name>[a-z]+\.[a-z]+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN_OUTPUT = re.compile(r"\$[^\n]*\n(?:(?!\$ |```)[^\n]*\n)*")  # a command and the lines below it
NUMBER = re.compile(r"([-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]\d+)?(?![\w]))")
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z")
OF_ALL_PAGES = "emulator ledger"  # it counts the jobs of all pages, which share a service here
SNIPPETS_OF = [page for page in PAGES if page not in (OF_THE_SERVICE, OF_DEPLOYING)]
SERVERS = (
    "emulator start",
    "metrics --listen",
    "worker",
)  # these run until they are stopped; the service's own tests start it with every option
IN_EVERY_RUN = ("README",)  # the main job, a cap, a resume, a report; the others take a minute
QUICK = pytest.mark.claim("A run that was killed or stopped resumes from its recorded counts")
ENDS_WITH_NOISE = ("--max-cost 200HQC", "--max-jobs 2", "--max-shots 1000")  # of a machine, or of few shots
ENDS_EARLY = ("--max-jobs 3", "--detach-after 0.001")  # the next command resumes it


def found(pattern: re.Pattern[str], group: str | int, pages: Sequence[Path] = PAGES) -> list[str]:
    matches = [match.group(group).strip() for page in pages for match in pattern.finditer(page.read_text("utf-8"))]
    return list(dict.fromkeys(matches))


def run_commands(page: Path, environ: Mapping[str, str], folder: Path) -> None:
    """Run the commands that a page shows in order, in this process unless a command kills its own."""
    shutil.copy(ROOT / "tests" / "data" / "H2_0.735.fcidump", folder / "molecule.fcidump")
    for shown in FILE.finditer(page.read_text("utf-8")):
        (folder / shown["name"]).write_text(shown["text"], "utf-8")
    own = {**environ, "HYBRIDLOOP_JOURNAL": f"sqlite:///{folder}/journal.db"}
    for shown in SHOWN.finditer(page.read_text("utf-8")):
        command, variables = shown["arguments"].strip(), shown["environ"]
        if command.startswith(SERVERS):
            continue
        arguments = shlex.split(command)
        if VARIABLE in variables:
            named = dict(variable.split("=", 1) for variable in variables.split())
            with contextlib.chdir(folder):
                killed = Shell({**own, **named}).run(*arguments)
            assert killed.returncode == -signal.SIGKILL, (command, killed.stderr)
            continue
        assert not variables
        with contextlib.chdir(folder):
            done = run_in_process(own, *arguments)
        code = 3 if command.endswith(ENDS_EARLY) else 4 if command.endswith(ENDS_WITH_NOISE) else 0
        assert done.code == code, (command, done.err)
        assert done.out or done.err
        if shown[0].startswith("$") and command != OF_ALL_PAGES:
            check_shown_output(page, shown, f"{done.err}\n{done.out}")


def check_shown_output(page: Path, shown: re.Match[str], output: str) -> None:
    """Compare the lines that a page shows below a command with what it printed.

    Words must be the same. A search follows the last digits of its processor's BLAS, so that numbers are compared
    where none came before them: those of the first round.
    """
    printed = TIME.sub("TIME", " ".join(output.split()))
    _, *lines = SHOWN_OUTPUT.findall(shown.string, shown.start())[0].splitlines()
    for line in (" ".join(TIME.sub("TIME", each).split()) for each in lines if each.strip() and "…" not in each):
        assert any_agrees(line, printed), (page.name, shown["arguments"], line, printed)


def any_agrees(line: str, printed: str) -> bool:
    """Return whether a line was printed, with numbers within a thousandth where they have to agree."""
    pattern = NUMBER.pattern.join(re.escape(words) for words in re.split(NUMBER.pattern.replace("(", "(?:", 1), line))
    given = NUMBER.findall(line)
    is_exact = line.startswith("round 1 ")
    return any(
        not is_exact or all(math.isclose(number(a), number(b), rel_tol=1e-3) for a, b in zip(given, each, strict=True))
        for each in (match.groups() for match in re.finditer(pattern, printed))
    )


def number(text: str) -> float:
    return float(text.replace(",", ""))


def run_snippet(snippet: str, environ: Mapping[str, str], folder: Path) -> None:
    """Run a snippet as a program's main module; a deprecation warning that it causes is an error."""
    own = {**environ, "HYBRIDLOOP_JOURNAL": f"sqlite:///{folder}/journal.db"}
    with environment(own), contextlib.chdir(folder), warnings.catch_warnings():
        warnings.filterwarnings("error", category=DeprecationWarning, module="__main__")
        exec(compile(snippet, "snippet", "exec"), {"__name__": "__main__"})


@pytest.mark.usefixtures("forked_points")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=QUICK if page.stem in IN_EVERY_RUN else pytest.mark.slow, id=page.stem)
        for page in PAGES
        if any(not each.startswith(SERVERS) for each in found(SHOWN, "arguments", [page]))
    ],
)
def test_the_commands_of_a_page_succeed_in_order(
    page: Path, stack_environ: Mapping[str, str], prefect_server: object, tmp_path: Path
) -> None:
    run_commands(page, stack_environ, tmp_path)


@pytest.mark.parametrize(
    "command", [each for each in found(INLINE, "arguments") if each not in found(SHOWN, "arguments")]
)
def test_a_named_command_exists(command: str, tmp_path: Path) -> None:
    words = [word for word in shlex.split(command) if not word.isupper() and word != "--help"]
    done = run_in_process(own_environ(tmp_path), *words, "--help")
    assert done.code == 0, done.err
    path = [word for word in words if not word.startswith("-")]
    usage = re.search(r"Usage: hybridloop ([a-z -]+?) (?:\[|COMMAND)", done.out)
    assert usage
    assert usage[1].split() == path[: len(usage[1].split())]  # what follows are arguments and values


@pytest.mark.slow
@pytest.mark.parametrize(
    "snippet",
    [
        pytest.param(each, id=f"snippet-{k}")
        for k, each in enumerate(found(SNIPPET, 1, SNIPPETS_OF))
        if OF_A_CLUSTER not in each
    ],
)
@pytest.mark.usefixtures("prefect_server", "forked_points")
def test_a_shown_snippet_runs(snippet: str, stack_environ: Mapping[str, str], tmp_path: Path) -> None:
    run_snippet(snippet, stack_environ, tmp_path)


@pytest.mark.parametrize("url", found(JOURNAL, "url"))
def test_a_shown_journal_url_is_valid(url: str) -> None:
    location = Location.parse(url)
    assert location.is_file == url.startswith("sqlite")
    assert "password" not in f"{location} {location!r}"


@pytest.mark.parametrize("extra", found(EXTRA, "extra"))
def test_a_named_extra_exists(extra: str) -> None:
    assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_the_pages_show_commands_and_snippets() -> None:
    assert len(found(SHOWN, "arguments")) >= 5
    assert len(found(SNIPPET, 1, SNIPPETS_OF)) >= 2
    assert len(found(JOURNAL, "url")) >= 2
    assert found(EXTRA, "extra")
