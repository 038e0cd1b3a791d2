"""Reference molecules, and rounds whose outcomes are drawn from state vectors instead of a simulator's shots."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem
from hybridloop.algorithms.rounds import RunRound
from hybridloop.inputs.formats.fcidump import read_fcidump
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds

# a slow machine is no failure
settings.register_profile("numerics", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("numerics")


@pytest.fixture(scope="session")
def problem_of(reference: Mapping[str, Any]) -> Callable[..., ElectronicProblem]:
    """Return a factory of reference molecules on qubits, by name and mapping; each is made once."""

    @functools.cache
    def make(name: str, mapping: FermionMapping = FermionMapping.PARITY) -> ElectronicProblem:
        return electronic_problem(read_fcidump(reference[name]["fcidump"], name), mapping)

    return make


@pytest.fixture
def sampled_rounds() -> Callable[[int], RunRound]:
    """Return a factory of rounds with multinomial shot noise, by seed."""
    return shot_rounds


@pytest.fixture
def exact_rounds() -> RunRound:
    """Return rounds that give the distribution, scaled to the shots and rounded by largest remainder."""
    return noiseless_rounds()


def annihilator(orbital: int, count: int) -> NDArray[np.float64]:
    """Return the dense Jordan-Wigner a_p on `count` qubits; qubit 0 is the last factor, as in Qiskit."""
    lower, z, one = np.array([[0.0, 1.0], [0.0, 0.0]]), np.diag([1.0, -1.0]), np.eye(2)
    factors = [z if i < orbital else lower if i == orbital else one for i in reversed(range(count))]
    return functools.reduce(np.kron, factors)
