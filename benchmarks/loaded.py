"""Modules and lines of hybridloop that a run or a command loads, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_REPORT = """
import sys
import hybridloop
try:
    {code}
except SystemExit:
    pass
import json
files = {{name: getattr(module, "__file__", None) for name, module in sys.modules.items()}}
ours = {{name: file for name, file in files.items() if name.partition(".")[0] == "hybridloop" and file}}
print()
print(json.dumps(ours))
"""
_IMPORT = """
import sys, time
sys.dont_write_bytecode = True
begun = time.process_time()
from importlib import import_module
for name in {names}:
    import_module(name)
print(time.process_time() - begun)
"""
_COMMAND = "from hybridloop.cli import program; sys.argv = ['hybridloop', {words}]; program()"
CASES = {
    "a measured VQE": "hybridloop.vqe('h2', search='measured', host='plain', seed=7)",
    "a QAOA": "hybridloop.qaoa('ring-8', host='plain', seed=7)",
    "runs list": _COMMAND.format(words="'runs', 'list'"),
    "--help": _COMMAND.format(words="'--help'"),
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """The modules of hybridloop that were loaded, with their lines, and the CPU time to import them with libraries."""

    lines: Mapping[str, int]
    import_s: float

    @property
    def total(self) -> int:
        return sum(self.lines.values())

    @property
    def rooms(self) -> Counter[str]:
        """The lines of each room, which is a folder or a file at the top."""
        rooms = Counter[str]()
        for name, lines in self.lines.items():
            rooms[".".join(name.split(".")[1:2])] += lines
        return rooms


def loaded_by(case: str, environ: Mapping[str, str]) -> Loaded:
    """Run a case of `CASES` in a process; return what it loaded."""
    files: dict[str, str] = json.loads(_printed(_REPORT.format(code=CASES[case]), environ).rstrip().rsplit("\n", 1)[-1])
    lines = {name: len(Path(file).read_text("utf-8").splitlines()) for name, file in files.items()}
    return Loaded(lines, float(_printed(_IMPORT.format(names=[*files]), environ)))


def _printed(code: str, environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout
