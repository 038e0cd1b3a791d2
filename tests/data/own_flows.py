"""A user's file: their own loop in a session, and a flow with their tasks around hybridloop runs.

python own_flows.py RUN_KEY    prints the loop's result
"""

import json
import sys
from typing import Any

import numpy as np
from prefect import flow, task
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

import hybridloop as hl

theta = Parameter("theta")
circuit = QuantumCircuit(1)
circuit.ry(theta, 0)
circuit.measure_all()


@hl.session_flow(target="rigetti.sim.qvm", seed=3, resume_automatically="interrupted")
def find_half(session: Any, rounds: int = 6, shots: int = 400) -> dict[str, Any]:
    """Find the angle at which half of the shots give 1; each next angle follows from the counts before."""
    sampler, angle, seen = session.sampler(shots=shots), 0.4, []
    for step in range(1, rounds + 1):
        ones = sampler.run([(circuit, [angle])]).result()[0].data.meas.get_counts().get("1", 0)
        seen.append((angle, ones))
        angle += 2.0 * (0.5 - ones / shots) / np.sqrt(step)
    return {"angle": float(angle), "seen": seen}


@task
def choose(bond: str) -> str:
    """Return the molecule's name."""
    return {"short": "h2"}[bond]


@task
def tell(energy: float, angle: float) -> str:
    """Print the result."""
    return f"{energy:.4f} {angle:.4f}"


@flow
def night(bond: str = "short") -> str:
    """Make two runs, each in its own session, between two tasks."""
    result = hl.vqe(choose(bond), seed=7, target="ionq.simulator")
    found = find_half(3)
    assert result.value is not None
    return tell(result.value, found["angle"])


@flow
async def night_of_async_code(bond: str = "short") -> str:
    """Make the same runs from async code."""
    result = hl.vqe(choose(bond), seed=7, target="ionq.simulator")
    found = find_half(3)
    assert result.value is not None
    return tell(result.value, found["angle"])


if __name__ == "__main__":
    print(json.dumps(find_half(run_key=sys.argv[1])))
