"""Bounds, in seconds, of what a run and its commands wait for; limits that a user sets are settings.

The local service has its own, and so have the parts of the local stack (`Component`) and the checks of a live target.
How long others may be silent until they count as dead stands where that is judged.
"""

# the quantum service: a request is repeated; see `azure/retry.py`
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
SILENCE_SAID_S = 25.0  # after which the user of a service without an answer hears of it
SERVICE_SILENT_S = 80.0  # after which such a service is not asked again: an attempt takes up to 30 s
RETRY_AFTER_CAP_S = 30.0
CLOSE_TIMEOUT_S = 5.0  # of the request that closes a session
JOB_SILENT_S = 1800.0  # that an accepted job may be without a known status
INTERRUPTED_WAIT_S = 5.0  # an interrupted run waits so long for its rounds in flight
PING_END_S = 1.0  # that a session's close waits for a ping in progress
CHECK_REQUEST_S = 10.0  # of `doctor`

# Prefect's server
ONE_REQUEST_S = 5.0
SERVER_ANSWER_S = 5.0  # of the user's own server, which is asked whether it is one
PREFECT_START_S = 30.0  # without an answer, before the flow run began
PREFECT_END_S = 10.0  # that a caller waits for Prefect once the work has ended
SIGNAL_END_S = 2.0  # the same for a work that a signal ended
PREFECT_EXIT_S = 10.0  # for all its services together; a server that answers takes what they hold in less
SLOT_OUTAGE_S = 300.0  # enough for a restart of the server
HOUSEKEEPING_REQUEST_S = 30.0
RESUMED_WITHIN_S = 300.0  # by housekeeping, with a worker online
SWEEP_OUTAGE_S = 86400.0  # of a point's attempts, which an outage of the server does not use up
NEXT_POINT_S = 15.0  # that a process waits for a further point; a sweep sees the end of one within 5 s

# the journal
JOURNAL_BUSY_S = 10.0  # its lock
SHORT_TIMEOUT_S = 0.2  # its lock, after a wait in vain
INSPECTION_BUSY_S = 2.0  # its lock, for those who only look
JOURNAL_AWAY_S = 300.0  # that a sweep waits for it
JOURNAL_SERVER_S = 120.0  # for a server that is away, by default: a failover takes a minute
SHORT_CONNECT_TIMEOUT_S = 2  # the shortest that libpq allows

# processes, and code of others
COMPILER_S = 120.0
TIMING_S = 20.0  # of a simulation that a plan times, with its imports
SOLVER_S = 10.0  # of the classical optimum that a result is compared with
GIT_S = 5.0
PLUG_IN_SAID_S = 10.0  # after which the user of a plug-in that is still imported hears of it: Ctrl-C ends it
STACK_REQUEST_S = 30.0  # to a server of the local stack
ADMIN_REQUEST_S = 30.0  # to the local service, for its administration
POINT_END_S = 30.0  # of a sweep's process: an interrupted run waits 5 s for its round, then closes its session
WORKER_RUNS_END_S = 40.0  # of a stopped worker's runs: each closes its session within ten seconds if alone
WORKER_END_S = 15.0  # of the worker itself
COMMAND_EXIT_S = 5.0  # that a command's end waits for threads of libraries
