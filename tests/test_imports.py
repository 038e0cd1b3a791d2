"""Importing the package and asking for help load no heavy library; a run loads none that it leaves idle."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hybridloop as hl
from hybridloop.errors import InputError

HEAVY = ("azure", "matplotlib", "numpy", "prefect", "qiskit", "scipy", "sqlalchemy")
IDLE = (  # in a run of H2
    *("alembic", "cirq", "jinja2", "matplotlib", "openqasm3", "prefect.cli", "prefect.server", "pyscf", "qsharp"),
    *("scipy.interpolate", "scipy.stats", "sqlalchemy.dialects.postgresql", "sqlalchemy.orm", "uvicorn"),
    *("azure.quantum.cirq", "azure.quantum.qiskit"),
)

# Lists the loaded modules on standard error, for any command and any exit.
LISTED = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
COMMAND = LISTED + "from hybridloop.cli import main; sys.argv = ['hybridloop', *sys.argv[1:]]; main()"


def _run(code: str, *arguments: str, environ: Mapping[str, str] | None = None) -> tuple[str, set[str]]:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stderr
    (modules,) = done.stderr.splitlines()  # there is no other output
    return done.stdout, set(modules.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    out, loaded = _run(LISTED + "import hybridloop")
    assert out == ""
    assert "hybridloop" in loaded
    assert loaded.isdisjoint((*HEAVY, "pydantic", "typer"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("run", "vqe", "--help"),
        pytest.param(("sessions", "--help"), marks=pytest.mark.slow),
        pytest.param(("emulator", "start", "--help"), marks=pytest.mark.slow),
        ("--version",),
    ],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    out, loaded = _run(COMMAND, *arguments)
    assert out.strip()
    assert "hybridloop" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.slow
def test_a_run_loads_nothing_that_it_leaves_idle(stack_environ: Mapping[str, str]) -> None:
    for _ in range(2):  # the first one makes the journal
        out, loaded = _run(COMMAND, "run", "vqe", "h2", "--seed", "7", "--quiet", environ=stack_environ)
        assert "converged" in out
    assert {"hybridloop.tasks.session", "prefect.flows", "azure.quantum", "qiskit"} <= loaded
    assert loaded & set(IDLE) == set()


def test_the_public_functions_are_loaded_when_they_are_used() -> None:
    out, _ = _run(
        LISTED + "import hybridloop as hl; print(*(callable(getattr(hl, n)) for n in ('vqe', 'open_session')))"
    )
    assert out == "True True\n"


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    out, _ = _run(LISTED + "import hybridloop as hl; print(hasattr(hl, 'sesion'))")
    assert out == "False\n"


REFUSED: dict[str, Callable[[], Any]] = {
    "set_limit": lambda: hl.set_limit("team", "much"),
    "remove_limit": lambda: hl.remove_limit("team"),
    **{
        name: lambda name=name: getattr(hl, name)("nothing")  # type: ignore[misc]
        for name in ("adapt", "levels", "qaoa", "rqaoa", "sqd", "vqe")
    },
    "ansatz": lambda: hl.ansatz("nothing"),
    "backend": lambda: hl.backend("nothing"),
    "doctor": lambda: hl.doctor(live=True),
    "molecule": lambda: hl.molecule("nothing.xyz"),
    "open_session": lambda: hl.open_session("nothing").__enter__(),
    "plan": lambda: hl.plan("vqe", "nothing"),
    "problem": lambda: hl.problem(3),
    "qsharp": lambda: hl.qsharp("nothing.qs"),
    "reproduce": lambda: hl.reproduce("no/key"),
    "result": lambda: hl.result("no/key"),
    "resume": lambda: hl.resume("no/key"),
    "run_housekeeping": hl.run_housekeeping,
    "scan": lambda: hl.scan(["nothing", "h2"]),
    "sdk_workspace": hl.sdk_workspace,
    "session": lambda: hl.session("nothing"),
    "session_flow": lambda: hl.session_flow(target="nothing")(print),
    "sessions": hl.sessions,
    "sweep": lambda: hl.sweep({"algorithm": "nothing"}),
}


def test_public_names_work_twice_and_after_all_modules_were_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No module takes the place of a public function: an imported submodule replaces the attribute of its name."""
    monkeypatch.setenv("AZURE_QUANTUM_CONNECTION_STRING", "nothing")
    monkeypatch.setenv("HYBRIDLOOP_HOME", str(tmp_path))
    before = {name: getattr(hl, name) for name in hl.__all__}
    functions = {name for name, value in before.items() if callable(value) and not isinstance(value, type)}
    assert functions == {*REFUSED, "limits", "track"}  # which take nothing
    for _ in range(2):
        for name, value in before.items():
            assert not isinstance(value, ModuleType)
            assert getattr(hl, name) is value, name
            if name in REFUSED:
                with pytest.raises(InputError):
                    REFUSED[name]()
        _import_all_modules()


def _import_all_modules() -> None:
    for module in pkgutil.walk_packages(hl.__path__, "hybridloop."):
        if not module.name.endswith((".__main__", ".migrations.env")):  # these two run something when imported
            importlib.import_module(module.name)
