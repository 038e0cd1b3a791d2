"""Errors that hybridloop raises: what happened, what it means for the run, what to do next.

    HybridloopError
    ├── InputError                an input is invalid
    │   ├── InvalidValue          … a value is of another type, or out of range
    │   ├── UnknownOption         … a primitive has no such option
    │   ├── ProblemError          … a problem's file or text, with its line if known
    │   ├── CompilationStopped    … the compilation of a program reached a limit of time or memory
    │   └── RunKeyTaken           … a run with this key exists
    ├── ServiceError              a request to the service failed
    │   ├── AccessDenied          … the key or identity is not accepted
    │   ├── ServiceUnreachable    … no connection, a broken connection, or no answer
    │   ├── ServiceBusy           … throttling or an internal error: a retry may help
    │   ├── TargetDown            … the target takes no jobs, and did not come back in time
    │   ├── ServiceRefused        … the request was rejected: a retry will not help
    │   ├── AnswerRefused         … the answer is a redirect, names another host, or is too large
    │   ├── SessionEnded          … the session is terminal and takes no more jobs
    │   └── JobFailed             … a job ended without counts
    ├── ReplayDiverged            the replay of a stored run asks for other points than the stored ones
    ├── StreamBusy                two threads use one stream of rounds
    ├── CapReached                the next jobs could exceed a cap of the run
    │   ├── RoundTooLarge         … or take what is kept for the final measurement
    │   └── LimitReached          … or exceed a limit over runs
    ├── RunStopped                a round or its session was stopped
    │   ├── StopRequested         … by `hybridloop runs stop`
    │   ├── RunParked             … because its jobs waited longer than allowed
    │   └── RunCancelled          … in Prefect
    ├── JournalError              the journal can't be opened, read or written
    │   ├── JournalDamaged        … a row is not as it was written
    │   ├── JournalGone           … its file was deleted, moved or unmounted while it was open
    │   └── JournalTooNew         … a newer version of hybridloop wrote it
    ├── BundleDamaged             an exported run is not as it was written
    ├── RunBusy                   another process holds the run
    ├── LeaseLost                 another process took over the run
    ├── RunNotFinished            a run on a worker ended without a result
    │   └── RunNotBegun           … before a worker began it
    ├── ResultNotPrinted          standard output did not take a result, which is stored
    ├── CallbackFailed            the user's callback or optimizer raised an error
    ├── ProgramError              a circuit can't be compiled for the target
    └── StackError                the local stack can't be started or found
        └── PrefectAway           Prefect's server did not answer before a run began in it

A message says what happened, with numbers; what it means, where work or money was at stake; what to do next. All facts
are positional arguments, so that an error can be pickled and sent to another process.
"""

from __future__ import annotations

import copy
from typing import Self

NOTHING_SUBMITTED = "Nothing was submitted."


REFUSED = 2  # exit code of what was refused before anything was submitted


class HybridloopError(Exception):
    """Base of all errors that hybridloop raises on purpose; `exit_code` is the exit code of a command."""

    exit_code = 1

    @property
    def is_refusal(self) -> bool:
        """True if nothing was submitted, as the exit code says."""
        return self.exit_code == REFUSED


class InputError(HybridloopError):
    """An input is invalid: `field` names it, `problem` is the reason, `remedy` says what to give instead.

    `meaning` is for inputs that are refused where jobs were submitted, or were about to be.
    """

    exit_code = REFUSED
    _joint = ": "

    def __init__(self, field: str, problem: str, remedy: str = "", meaning: str = "") -> None:
        super().__init__(field, problem, remedy, meaning)
        self.field = field
        self.problem = problem
        self.remedy = remedy
        self.meaning = meaning

    def __str__(self) -> str:
        return " ".join(filter(None, (f"{self.happened}.", self.meaning, self.remedy)))

    @property
    def happened(self) -> str:
        """The first sentence of the message, without its period."""
        return f"{self.field}{self._joint}{self.problem}"

    def at(self, field: str) -> Self:
        """Return the error with another name of its field, such as the file or the option that it comes from."""
        error = copy.copy(self)
        error.field = field
        return error


class InvalidValue(InputError):
    """A value is of another type, or out of range: `problem` continues the field's name, "must be positive, got 0"."""

    _joint = " "


class UnknownOption(InputError, AttributeError, TypeError):
    """A primitive has no such option or attribute.

    It is also an AttributeError and a TypeError: libraries ask `hasattr(sampler, "options")`, or try another call.
    """


class ProblemError(InputError):
    """A problem can't be read: `source` is the file or name, `line` counts from 1 (None: the whole text)."""

    def __init__(self, source: str, line: int | None, problem: str, remedy: str) -> None:
        field = "problem" if line is None else f"problem, line {line}"
        super().__init__(field, f"{source}: {problem}", remedy)
        self.args = (source, line, problem, remedy)
        self.source = source
        self.line = line


class CompilationStopped(InputError):
    """The compilation of a program reached a limit of CPU time, time or memory, or ended the compiler's process."""


class RunKeyTaken(InputError):
    """A new run has the key of an existing run."""

    def __init__(self, key: str) -> None:
        remedy = f"Choose another key, or resume that run: hybridloop runs resume {key}"
        super().__init__("run_key", f"a run with the key {key!r} exists", remedy, NOTHING_SUBMITTED)
        self.args = (key,)
        self.key = key


class _ThreePartMessage(Exception):
    """Message in three parts: what happened, what it means for the run, what to do next."""

    def __init__(self, happened: str, meaning: str, remedy: str) -> None:
        super().__init__(happened, meaning, remedy)
        self.happened = happened
        self.meaning = meaning
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.happened}. {self.meaning} {self.remedy}"


class ServiceError(_ThreePartMessage, HybridloopError):
    """A request to the service failed: `happened`, its `meaning` for the run, and the `remedy`."""


class AccessDenied(ServiceError):
    """The service does not accept the key or identity."""

    exit_code = REFUSED


class ServiceUnreachable(ServiceError):
    """The service did not answer: no connection, a broken connection, or a timeout."""


class ServiceBusy(ServiceError):
    """The service throttles or has an internal error; a retry may help."""


class TargetDown(ServiceError):
    """The target takes no jobs at the moment."""


class ServiceRefused(ServiceError):
    """The service rejected the request; a retry will not help."""


class AnswerRefused(ServiceError):
    """An answer is a redirect, names another host, or is too large: it was not followed or read."""


class SessionEnded(ServiceError):
    """The session is in a terminal state and takes no more jobs."""


class JobFailed(ServiceError):
    """A job ended without counts."""


class ReplayDiverged(HybridloopError):
    """The replay of a stored run asks for another point than the stored one."""

    def __init__(self, search: str, difference: str) -> None:
        super().__init__(search, difference)
        self.search = search
        self.difference = difference

    def __str__(self) -> str:
        return (
            f"replay diverged: {self.search}: {self.difference}. The stored results are intact, and no new job was "
            "submitted. Resume with the settings, versions and machine of the first run, or start a new run from the "
            "best point."
        )


class StreamBusy(HybridloopError):
    """A second thread started a round on a stream whose last round is still in flight."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.stream = stream

    def __str__(self) -> str:
        return (
            f"another thread uses stream {self.stream!r}: the rounds of a stream are numbered in the order of their "
            "calls, so a stream takes one thread at a time. No job was submitted for this call. "
            "Give each thread its own stream: session.sampler(stream=…), or run_round(…, stream=…) as a task."
        )


class CapReached(HybridloopError):
    """The next jobs could exceed a cap: `cap` names it, `state` says how much is spent and needed.

    `larger_cap` is the command line's option for the least cap that the next jobs need; empty for a deadline.
    """

    exit_code = 3

    def __init__(self, cap: str, state: str, remedy: str, larger_cap: str = "") -> None:
        super().__init__(cap, state, remedy, larger_cap)
        self.cap = cap
        self.state = state
        self.remedy = remedy
        self.larger_cap = larger_cap

    def __str__(self) -> str:
        return (
            f"{self.cap} is reached: {self.state}. No further job was submitted, and all results are kept. "
            f"{self.remedy}"
        )


class RoundTooLarge(CapReached):
    """A round that would exceed a cap, or take what is kept for the final measurement; nothing of it was submitted."""


class LimitReached(CapReached):
    """Jobs could exceed a limit over runs: `limit` names it; they need `needed` in its unit.

    Its next period begins on `until` (a date in UTC), which is None where no period has what the jobs need. `larger` is
    the command that sets the least limit with room for them. `is_waited_for` is true if the run is parked until it has.
    """

    is_waited_for = False

    def __init__(self, limit: str, state: str, larger: str, until: str | None = None, needed: float = 0.0) -> None:
        super().__init__(f"limit {limit}", state, f"Resume the run after: {larger}")
        if until is not None:
            self.remedy = (
                f"The next period begins on {until} (UTC): resume the run then (with --wait-for-limit housekeeping "
                f"does), or after: {larger}"
            )
        self.args = (limit, state, larger, until)
        self.limit, self.until, self.needed = limit, until, needed

    def wait(self) -> None:
        """Let the run be parked, until a later period has what its jobs need, or until the limit is raised."""
        self.is_waited_for = True
        room = f"raised: {self.args[2]}" if self.until is None else f"raised, or by {self.until} (UTC)"
        self.remedy = f"The run is parked: housekeeping resumes it once the limit is {room}."


class RunStopped(HybridloopError):
    """A round or its session was stopped; `in_flight` jobs were left to the service.

    `lost` says which work of this computer is done again by a resume; empty where there is none.
    """

    exit_code = 130

    def __init__(self, in_flight: int, lost: str = "") -> None:
        super().__init__(in_flight, lost)
        self.in_flight = in_flight
        self.lost = lost

    def __str__(self) -> str:
        return f"the round was stopped, {_in_flight(self.in_flight)}. Its session takes no more rounds: open a new one."


class StopRequested(RunStopped):
    """The run was stopped by `hybridloop runs stop`; `in_flight` jobs were left to the service."""

    exit_code = 3

    def __str__(self) -> str:
        return (
            f"the run was stopped on request, {_in_flight(self.in_flight)}. All results are kept, and it has no open "
            f"session. {self.lost and f'{self.lost} '}`hybridloop runs resume` resumes it."
        )


class RunParked(RunStopped):
    """The jobs in flight waited longer than allowed; the run can be resumed when they are done."""

    exit_code = 3

    def __str__(self) -> str:
        return (
            f"the run was parked, {_in_flight(self.in_flight)}. All results are kept. `hybridloop runs resume` resumes "
            f"it once {'they are done' if self.in_flight else 'its target is back'}."
        )


class RunCancelled(RunStopped):
    """The run's flow run was cancelled in Prefect; `in_flight` jobs were left to the service."""

    def __str__(self) -> str:
        return (
            f"the run was cancelled in Prefect, {_in_flight(self.in_flight)}. All results are kept, and it has no open "
            f"session. {self.lost and f'{self.lost} '}`hybridloop runs resume` resumes it."
        )


def _in_flight(jobs: int) -> str:
    return f"with {jobs} job(s) in flight, which the service finishes and bills" if jobs else "with no job in flight"


class CallbackFailed(HybridloopError):
    """The user's callback, or `whose` code it was, raised an error after `round`; `error` has its type and message."""

    def __init__(self, round_: int, error: str, whose: str = "callback") -> None:
        super().__init__(round_, error, whose)
        self.round = round_
        self.error = error
        self.whose = whose

    def __str__(self) -> str:
        remedy = (
            "Fix the callback, then resume the run (same run_key, or hybridloop runs resume): the callback is called "
            "from the next round on."
        )
        if self.whose != "callback":
            remedy = f"Fix the {self.whose}, then start the program again with the same run_key."
        return (
            f"the {self.whose} raised {self.error} after round {self.round}. All results are kept, and the session is "
            f"closed. {remedy}"
        )


class ProgramError(HybridloopError):
    """A circuit can't be compiled for the target."""

    exit_code = REFUSED

    def __init__(self, circuit: str, problem: str, pub: int | None = None) -> None:
        super().__init__(circuit, problem, pub)
        self.circuit = circuit
        self.problem = problem
        self.pub = pub

    def __str__(self) -> str:
        where = "" if self.pub is None else f" of PUB {self.pub}"
        return f"circuit {self.circuit!r}{where}: {self.problem}. No job of this round was submitted."


class JournalError(_ThreePartMessage, HybridloopError):
    """The journal can't be opened, read or written: `happened`, its `meaning` for the run, and the `remedy`.

    `is_outage` is True if its server did not answer, or ended the connection; `is_repeated` if another error of this
    process has said so of the same outage.
    """

    is_outage = False
    is_repeated = False


class JournalDamaged(JournalError):
    """A row of the journal is not as it was written: row `key` of `table`, and the `problem`."""

    def __init__(self, table: str, key: str, problem: str) -> None:
        remedy = "Restore the journal from a backup, or start a new run with another key. Other runs are not affected."
        if table in ("limits", "scopes", "amounts", "kept_amounts", "totals"):
            remedy = (
                "No run begins under its limits any more. Restore a backup: hybridloop journal restore FILE. Without "
                "one, set the limits again in a new journal: HYBRIDLOOP_JOURNAL."
            )
        super().__init__(
            f"the journal is damaged: {table}, row {key}: {problem}",
            "That row was not used, and no job was submitted because of it.",
            remedy,
        )
        self.args = (table, key, problem)
        self.table = table
        self.key = key
        self.problem = problem


class JournalGone(JournalError):
    """The journal's file was deleted, moved, replaced or unmounted while this process had it open."""


class JournalTooNew(JournalError):
    """The journal's schema has version `version`; this hybridloop reads versions up to `newest`."""

    def __init__(self, version: str, newest: str) -> None:
        happened = f"the journal's schema is of version {version}, and this hybridloop reads versions up to {newest}"
        remedy = "Use the newer hybridloop that wrote it, or set HYBRIDLOOP_JOURNAL to another journal."
        super().__init__(happened, "The journal was not read or changed.", remedy)
        self.args = (version, newest)
        self.version = version
        self.newest = newest


class BundleDamaged(HybridloopError):
    """An exported run is not as it was written: `bundle` is its path, `problem` the difference."""

    def __init__(self, bundle: str, problem: str) -> None:
        super().__init__(bundle, problem)
        self.bundle = bundle
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"the bundle {self.bundle} is damaged or was changed: {self.problem}. Nothing was read from it. "
            "Export the run again where it was made, or get another copy."
        )


class RunBusy(HybridloopError):
    """A live process holds the run: `holder` describes it, `until` is the end of its lease unless it is renewed."""

    exit_code = 5

    def __init__(self, key: str, holder: str, until: str) -> None:
        super().__init__(key, holder, until)
        self.key = key
        self.holder = holder
        self.until = until

    def __str__(self) -> str:
        return (
            f"run {self.key!r} is held by {self.holder}; its lease runs until {self.until} and is renewed while the "
            f"process lives. This process submitted nothing. Watch the run: hybridloop runs show {self.key}; or stop "
            f"it: hybridloop runs stop {self.key}"
        )


class RunNotFinished(HybridloopError):
    """A run on a worker ended without a result: `message` is what Prefect's server says of it."""

    def __init__(self, key: str, message: str, *, is_cancelled: bool = False) -> None:
        super().__init__(key, message)
        self.key = key
        self.message = message
        self.is_cancelled = is_cancelled
        if is_cancelled:
            self.exit_code = RunCancelled.exit_code

    def __str__(self) -> str:
        how = "Housekeeping resumes it if it was interrupted, or ended by an outage; then follow it again. Or where"
        return (
            f"run {self.key!r} ended without a result: {self.message.rstrip('.')}. Its measurements are in its "
            f"worker's journal, and no job is paid twice. {'To resume it, where' if self.is_cancelled else how} that "
            f"journal is: hybridloop runs resume {self.key}"
        )


class RunNotBegun(RunNotFinished):
    """A run for a worker ended before one began it, such as by a cancellation: no journal has it."""

    def __str__(self) -> str:
        return (
            f"run {self.key!r} ended before a worker began it: {self.message.rstrip('.')}. {NOTHING_SUBMITTED} "
            "Start it again with the command that handed it over."
        )


class ResultNotPrinted(HybridloopError):
    """Standard output did not take the result of a run, for this reason of the system's."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the result can't be printed to standard output: {self.reason}. Nothing is lost: the journal has run "
            f"{self.key!r}. To see it: hybridloop runs show {self.key}"
        )


class LeaseLost(HybridloopError):
    """Another process took over the run, or the run was released: `holder` describes who holds it now."""

    def __init__(self, key: str, holder: str) -> None:
        super().__init__(key, holder)
        self.key = key
        self.holder = holder

    def __str__(self) -> str:
        return (
            f"run {self.key!r} is no longer held by this process: {self.holder} holds it. This process wrote nothing "
            "after that and submits no more jobs. The jobs that it submitted are in the journal and are not paid "
            f"twice. Watch the run: hybridloop runs show {self.key}"
        )


class StackError(HybridloopError):
    """The local stack can't be started, found or stopped; no run is affected."""

    def __init__(self, happened: str, remedy: str) -> None:
        super().__init__(happened, remedy)
        self.happened = happened
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.happened}. No run was affected. {self.remedy}"


class PrefectAway(StackError):
    """Prefect's server can't be started, or did not answer before a flow run of the run began there."""
