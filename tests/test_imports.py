"""Importing the package and asking for help stay quick: they load none of the heavy libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("azure", "matplotlib", "numpy", "prefect", "qiskit", "scipy", "sqlalchemy")

# Lists what was loaded on standard error, whatever the command does, and however it leaves.
LISTED = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
COMMAND = LISTED + "from hybridloop.cli import main; sys.argv = ['hybridloop', *sys.argv[1:]]; main()"


def _run(code: str, *arguments: str) -> tuple[str, set[str]]:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (modules,) = done.stderr.splitlines()  # nothing else was said there
    return done.stdout, {name.partition(".")[0] for name in modules.split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    out, loaded = _run(LISTED + "import hybridloop; hybridloop.__all__")
    assert out == ""
    assert "hybridloop" in loaded
    assert loaded.isdisjoint((*HEAVY, "pydantic", "typer"))


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("run", "vqe", "--help"), ("sessions", "--help"), ("emulator", "start", "--help"), ("--version",)],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    out, loaded = _run(COMMAND, *arguments)
    assert out.strip()
    assert "hybridloop" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_public_functions_are_there_when_they_are_used() -> None:
    out, _ = _run(
        LISTED + "import hybridloop as hl; print(*(callable(getattr(hl, n)) for n in ('vqe', 'open_session')))"
    )
    assert out == "True True\n"


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    out, _ = _run(LISTED + "import hybridloop as hl; print(hasattr(hl, 'session'))")
    assert out == "False\n"
