"""The errors that users meet: what happened, what it means for the run, what to do next.

    HybridloopError
    ├── InputError                what was given can't be used; nothing of it was submitted
    │   ├── ProblemError          … a problem's file or text, with its line where there is one
    │   └── RunKeyTaken           … a run of that key is there already
    ├── ServiceError              the service, or the way to it, is in trouble
    │   ├── AccessDenied          … it does not accept the key or identity
    │   ├── ServiceUnreachable    … no connection, it broke, or no answer came
    │   ├── ServiceBusy           … throttled, or failing inside: a repeat may help
    │   ├── TargetDown            … the target takes no jobs, and did not come back in time
    │   ├── ServiceRefused        … it understood, and said no: a repeat will not help
    │   ├── SessionEnded          … the session is terminal and takes no more jobs
    │   └── JobFailed             … a job ended without counts
    ├── ReplayDiverged            a search that is replayed asks for something else than it did
    ├── StreamBusy                two callers at once on one stream of rounds
    ├── CapReached                the next jobs could cost more than the run may spend
    ├── RunStopped                a round, or its whole session, was told to stop
    │   ├── StopRequested         … by somebody else: hybridloop runs stop
    │   ├── RunParked             … because its jobs wait longer than was allowed
    │   └── RunCancelled          … in Prefect
    ├── JournalError              the journal can't be opened, read or written
    │   ├── JournalDamaged        … what it holds is not what was written
    │   └── JournalTooNew         … a newer version of hybridloop has written it
    ├── BundleDamaged             an exported run is not as it was written
    ├── RunBusy                   another process holds the run
    ├── LeaseLost                 another process took the run over from this one
    ├── CallbackFailed            a function of the caller's, called after a round, raised an error
    ├── ProgramError              a circuit can't be turned into what the target takes
    └── StackError                the local stack can't be started or found

Messages have three parts: what happened, with numbers; what it means (is anything lost, is money spent?); what
to do next. All facts are positional arguments, so that an error survives a process border.
"""

from __future__ import annotations


class HybridloopError(Exception):
    """Base of all errors that hybridloop raises on purpose; `exit_code` is the command line's."""

    exit_code = 1


class InputError(HybridloopError):
    """What was given can't be used: `field` names it, `problem` says why, `remedy` what to give instead."""

    exit_code = 2

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(field, problem, remedy)
        self.field = field
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}. Nothing of this was submitted. {self.remedy}"

    @property
    def in_short(self) -> str:
        """The same without a word about submitting: for what submits nothing anyway."""
        return f"{self.field}: {self.problem}. {self.remedy}"


class ProblemError(InputError):
    """A problem can't be read: `source` is the file or name, `line` counts from 1 (None: the whole text)."""

    def __init__(self, source: str, line: int | None, problem: str, remedy: str) -> None:
        field = "problem" if line is None else f"problem, line {line}"
        super().__init__(field, f"{source}: {problem}", remedy)
        self.args = (source, line, problem, remedy)
        self.source = source
        self.line = line


class RunKeyTaken(InputError):
    """A new run was to have the key of one that is there already."""

    def __init__(self, key: str) -> None:
        super().__init__(
            "run_key",
            f"there is a run {key!r} already",
            f"Give the new one another key, or go on with the old one: hybridloop runs resume {key}",
        )
        self.args = (key,)
        self.key = key


class _InThreeParts(Exception):
    """What happened, what it means for the run, what to do next."""

    def __init__(self, happened: str, meaning: str, remedy: str) -> None:
        super().__init__(happened, meaning, remedy)
        self.happened = happened
        self.meaning = meaning
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.happened}. {self.meaning} {self.remedy}"


class ServiceError(_InThreeParts, HybridloopError):
    """Trouble of the service or of the way to it: what happened, what it means for the run, what to do next."""


class AccessDenied(ServiceError):
    """The service does not accept the key or identity that was given."""

    exit_code = 2


class ServiceUnreachable(ServiceError):
    """No connection to the service, or it broke before an answer came."""


class ServiceBusy(ServiceError):
    """The service throttles or fails inside; a repeat may help."""


class TargetDown(ServiceError):
    """The target takes no jobs at the moment."""


class ServiceRefused(ServiceError):
    """The service understood the request and said no; a repeat will not help."""


class SessionEnded(ServiceError):
    """The session is in a terminal state and takes no more jobs."""


class JobFailed(ServiceError):
    """A job ended without counts."""


class ReplayDiverged(HybridloopError):
    """A search that goes over recorded values asks for another point than the recorded one."""

    def __init__(self, search: str, difference: str) -> None:
        super().__init__(search, difference)
        self.search = search
        self.difference = difference

    def __str__(self) -> str:
        return (
            f"replay diverged: {self.search}: {self.difference}. What was recorded is unharmed, and nothing new was "
            "submitted. Go on where it ran (same settings, versions and machine), or start anew from the best point."
        )


