"""Settings of Hypothesis for numerics, and a dense ladder operator."""

from __future__ import annotations

import functools

import numpy as np
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

# a slow machine is no failure
settings.register_profile("numerics", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("numerics")


def annihilator(orbital: int, count: int) -> NDArray[np.float64]:
    """Return the dense Jordan-Wigner a_p on `count` qubits; qubit 0 is the last factor, as in Qiskit."""
    lower, z, one = np.array([[0.0, 1.0], [0.0, 0.0]]), np.diag([1.0, -1.0]), np.eye(2)
    factors = [z if i < orbital else lower if i == orbital else one for i in reversed(range(count))]
    return functools.reduce(np.kron, factors)
