"""Minimization along gradients, and linear algebra on one thread.

On matrices of a few dozen rows the threads of OpenBLAS wait for each other: L-BFGS-B takes several times as long on
them (issue 23191 of SciPy), and more where several runs share a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

_LIBRARIES = ThreadpoolController()  # of NumPy and SciPy, which are loaded


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit linear algebra to one thread for a block."""
    with _LIBRARIES.limit(limits=1, user_api="blas"):
        yield


def minimize(
    objective: Callable[[NDArray[np.float64]], Any],
    start: NDArray[np.float64],
    options: Mapping[str, Any],
    *,
    method: str = "L-BFGS-B",
    jac: bool = True,
) -> Any:
    """Return SciPy's result of a minimization from a start (n,) with options of the method.

    `objective` returns value and gradient (n,), without `jac` the value alone.
    """
    arguments: Any = {"jac": jac, "method": method, "options": dict(options)}
    with one_thread():
        return scipy.optimize.minimize(objective, start, **arguments)
