"""Results of some twenty runs and their plans, to compare two versions of the project: equal values, or a difference.

`python -m benchmarks.same_results FILE` makes the runs in an environment of their own and writes their JSON, without
ids and times; `--beside FILE` compares it with another version's, and fails where they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ATOMS = "H 0 0 0; H 0 0 0.9"
RUNS: Mapping[str, tuple[str, Any, Mapping[str, Any]]] = {
    "vqe": ("vqe", "h2", {}),
    "measured": ("vqe", "h2", {"search": "measured", "precision": 0.003}),
    "atoms": ("vqe", ATOMS, {"basis": "6-31g", "active_space": (2, 2)}),
    "cobyla": ("vqe", "h2", {"optimizer": "scipy:cobyla", "search": "measured", "max_rounds": 4, "precision": 0.005}),
    "hardware-efficient": ("vqe", "h2", {"ansatz": "hardware-efficient", "precision": 0.005}),
    "mitigated": ("vqe", "h2", {"mitigation": ("readout",), "precision": 0.01}),
    "unbatched": ("vqe", "h2", {"batching": "off", "precision": 0.01}),
    "capped": ("vqe", "h4", {"max_jobs": 16, "precision": 0.001}),
    "not-sampled": ("vqe", "h2", {"target": "ionq.simulator"}),
    "machine": ("vqe", "h2", {"target": "quantinuum.sim.h2-1e", "precision": 0.02}),
    "adapt": ("adapt", "heh+", {"precision": 0.003}),
    "levels": ("levels", "h2", {"precision": 0.005}),
    "qaoa": ("qaoa", "petersen", {}),
    "qaoa-layers": ("qaoa", "petersen", {"layers": 2, "shots": 500}),
    "rqaoa": ("rqaoa", "petersen", {}),
    "sqd": ("sqd", "h4", {"max_subspace": 20}),
    "scan": ("scan", ("h2-0.3", "h2"), {"precision": 0.003}),
}
EXTENDED: Mapping[str, Mapping[str, Any]] = {"measured": {"precision": 0.001}, "capped": {"max_jobs": None}}
KILLED_AT = ("result.after", "commit.before:2")
SCRIPT = """
import hybridloop as hl
from qiskit import QuantumCircuit

def circuit(angle):
    circuit = QuantumCircuit(2)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit

@hl.session_flow(seed=7)
def loop(session, steps: int):
    sampler = session.sampler(shots=200)
    return [sampler.run([circuit(0.1 * n)]).result()[0].data.meas.get_counts() for n in range(steps)]

print(loop(3, run_key="a-flow"))
with hl.open_session("rigetti.sim.qvm", run_key="a-script", seed=7) as session:
    print(session.sampler(shots=200).run([circuit(0.4)]).result()[0].data.meas.get_counts())
"""
LEFT_OUT = frozenset({"sessions", "wall_seconds", "run_key", "duration", "classical", "revision"})


def _plain(value: Any, key: str) -> Any:
    """Return a value without ids and times, and without the key of its run in texts."""
    if isinstance(value, Mapping):
        return {name: _plain(each, key) for name, each in value.items() if name not in LEFT_OUT}
    if isinstance(value, list | tuple):
        return [_plain(each, key) for each in value]
    return value.replace(key, "KEY") if isinstance(value, str) else value


def _results() -> Iterator[tuple[str, Any]]:
    import hybridloop as hl

    for name, (algorithm, problem, options) in RUNS.items():
        call = getattr(hl, algorithm)
        result = call(problem, seed=7, run_key=name, **options)
        yield name, _plain(result.as_dict(), name)
        again = call(problem, seed=7, run_key=name, **options)
        yield f"{name} again", again == result or _plain(again.as_dict(), name)
        plan = hl.plan(algorithm, problem, seed=7, **options)
        yield f"{name} planned", _plain(json.loads(json.dumps(plan.as_dict(), default=str)), name)
    for name, changes in EXTENDED.items():
        yield f"{name} extended", _plain(hl.resume(name, **changes).as_dict(), name)


def _in_process(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return done.stdout


def _killed() -> Iterator[tuple[str, Any]]:
    """Yield the results of runs whose process was killed and that were resumed."""
    import hybridloop as hl

    for number, place in enumerate(KILLED_AT):
        key = f"killed-{number}"
        code = f"import hybridloop as hl\nhl.vqe('h2', seed=7, search='measured', precision=0.003, run_key={key!r})"
        _in_process(code, HYBRIDLOOP_CRASH_AT=place)
        resumed = _plain(hl.resume(key).as_dict(), key)
        yield key, {name: value for name, value in resumed.items() if name != "resumed"}


def main() -> int:
    """Make the runs and write or compare their results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--beside", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HYBRIDLOOP_HOME": folder, "XDG_DATA_HOME": folder}
        from hybridloop import local_stack

        try:
            found = dict([*_results(), *_killed(), ("programs", [_in_process(SCRIPT), _in_process(SCRIPT)])])
        finally:
            local_stack.down()
    asked.file.write_text(json.dumps(found, indent=1, sort_keys=True, default=str), "utf-8")
    if asked.beside is None:
        return 0
    other = json.loads(asked.beside.read_text("utf-8"))
    now = json.loads(asked.file.read_text("utf-8"))
    different = [name for name in now.keys() | other.keys() if now.get(name) != other.get(name)]
    print("equal" if not different else f"different: {', '.join(sorted(different))}")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
