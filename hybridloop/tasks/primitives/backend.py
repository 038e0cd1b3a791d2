"""SessionBackend: Qiskit's `BackendV2` over a session, for pass managers, experiments and primitives of backends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import IfElseOp
from qiskit.exceptions import QiskitError
from qiskit.providers import BackendV2, JobStatus, JobTimeoutError, JobV1, Options
from qiskit.result import Result
from qiskit.transpiler import Target as GateTarget

from hybridloop.errors import HybridloopError, InputError, UnknownOption
from hybridloop.targets import Target
from hybridloop.tasks.circuit_jobs import SessionJob, joined_result
from hybridloop.tasks.primitives.sampler import shot_order
from hybridloop.tasks.primitives.unknown_options import answer
from hybridloop.tasks.submission.jobs import NOT_SENT

StartJobs = Callable[[list[Any], int, str | None, int | None], list[SessionJob]]
_CLASSIFIED = (None, 2)  # Qiskit's levels of measured data: bits, which are all that a session has
_OPTIONS = ("shots", "memory", "seed_simulator", "name", "meas_level", "meas_return")
_ORDER = tuple(JobStatus[name] for name in ("INITIALIZING", "QUEUED", "RUNNING", "DONE"))  # of a job's life


class SessionBackend(BackendV2):  # type: ignore[misc]  # Qiskit has no types
    """A backend whose jobs are rounds of a session; without one it is for transpilation.

    `target` has the target's gates and its number of qubits. All pairs of qubits are connected: those of ions and
    simulators are, and Rigetti's compiler places a program's qubits itself. Only targets with a profile Adaptive have
    resets and conditions. No target has delays.
    """

    def __init__(self, target: Target, start: StartJobs | None = None) -> None:
        super().__init__(name=target.name, description=f"{target.name}, through a session of hybridloop")
        self._target = _gate_target(target)
        self._start = start

    def __deepcopy__(self, _memo: object) -> SessionBackend:
        """Return the backend itself: a copy of its session would be another one."""
        return self

    @property
    def target(self) -> GateTarget:
        """Qiskit's description of the target: gates and number of qubits."""
        return self._target

    @property
    def max_circuits(self) -> None:
        """None: a job takes any number of circuits."""
        return

    @classmethod
    def _default_options(cls) -> Options:
        options = Options(shots=1024, memory=False)
        options.set_validator("shots", (1, 10**7))
        return options

    def run(self, run_input: QuantumCircuit | Sequence[QuantumCircuit], **options: Any) -> BackendJob:
        """Start a round of circuits without free parameters, in flight together; return its job.

        Options are `shots` of each circuit, `memory` (a list of the shots, in an order that is drawn), `name` (of the
        job, see `OpenSession.run`; left out: by its circuits' structures, so that calls may come in any order, and from
        several threads), and `seed_simulator` (of the local service). Raises QiskitError, which is also the
        session's own error: InputError and ProgramError before anything is sent, CapReached, ReplayDiverged.
        """
        with as_qiskit_errors():
            for name, value in options.items():
                _check_option(name, value)
            if self._start is None:
                remedy = f"Open one: with hybridloop.open_session({self.name!r}) as session: session.backend()."
                raise InputError("backend", "it has no session, and can't run circuits", remedy, NOT_SENT)
            chosen = dict(self.options) | {name: value for name, value in options.items() if value is not None}
            circuits = list(run_input) if isinstance(run_input, list | tuple) else [run_input]
            jobs = self._start(circuits, chosen["shots"], chosen.get("name"), chosen.get("seed_simulator"))
            return BackendJob(self, jobs, memory=bool(chosen["memory"]))


class BackendJob(JobV1):  # type: ignore[misc]  # Qiskit has no types
    """The job of `SessionBackend.run`: a round of circuits, with one Result."""

    def __init__(self, backend: SessionBackend, jobs: Sequence[SessionJob], *, memory: bool) -> None:
        self._jobs = jobs
        self._memory = memory
        self._round = jobs[0].round
        self._result: Result | None = None
        self._is_cancelled = False
        super().__init__(backend, self._round.id)

    def submit(self) -> None:
        """Do nothing: `run` has submitted the job."""

    def result(self) -> Result:
        """Wait for the counts of all circuits. Raises QiskitError, which is also the error that ended the round."""
        if self._result is None:
            with as_qiskit_errors():
                order = shot_order(*self._round.place) if self._memory else None
                self._result = joined_result(self._jobs, self.job_id(), order)
        return self._result

    def status(self) -> JobStatus:
        """Return the status of the job that is least far, ERROR once one has failed, and CANCELLED."""
        found = [job.status() for job in self._jobs]
        if self._is_cancelled and self._round.has_ended and JobStatus.ERROR in found:
            return JobStatus.CANCELLED
        return JobStatus.ERROR if JobStatus.ERROR in found else min(found, key=_ORDER.index)

    def cancel(self) -> None:
        """Ask the service to cancel the jobs that have not ended; those that run already may be billed."""
        with as_qiskit_errors():
            self._is_cancelled = True
            self._round.cancel()

    def wait_for_final_state(
        self, timeout: float | None = None, wait: float = 5.0, callback: Callable[..., Any] | None = None
    ) -> None:
        """Wait until the job has ended; call `callback` every `wait` seconds. Raises JobTimeoutError."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._round.wait(wait if end is None else max(0.0, min(wait, end - time.monotonic()))):
            if end is not None and time.monotonic() >= end:
                raise JobTimeoutError(f"job {self.job_id()} has not ended within {timeout} seconds")
            if callback is not None:
                callback(self.job_id(), self.status(), self)


@contextmanager
def as_qiskit_errors() -> Iterator[None]:
    """Raise errors of the block as QiskitError too, which callers of backends catch; they stay what they are."""
    try:
        yield
    except HybridloopError as error:
        if isinstance(error, QiskitError):
            raise
        raise _as_both(error) from error


def _as_both(error: HybridloopError) -> HybridloopError:
    kind = _both(type(error))
    found = kind.__new__(kind, *error.args)
    found.__dict__.update(error.__dict__)
    found.args = error.args
    return found


def _both(kind: type[HybridloopError]) -> type[HybridloopError]:
    """Return a class that is a kind of error and QiskitError, with the words of the kind."""
    members = {"__doc__": kind.__doc__, "__module__": kind.__module__, "__reduce__": _reduce, "__str__": kind.__str__}
    return type(kind.__name__, (kind, QiskitError), members)


def _reduce(error: HybridloopError) -> tuple[Any, ...]:
    """Return how the error is made again in another process: of its own class, which is the second one."""
    return type(error).__mro__[1], error.args


def _check_option(name: str, value: object) -> None:
    """Raise InputError for an option that would have no effect."""
    if name not in _OPTIONS:
        remedy = answer("backend", name) or f"There are: {', '.join(_OPTIONS)}."
        raise UnknownOption(name, "the backend has no such option", remedy, NOT_SENT)
    if name == "meas_level" and value not in _CLASSIFIED:
        raise InputError(name, f"{value} asks for analogue data, and a session has bits", "Leave it out.", NOT_SENT)


def _gate_target(target: Target) -> GateTarget:
    is_adaptive = target.profile != "Base"
    names = [*target.gates, "measure", *["reset"] * is_adaptive]
    found = GateTarget.from_configuration(names, num_qubits=target.qubits)
    if is_adaptive:
        found.add_instruction(IfElseOp, name="if_else")
    return found
