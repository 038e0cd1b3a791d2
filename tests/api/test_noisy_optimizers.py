"""Before the first job, a warning names a minimizer that takes differences over angles far below shot noise."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from qiskit_algorithms.optimizers import COBYLA, L_BFGS_B, SPSA
from scipy.optimize import minimize

from hybridloop.api.optimizers import optimizer_by_name
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.inputs.problems import read_problem
from hybridloop.inputs.validation import validate
from hybridloop.preparation import prepare

SMALL = {"ansatz": "hardware-efficient", "layers": 1, "initial_point": "random", "shots": 100, "precision": 0.1}


@pytest.mark.parametrize(
    ("optimizer", "is_warned_of"),
    [
        (minimize, True),
        (partial(minimize, method="L-BFGS-B"), True),
        (lambda fun, x0: minimize(fun, x0, method="SLSQP"), True),
        (L_BFGS_B(), True),
        (partial(minimize, method="COBYLA"), False),
        (partial(minimize, method="Nelder-Mead"), False),
        (COBYLA(), False),
        (SPSA(maxiter=2, learning_rate=0.1, perturbation=0.1), False),
        (partial(minimize, method="Powell"), False),  # it asks for the start twice
        (SPSA(maxiter=2), False),  # it calibrates at repeated points
        (lambda _fun, x0: x0, False),
    ],
)
def test_a_gradient_by_small_differences_is_warned_of(
    optimizer: Any, *, is_warned_of: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        with optimizer_by_name({**SMALL, "optimizer": optimizer}) as named:
            settings = validate(VqeSettings, named)
            caplog.clear()
            prepare("vqe", read_problem("h2"), settings, 7)
    assert bool(caplog.messages) == is_warned_of
    assert all("shot noise hides" in message and "scipy:cobyla" in message for message in caplog.messages)
