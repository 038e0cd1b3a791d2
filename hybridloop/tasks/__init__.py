"""The work of one run on its session.

Tasks submit the jobs, retry what may be retried, keep the session from idling out (the service ends it after ten idle
minutes), and hand counts to the optimizer under a failure policy that the user chose:

- submission and retries: `submission/`; `round_in_flight` submits, retries and collects, `round_polls` lists, and
  `submission/job_errors` is the table of the errors that may be retried;
- keep-alive: `keepalive/`; its own docstring leads to the parts;
- failure policy: `failure_policy`, for a job, a session or a target that fails;
- Prefect tasks: `prefect_tasks`, for opening the session, each round, a ping, and closing the session.

`session` has `open_run_session`, which joins these parts; `session_renewal` opens the next session when one has ended,
`cost_ledger` counts costs against the caps, `primitives/` are Qiskit's sampler and estimator over a session, and
`orphans` and `pruning` clean up after runs whose process is gone.

Users' own flows call the same tasks: `open_session`, `run_round`, `keep_alive` and `close_session` of this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridloop.tasks.prefect_tasks import close_session, keep_alive, open_session, run_round

__all__ = ["close_session", "keep_alive", "open_session", "run_round"]


def __getattr__(name: str) -> Any:
    """Load a public task when it is first used: Prefect takes more than a second."""
    if name in __all__:
        return getattr(import_module("hybridloop.tasks.prefect_tasks"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
