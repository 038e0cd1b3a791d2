"""The work of one run on its session.

Tasks submit the jobs, retry what may be retried, keep the session from idling out (the service ends it after ten idle
minutes), and hand counts to the optimizer under a failure policy that the user chose:

- submission and retries: `submission/`; `round_in_flight` submits, polls, retries and collects, and
  `submission/job_errors` is the table of the errors that may be retried;
- keep-alive: `keepalive/`; its own docstring leads to the parts;
- failure policy: `failure_policy`, for a job, a session or a target that fails;
- Prefect tasks: `prefect_tasks`, around opening the session, each round, and closing it.

`session` has `open_session`, which holds it all together; `session_renewal` opens the next session when one has ended,
`cost_ledger` counts costs against the caps, `primitives/` are Qiskit's sampler and estimator over a session, and
`orphans` and `pruning` clean up after runs whose process is gone.
"""
