"""Make the pictures of the README from real runs: `make pictures`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from hybridloop import local_stack as stack
from tests.emulator.browser_helpers import running_browser

IMAGES = Path(__file__).parent / "images"
COLUMNS = 104
WINDOW = (1000, 1420)  # in CSS pixels
RUN = "run vqe heh+ --search measured --initial-point hf --seed 7 --run-key night"
KILLED = {"HYBRIDLOOP_CRASH_AT": "result.after:2"}  # the process sends SIGKILL to itself there
# a picture in a page asks no other host for a font
SVG = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main() -> None:
    """Kill and resume a run in a temporary home and local stack; save pictures of its terminal and report."""
    with tempfile.TemporaryDirectory() as home:
        environ = own_environ(home)
        try:
            run(["up"], environ)
            console = Console(record=True, width=COLUMNS, file=Path(os.devnull).open("w", encoding="utf-8"))
            show(console, RUN, [*run(RUN.split(), {**environ, **KILLED}), "Killed"])
            show(console, "runs resume night", run("runs resume night".split(), environ))
            text = console.export_svg(title="kill -9, then resume", code_format=SVG)
            (IMAGES / "terminal.svg").write_text(text, "utf-8")
            page = Path(home) / "report.html"
            run(["runs", "report", "night", "--output", str(page)], environ)
            photograph(page, IMAGES / "report.png")
        finally:
            stack.down(environ)


def photograph(page: Path, picture: Path) -> None:
    """Save a screenshot of the top of a page, in light mode."""
    with tempfile.TemporaryDirectory() as profile, running_browser(Path(profile)) as window:
        window.prefer("light")
        window.resize(*WINDOW)
        window.open(page.as_uri())
        window.run("document.documentElement.style.scrollbarWidth = 'none'")
        window.picture(picture)


def own_environ(home: str) -> dict[str, str]:
    """Return an environment with all state in `home`, and without the user's servers and workspace."""
    foreign = ("PREFECT_", "AZURE_", "HYBRIDLOOP_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "HYBRIDLOOP_HOME": home, "PREFECT_PROFILES_PATH": f"{home}/profiles.toml", "PYTHONUNBUFFERED": "1"}


def run(arguments: Sequence[str], environ: dict[str, str]) -> list[str]:
    """Run a hybridloop command and return the lines of its output and error output."""
    done = subprocess.run(
        [sys.executable, "-m", "hybridloop", *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.replace(environ["HYBRIDLOOP_HOME"], "…").splitlines()


def show(console: Console, command: str, lines: Sequence[str]) -> None:
    """Print a command and its output as on a terminal."""
    console.print(Text.assemble(("$ ", "green"), (f"hybridloop {command}", "bold")))
    for line in lines:
        console.print(Text(line), no_wrap=True, overflow="ellipsis")


if __name__ == "__main__":
    main()
