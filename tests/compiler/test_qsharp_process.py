"""Q# is compiled in a process with limits, so that no program can stop, end or exhaust the user's process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing

import numpy as np
import psutil
import pytest

from hybridloop.compiler.languages.from_qsharp import compile_source
from hybridloop.compiler.languages.qsharp_ansatz import QsharpAnsatz
from hybridloop.compiler.qsharp_process import QsharpCompiler
from hybridloop.errors import CompilationStopped
from hybridloop.local_stack.processes import wait_until
from tests.waiting import PATIENCE_S

BELL = "operation Main() : Result { use q = Qubit(); H(q); MResetZ(q) }"
ENDLESS = "operation Main() : Int { mutable i = 0; while true { set i += 1; } i }"
UNROLLED = """
OPENQASM 3.0;
include "stdgates.inc";
qubit q; bit c; for int i in [0:999999999] { x q; } c = measure q;
"""  # in OpenQASM
RECURSIVE = "function F(n : Int) : Int { F(n + 1) } operation Main() : Int { F(0) }"
NESTED = f"operation Main() : Int {{ {'(' * 20_000}1{')' * 20_000} }}"
GROWING = "operation Main() : Int { mutable a = [0, 1]; while true { set a += a; } 0 }"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "entry", "reason"),
    [
        (ENDLESS, "Main()", "CPU time"),
        (UNROLLED, None, "CPU time"),
        (RECURSIVE, "Main()", "stack"),
        (NESTED, "Main()", "stack"),
        (GROWING, "Main()", "0.5 GiB"),
    ],
    ids=["endless", "openqasm", "recursive", "nested", "growing"],
)
def test_a_program_beyond_a_limit_is_refused_and_the_next_one_compiles(
    source: str, entry: str | None, reason: str
) -> None:
    cpu_s = 2 if reason == "CPU time" else 60  # a loaded machine needs more than 2 s to fill the memory
    with closing(QsharpCompiler(memory_bytes=1 << 29, cpu_s=cpu_s, wall_s=PATIENCE_S)) as compiler:
        with pytest.raises(CompilationStopped, match=reason):
            compiler.compile(source, entry, "Adaptive_RI")
        assert "__quantum__qis__h__body" in compiler.compile(BELL, "Main()", "Adaptive_RI")


def test_a_program_that_takes_too_long_is_stopped() -> None:
    with closing(QsharpCompiler(wall_s=0.01)) as compiler, pytest.raises(CompilationStopped, match=r"after 0 s"):
        compiler.compile(BELL, "Main()", "Base")


def test_an_ansatz_keeps_the_error_of_a_stopped_compilation() -> None:
    nested = f"operation Ansatz(q : Qubit, a : Double) : Unit {{ Rx(a * {'(' * 20_000}1.0{')' * 20_000}, q); }}"
    with pytest.raises(CompilationStopped, match=r"^ansatz: .*stack"):
        QsharpAnsatz.find(nested).circuits(np.zeros((1, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_endless_compilation_and_its_process(number: signal.Signals) -> None:
    program = f"""
from hybridloop.compiler.languages.from_qsharp import compile_source
from hybridloop.runtime.signals import exit_on_sigterm
with exit_on_sigterm():
    compile_source({ENDLESS!r}, ["Main()"], "Adaptive_RI")
"""
    with subprocess.Popen([sys.executable, "-P", "-c", program], stderr=subprocess.DEVNULL) as running:
        mine = psutil.Process(running.pid)
        assert wait_until(lambda: any(child.cpu_times().user > 1.0 for child in mine.children()), PATIENCE_S)
        children = mine.children()
        running.send_signal(number)
        assert running.wait(PATIENCE_S) != 0
    assert psutil.wait_procs(children, timeout=PATIENCE_S)[1] == []


def test_a_compiler_whose_process_was_killed_starts_another() -> None:
    assert compile_source(BELL, ["Main()"], "Base")
    for child in psutil.Process().children():
        if "qsharp_worker" in " ".join(child.cmdline()):
            child.kill()
            child.wait()
    assert compile_source(BELL, ["Main()  "], "Base")


def test_threads_share_a_compiler() -> None:
    with closing(QsharpCompiler()) as compiler:
        texts: list[str] = []
        threads = [
            threading.Thread(target=lambda: texts.append(compiler.compile(BELL, "Main()", "Base"))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(texts) == 3
        assert len(set(texts)) == 1


def test_a_forked_process_compiles_by_itself() -> None:
    assert compile_source(BELL, ["Main()"], "Base")
    if (child := os.fork()) == 0:
        os._exit(0 if compile_source(BELL, ["Main()   "], "Base") else 1)
    assert os.waitpid(child, 0)[1] == 0
