"""Process that compiles Q# and OpenQASM 3: requests arrive on standard input, answers leave on standard output.

Each is a line of JSON; a request without an entry expression is OpenQASM 3.

A program that does not end, overflows the stack or takes too much memory ends this process, and not the user's.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import Any


def main() -> None:
    """Compile until standard input ends; the arguments are the limits of memory, in bytes, and of CPU time, in s."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler does not run while the compiler works
    memory, cpu_s = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # macOS does not enforce it
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a program's messages must not mix with the answers
    context, made_for = None, None
    for line in sys.stdin:
        source, entry, profile = json.loads(line)
        used = resource.getrusage(resource.RUSAGE_SELF)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + cpu_s, hard))
        from qdk.qsharp import QSharpError

        try:
            if entry is None:
                from hybridloop.compiler.openqasm_worker import compile_openqasm

                answer: dict[str, Any] = {"qir": compile_openqasm(source, profile)}
            else:
                if made_for != (source, profile):
                    made_for = None
                    context = _context(source, profile)
                    made_for = (source, profile)
                assert context is not None
                answer = {"qir": str(context.compile(entry))}
        except QSharpError as error:
            answer = {"refused": str(error), "is_of_entry": made_for is not None}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _context(source: str, profile: str) -> Any:
    """Return an interpreter that has evaluated the source."""
    from qdk import Context, TargetProfile

    context = Context(target_profile=getattr(TargetProfile, profile))
    context.eval(source)
    return context