class StreamBusy(HybridloopError):
    """A second round was started on a stream whose last one is still in flight from another thread."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.stream = stream

    def __str__(self) -> str:
        return (
            f"stream {self.stream!r} has a caller already: a stream's rounds are numbered in the order of their "
            "calls, so it takes one thread at a time. Nothing of this call was submitted. "
            "Give each thread its own: session.sampler(stream=…)."
        )


class CapReached(HybridloopError):
    """The next jobs could take more than a cap allows: `cap` names it, `state` says how much is spent and needed."""

    exit_code = 3

    def __init__(self, cap: str, state: str, go_on: str) -> None:
        super().__init__(cap, state, go_on)
        self.cap = cap
        self.state = state
        self.go_on = go_on

    def __str__(self) -> str:
        return (
            f"{self.cap} is reached: {self.state}. Nothing more was submitted, and all that was measured is kept. "
            f"{self.go_on}"
        )


class RunStopped(HybridloopError):
    """A round, or its whole session, was told to stop; `in_flight` jobs were left to the service."""

    exit_code = 130

    def __init__(self, in_flight: int) -> None:
        super().__init__(in_flight)
        self.in_flight = in_flight

    def __str__(self) -> str:
        return (
            f"the wait for the round was ended, {_in_flight(self.in_flight)}. A session that was stopped takes no "
            "further round: open a new one."
        )


class StopRequested(RunStopped):
    """Somebody asked the run to stop; `in_flight` jobs were left to the service."""

    exit_code = 3

    def __str__(self) -> str:
        return (
            f"the run was asked to stop, {_in_flight(self.in_flight)}. All results are kept, and no session of it is "
            "open. `hybridloop runs resume` goes on with it."
        )


class RunParked(RunStopped):
    """The jobs in flight wait longer than was allowed; the run goes on when they are done."""

    exit_code = 3

    def __str__(self) -> str:
        return (
            f"the run was parked, {_in_flight(self.in_flight)}. All results are kept. `hybridloop runs resume` goes on "
            f"with it once {'they are done' if self.in_flight else 'its target is back'}."
        )


class RunCancelled(RunStopped):
    """The run's flow run was cancelled in Prefect; `in_flight` jobs were left to the service."""

    def __str__(self) -> str:
        return (
            f"the run was cancelled in Prefect, {_in_flight(self.in_flight)}. All results are kept, and no session of "
            "it is open. `hybridloop runs resume` goes on with it."
        )


def _in_flight(jobs: int) -> str:
    return f"with {jobs} job(s) in flight, which the service finishes and bills" if jobs else "with no job in flight"


class CallbackFailed(HybridloopError):
    """The caller's own function, called after `round`, raised an error: `said` is its type and words."""

    def __init__(self, round_: int, said: str) -> None:
        super().__init__(round_, said)
        self.round = round_
        self.said = said

    def __str__(self) -> str:
        return (
            f"the callback raised {self.said} after round {self.round}. All that was measured is kept, and the session "
            "is closed. Mend the callback, then go on with the run (same run_key, or hybridloop runs resume): it is "
            "called from the next round on."
        )


class ProgramError(HybridloopError):
    """A circuit can't be turned into a program for the target."""

    exit_code = 2

    def __init__(self, circuit: str, problem: str) -> None:
        super().__init__(circuit, problem)
        self.circuit = circuit
        self.problem = problem

    def __str__(self) -> str:
        return f"circuit {self.circuit!r}: {self.problem}. Nothing of its round was submitted."


class JournalError(_InThreeParts, HybridloopError):
    """The journal can't be opened, read or written: what happened, what it means for the run, what to do next."""


class JournalDamaged(JournalError):
    """What the journal holds is not what was written: the row `key` of `table`, and what is wrong with it."""

    def __init__(self, table: str, key: str, problem: str) -> None:
        super().__init__(
            f"the journal is damaged: {table}, row {key}: {problem}",
            "Nothing of that row was used, and nothing was submitted because of it.",
            "Restore the journal from a backup, or start the run anew under another key; other runs are not touched.",
        )
        self.args = (table, key, problem)
        self.table = table
        self.key = key
        self.problem = problem


class JournalTooNew(JournalError):
    """The journal's schema is of version `found`, and this version of hybridloop knows those up to `known`."""

    def __init__(self, found: str, known: str) -> None:
        super().__init__(
            f"the journal's schema is of version {found}, and this hybridloop knows those up to {known}",
            "Nothing in it was read or changed.",
            "Use the newer hybridloop that wrote it, or name another journal in HYBRIDLOOP_JOURNAL.",
        )
        self.args = (found, known)
        self.found = found
        self.known = known


class BundleDamaged(HybridloopError):
    """An exported run is not as it was written: `bundle` is its path, `trouble` says what is off."""

    def __init__(self, bundle: str, trouble: str) -> None:
        super().__init__(bundle, trouble)
        self.bundle = bundle
        self.trouble = trouble

    def __str__(self) -> str:
        return (
            f"the bundle {self.bundle} is damaged, or somebody changed it: {self.trouble}. Nothing of it was used. "
            "Export the run again where it was made, or get another copy."
        )


class RunBusy(HybridloopError):
    """A process that lives holds the run: `who` it is, and `until` when its lease runs if it is not renewed."""

    def __init__(self, key: str, who: str, until: str) -> None:
        super().__init__(key, who, until)
        self.key = key
        self.who = who
        self.until = until

    def __str__(self) -> str:
        return (
            f"run {self.key!r} is held by {self.who}, whose lease runs until {self.until} and is renewed while it "
            f"lives. Nothing was submitted here. Watch it with hybridloop runs show {self.key}, or end it with "
            f"hybridloop runs stop {self.key}"
        )


class LeaseLost(HybridloopError):
    """The run was taken over by another process, or given up: `holder` says by whom it is held now."""

    def __init__(self, key: str, holder: str) -> None:
        super().__init__(key, holder)
        self.key = key
        self.holder = holder

    def __str__(self) -> str:
        return (
            f"run {self.key!r} is no longer this process's: it is held by {self.holder}. This process wrote nothing "
            "after that and submits nothing more; what it had submitted is in the journal and is not paid twice. "
            f"Watch the run with hybridloop runs show {self.key}"
        )


class StackError(HybridloopError):
    """The local stack can't be started, found or stopped; no run is touched by that."""

    def __init__(self, happened: str, remedy: str) -> None:
        super().__init__(happened, remedy)
        self.happened = happened
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.happened}. No run was touched. {self.remedy}"
