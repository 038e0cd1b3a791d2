"""Compilation of Q# and OpenQASM 3 in a process with limits: the compiler runs a program, which may have no end."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import threading
from select import select
from typing import Any

from hybridloop.errors import CompilationStopped
from hybridloop.runtime.waits import COMPILER_S

MEMORY_BYTES = 4 << 30
CPU_S = 60
_START = "from hybridloop.compiler.qsharp_worker import main; main()"
_SECRETS = "AZURE_"  # prefix of the variables that the process does not get
# the compiler's allocator (mimalloc) would reserve 1 GiB of address space in advance
_ENVIRONMENT = {"QDK_PYTHON_TELEMETRY": "none", "MIMALLOC_ARENA_RESERVE": "0"}
_REMEDY = (
    "Look for a loop or recursion without end, deep nesting, or a large array; the compiler runs all of a program that "
    "does not depend on measurements."
)


class QsharpRefused(Exception):
    """The compiler does not accept a program, or what is called of it; the text is the compiler's."""

    def __init__(self, text: str, *, is_of_entry: bool) -> None:
        super().__init__(text)
        self.is_of_entry = is_of_entry


class QsharpCompiler:
    """A process that compiles Q#, started when first needed and after it died; thread-safe.

    Its limits hold for each compilation. A Ctrl-C of the terminal reaches it too, and ends it at once. It ends with its
    standard input, or by its CPU time if the parent is killed while it compiles.
    """

    def __init__(self, *, memory_bytes: int = MEMORY_BYTES, cpu_s: int = CPU_S, wall_s: float = COMPILER_S) -> None:
        self._memory_bytes = memory_bytes
        self._cpu_s = cpu_s
        self._wall_s = wall_s
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def compile(self, source: str, entry: str | None, profile: str) -> str:
        """Return the QIR of an entry expression, or of OpenQASM 3 if there is none.

        Raises QsharpRefused, or CompilationStopped at a limit.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = self._launch()
            try:
                answer = self._ask(self._process, json.dumps([source, entry, profile]) + "\n")
            except BaseException:  # a Ctrl-C, too: a later answer would be that of another program
                self.close()
                raise
        if "refused" in answer:
            raise QsharpRefused(answer["refused"], is_of_entry=answer["is_of_entry"])
        return str(answer["qir"])

    def close(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _ask(self, process: subprocess.Popen[str], request: str) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(request)
            process.stdin.flush()
        except BrokenPipeError:
            raise self._stopped(process) from None
        if not select([process.stdout], [], [], self._wall_s)[0]:
            raise _error(f"was stopped after {self._wall_s:.0f} s")
        line = process.stdout.readline()
        if not line.endswith("\n"):
            raise self._stopped(process)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _stopped(self, process: subprocess.Popen[str]) -> CompilationStopped:
        """Return the error of a process that ended before its answer."""
        code = process.wait()
        if code == -signal.SIGXCPU:
            return _error(f"was stopped after {self._cpu_s} s of CPU time")
        if code in (-signal.SIGSEGV, -signal.SIGBUS):
            return _error("overflowed the compiler's stack")
        if code == -signal.SIGABRT:
            return _error(f"took more than {self._memory_bytes / 2**30:.3g} GiB, or stopped the compiler")
        return _error(f"ended its process (exit code {code})")

    def _launch(self) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
        return subprocess.Popen(
            (sys.executable, "-P", "-c", _START, str(self._memory_bytes), str(self._cpu_s)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**inherited, **_ENVIRONMENT},
        )


def _error(what: str) -> CompilationStopped:
    return CompilationStopped(
        "program", f"the compilation of the program {what}", _REMEDY, "No job was submitted for it."
    )


@functools.lru_cache(maxsize=1)
def qsharp_compiler(_process: int) -> QsharpCompiler:
    """Return the compiler of this process, whose id is the argument: a forked one must not share the pipes."""
    return QsharpCompiler()
