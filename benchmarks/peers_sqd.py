"""Run qiskit-addon-sqd on the samples of stdin; runs in its own environment, without hybridloop."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def run(work: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return energy in hartree, determinants and seconds of its whole loop."""
    from qiskit_addon_sqd.fermion import diagonalize_fermionic_hamiltonian

    rows = np.repeat(np.array(work["occupied"], bool), work["shots"], axis=0)
    norb = work["norb"]
    # its bits are [b_N … b_0, a_N … a_0], ours [a_0 … a_N, b_0 … b_N]
    bits = np.concatenate([rows[:, norb:][:, ::-1], rows[:, :norb][:, ::-1]], axis=1)
    started = time.perf_counter()
    found = diagonalize_fermionic_hamiltonian(
        np.array(work["one_body"]),
        np.array(work["two_body"]),
        bits,
        samples_per_batch=work["per_batch"],
        norb=norb,
        nelec=tuple(work["electrons"]),
        num_batches=work["batches"],
        max_iterations=work["iterations"],
        symmetrize_spin=True,
        max_dim=work["strings"],
        seed=seed,
    )
    seconds = time.perf_counter() - started
    energy, size = float(found.energy) + work["core_energy"], int(found.sci_state.amplitudes.size)
    return {"energy": energy, "determinants": size, "wall_s": seconds}


def peak_mb() -> float | None:
    """Return this process's peak memory; getrusage would count that of the process that started it."""
    status = Path("/proc/self/status")  # of Linux
    lines = status.read_text("ascii").splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)


def main() -> int:
    """Print rows as JSON to stdout; the memory is that of the process so far, in MB."""
    work = json.load(sys.stdin)
    rows = []
    with contextlib.redirect_stdout(sys.stderr):
        for seed in work["seeds"]:
            row = run(work, seed)
            rows.append({"library": "qiskit-addon-sqd", "seed": seed, "memory_mb": peak_mb(), **row})
    print(json.dumps(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
