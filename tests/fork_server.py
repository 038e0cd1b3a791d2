"""Fork server: imports the modules of a run once; the processes that are forked from it behave as new interpreters.

`tests.forked_processes` starts both. It is imported in the server only.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import runpy
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

import psutil

from hybridloop.runtime.foreign_folder import shut_out_current_folder
from tests.forked_processes import Command

# telemetry and BLAS have threads, and a process that forks must have none
os.environ |= {"DO_NOT_TRACK": "1", "QDK_PYTHON_TELEMETRY": "none", "OMP_NUM_THREADS": "1"}
shut_out_current_folder()
for name in (
    "hybridloop.cli.app",
    *(f"hybridloop.flows.{name}" for name in ("algorithms", "sweep")),
    *(f"hybridloop.preparation.{name}" for name in ("adapt", "levels", "qaoa", "scan", "sqd", "vqe")),
    *(f"hybridloop.api.{name}" for name in ("plan", "algorithms", "session")),
    *("hybridloop.targets.error_rates", "hybridloop.reports.plots", "hybridloop.tasks.primitives"),
    *("alembic.autogenerate", "azure.quantum.job.session", "azure.storage.blob", "matplotlib.backends.backend_svg"),
    *(
        "anyio._backends._asyncio",
        "prefect.concurrency.sync",
        "prefect.task_engine",
        "prefect.utilities.visualization",
    ),
    *(
        "fastapi",
        "graphviz",
        "ipykernel.kernelapp",
        "qdk.qiskit",
        "qiskit_algorithms",
        "qiskit.transpiler.passes.synthesis.hls_plugins",
    ),
):
    import_module(name)

# entries of sys.path but those of the program that is run and of PYTHONPATH
SYSTEM_PATH = [each for each in sys.path if each not in ("", *os.environ.get("PYTHONPATH", "").split(os.pathsep))]
gc.freeze()  # a collection in a child would copy the pages of all modules


def behave_as_interpreter(command: Command) -> NoReturn:
    """Run a command `python …` to the end of the process."""
    if command.is_session_leader:
        os.setsid()
    os.environ.clear()
    os.environ.update(command.environ)
    os.chdir(command.folder)
    _open_standard_streams(command.streams)
    os.getppid = lambda: command.parent if psutil.pid_exists(command.parent) else 1
    _forget_prefect_settings()
    status = _run(command.arguments)
    vars(threading)["_shutdown"]()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if status == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status & 0xFF)


def _open_standard_streams(streams: Sequence[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = open(2, "w", 1, errors="backslashreplace", closefd=False)  # type: ignore[misc]


class _SettingsAtFirstUse:
    """Stand-in for Prefect's settings until they are read: a process may set variables before it imports Prefect."""

    def __getattr__(self, name: str) -> Any:
        context: Any = import_module("prefect.context")
        context.GLOBAL_SETTINGS_CONTEXT = None  # as during the import
        context.GLOBAL_SETTINGS_CONTEXT = context.root_settings_context()
        import_module("prefect.logging.configuration").setup_logging()
        return getattr(context.GLOBAL_SETTINGS_CONTEXT, name)


def _forget_prefect_settings() -> None:
    vars(import_module("prefect.context"))["GLOBAL_SETTINGS_CONTEXT"] = _SettingsAtFirstUse()
    import_module("prefect.logging.configuration").PROCESS_LOGGING_CONFIG.clear()
    logging.root.handlers.clear()


def _run(arguments: Sequence[str]) -> int:
    try:
        _run_main_module(*arguments)
    except SystemExit as exit_:
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException as error:  # as an interpreter ends: any error is printed, and is the process's exit code
        sys.excepthook(*sys.exc_info())
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _run_main_module(option: str, *rest: str) -> None:
    sys.path[:] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *SYSTEM_PATH]
    if option == "-P":
        del sys.path[0]
        option, rest = rest[0], rest[1:]
    if option == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), vars(main))
    elif option == "-m":
        sys.argv = list(rest)
        sys.path[0] = os.getcwd()
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [option, *rest]
        sys.path[0] = os.path.dirname(os.path.abspath(option))
        runpy.run_path(option, run_name="__main__")
