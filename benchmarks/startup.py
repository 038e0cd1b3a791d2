"""Start-up time of the commands, and the time of a whole small run while the stack is up."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.bounds import Bound, Side, conclude, machine
from hybridloop.runtime.signals import exit_on_sigterm

TURNS = 5
COMMAND = str(Path(sys.executable).with_name("hybridloop"))
RUN = [COMMAND, "run", "vqe", "h2", "--seed", "7", "--quiet"]
LARGE = Path(__file__).parents[1] / "tests" / "data" / "fcidump" / "H2_0.7414_cc-pvdz.fcidump"
PREPARE = f"""
import resource, sys
from hybridloop.targets import find_target
from hybridloop.preparation.vqe import prepare_vqe
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.settings import ProblemText
settings = VqeSettings()
problem = ProblemText(name="large", text=open({str(LARGE)!r}).read())
prepare_vqe(problem, settings, 7, find_target(settings.target))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
sys.exit(f"{{peak / 1e9:.1f}} GB" if peak > 1e9 else 0)
"""
MEASURED: dict[str, tuple[Sequence[str], float]] = {  # name: command, and the seconds that it may take
    "import hybridloop": ([sys.executable, "-c", "import hybridloop"], 0.3),
    "hybridloop --help": ([COMMAND, "--help"], 0.5),
    "hybridloop run vqe h2, stack up": (RUN, 10.0),
    "preparing 18 qubits, within 1 GB": ([sys.executable, "-c", PREPARE], 10.0),
}


def main() -> int:
    """Measure, print the figures, and return the exit code; on SIGTERM the stack is stopped too."""
    with exit_on_sigterm():
        return _main()


def _main() -> int:
    print(f"machine    {machine()}")
    with tempfile.TemporaryDirectory() as home:
        environ = own_environment(home)
        try:
            print(f"stack      up in {seconds([COMMAND, 'up'], environ):.1f} s, its state in a new folder")
            first = seconds(RUN, environ)
            print(f"first run  {first:.1f} s, not counted")
            figures: dict[str, list[float]] = {name: [] for name in MEASURED}
            for _ in range(TURNS):
                for name, (command, _) in MEASURED.items():
                    figures[name].append(seconds(command, environ))
        finally:
            seconds([COMMAND, "down"], environ)
    print(f"\nseconds of whole processes, median of {TURNS} (lowest to highest)")
    for name, values in figures.items():
        print(f"  {name:<44} {statistics.median(values):8.2f}   ({min(values):.2f} to {max(values):.2f})")
    print()
    return conclude(
        [
            Bound(name, statistics.median(figures[name]), Side.AT_MOST, limit, "s")
            for name, (_, limit) in MEASURED.items()
        ]
    )


def seconds(command: Sequence[str], environ: Mapping[str, str]) -> float:
    """Return the seconds of the command in its own process; its output is shown only if it fails."""
    started = time.perf_counter()
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    taken = time.perf_counter() - started
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stdout}")
    return taken


def own_environment(home: str) -> dict[str, str]:
    """Return this environment without the user's Prefect server and workspace."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AZURE_QUANTUM_"))}
    # The user's active Prefect profile may set a server too; this file has no profile.
    return {**kept, "HYBRIDLOOP_HOME": home, "PREFECT_PROFILES_PATH": str(Path(home) / "no-profiles.toml")}


if __name__ == "__main__":
    sys.exit(main())
