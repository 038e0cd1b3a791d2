"""The project's own minimizations take one thread of the machine, and give the caller's threads back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from hybridloop.algorithms.minimization import minimize
from tests.paths import ROOT


def threads() -> set[int]:
    """Return the threads of NumPy's and SciPy's libraries; those that come with other packages are not limited."""
    ours = [library for library in threadpool_info() if library["prefix"] == "libscipy_openblas"]
    return {library["num_threads"] for library in ours}


@pytest.mark.parametrize(("method", "jac"), [("L-BFGS-B", True), ("L-BFGS-B", False), ("BFGS", True)])
def test_an_objective_is_called_on_one_thread_and_the_callers_are_as_before(method: str, *, jac: bool) -> None:
    seen = set[int]()

    def objective(point: NDArray[np.float64]) -> Any:
        seen.update(threads())
        value = float((point - 1.0) @ (point - 1.0))
        return (value, 2.0 * (point - 1.0)) if jac else value

    with threadpool_limits(2, user_api="blas"):
        found = minimize(objective, np.zeros(3), {"gtol": 1e-8}, method=method, jac=jac)
        assert threads() == {2}
    assert seen == {1}
    assert found.x == pytest.approx(np.ones(3), abs=1e-5)


def test_only_the_optimizers_that_a_user_names_call_scipy_themselves() -> None:
    sources = {path: path.read_text() for path in (ROOT / "hybridloop").rglob("*.py")}
    calls = {path.name for path, text in sources.items() if "scipy.optimize.minimize(" in text}
    assert calls == {"minimization.py", "scipy.py"}
