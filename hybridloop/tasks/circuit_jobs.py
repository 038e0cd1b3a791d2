"""Jobs of `session.run`: one for each program, with id, status, result and counts as Qiskit users know them."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers import JobStatus
from qiskit.result import Result

from hybridloop.algorithms.rounds import Counts, FailedPoint
from hybridloop.compiler.languages.convert import TAKEN, to_circuit
from hybridloop.compiler.languages.from_qir import output_of
from hybridloop.compiler.languages.qir_output import OutputLayout, Value
from hybridloop.compiler.programs import describe_pub
from hybridloop.errors import HybridloopError, InputError, InvalidValue
from hybridloop.journal.revisions import MAIN_STREAM
from hybridloop.tasks.primitives.sampler import incomplete, ordered_shots
from hybridloop.tasks.replay.same_round import SAME_UNTOLD_RAD
from hybridloop.tasks.submission.job_ids import check_stream
from hybridloop.tasks.submission.job_in_flight import JobInFlight, JobPhase
from hybridloop.tasks.submission.jobs import NOT_SENT
from hybridloop.tasks.submission.results import largest_remainder
from hybridloop.tasks.submission.round_in_flight import RoundInFlight
from hybridloop.tasks.submission.rounds import Rounds


class CircuitRounds:
    """The rounds of `OpenSession.run`, each of which is awaited once."""

    def __init__(self, rounds: Rounds) -> None:
        self.unawaited: dict[CircuitRound, None] = {}  # in order
        self._rounds = rounds
        self._lock = threading.Lock()

    def start_by_content(
        self, programs: Sequence[Any], shots: int, name: str | None, seed: int | None
    ) -> list[SessionJob]:
        """Start a round whose name, if there is none, is that of its circuits' structures; from any thread.

        So a program that runs again may begin its rounds in another order, as threads do.
        """
        with self._lock:
            return self.start(programs, shots, name, seed, by_content=name is None)

    def start(
        self, programs: Sequence[Any], shots: int, name: str | None, seed: int | None, *, by_content: bool = False
    ) -> list[SessionJob]:
        """Start a round of programs without free parameters; return a job for each. See `OpenSession.run`."""
        try:
            if not programs:
                raise InputError("program", "there is none", TAKEN)
            seed = _checked_seed(seed)
            stream = MAIN_STREAM if name is None else check_stream(name, "name")
            pubs = [_as_pub(_bound(to_circuit(program, self._rounds.target.profile)), shots) for program in programs]
            if by_content:
                stream = _name_of(pubs)
        except InputError as error:  # of the first invalid program, after others that are valid
            error.meaning = NOT_SENT
            raise
        started = self._rounds.start(
            pubs, stream=stream, same_rad=SAME_UNTOLD_RAD, shared_seed=seed, waits_for_all=True
        )
        round_ = CircuitRound(self._rounds, started, self.unawaited)
        self.unawaited[round_] = None
        return [SessionJob(round_, number, pub.circuit, shots, name) for number, pub in enumerate(pubs)]

    def await_all(self) -> None:
        """Wait for all rounds, whose jobs are paid for. Raises the error that ended the first one that failed."""
        rounds = list(self.unawaited)
        for round_ in rounds:
            round_.await_end()
        self.unawaited.clear()
        for round_ in rounds:
            if round_.error is not None:
                raise round_.error


class CircuitRound:
    """A round of circuits: its jobs at the service, and their counts once all of them have ended."""

    def __init__(self, rounds: Rounds, round_: RoundInFlight, unawaited: dict[CircuitRound, None]) -> None:
        self.target = rounds.target.name
        self.is_collected = False
        self.error: HybridloopError | None = None  # that ended the round, once it was awaited
        self._rounds = rounds
        self._round = round_
        self._unawaited = unawaited

    def jobs_of(self, number: int) -> list[JobInFlight]:
        """Return the jobs that measure circuit `number`: several if a job takes fewer shots."""
        return [job for job in self._round.jobs if any(part.pub == number for part in job.spec.parts)]

    def counts_of(self, number: int) -> Counts:
        """Wait for the round; return the counts of circuit `number`. Raises the error that ended its own jobs."""
        self.await_end()
        try:
            counts = self._round.result_of(number)[0]
        except HybridloopError:
            self._unawaited.pop(self, None)  # its caller knows of it
            raise
        if isinstance(counts, FailedPoint):
            raise incomplete(counts.reason)
        return counts

    @property
    def id(self) -> str:
        """Id of the round, the same in a resumed run."""
        return str(uuid.uuid5(uuid.UUID(self._rounds.run_uid), self._round.key.prefix))

    @property
    def place(self) -> tuple[str, int]:
        """The stream of the round and its number there."""
        return self._round.key.stream, self._round.key.sequence

    def wait(self, seconds: float) -> bool:
        """Wait for the end of its jobs, so long at most; return whether they have ended."""
        return self._round.ended.wait(seconds)

    def cancel(self) -> None:
        """Ask the service to cancel its jobs, which no one awaits any more. Raises ServiceError."""
        self._unawaited.pop(self, None)
        self._round.cancel()

    def await_end(self) -> None:
        """Wait for the round once, and keep the error that ended it."""
        if not self.is_collected:
            self.is_collected = True
            try:
                self._rounds.collect(self._round)
            except HybridloopError as error:
                self.error = error
            except BaseException:  # a signal
                self._unawaited.pop(self, None)
                raise
            else:
                self._unawaited.pop(self, None)

    @property
    def has_ended(self) -> bool:
        """True once no job of the round is awaited any more."""
        return self._round.ended.is_set()


class SessionJob:
    """The job of one program of `session.run`.

    `circuit` is the program as a Qiskit circuit; one of Q# or QIR that no circuit can be is one instruction there.
    `name` is the one that was given, else the program's. Results wait for all programs of the same `run`, and do not
    depend on those: the counts of others are there where one has failed.
    """

    def __init__(
        self, round_: CircuitRound, number: int, circuit: QuantumCircuit, shots: int, name: str | None
    ) -> None:
        self.round = round_
        self.circuit = circuit
        self.name = name or circuit.name
        self.shots = shots
        self._number = number

    def __repr__(self) -> str:
        return f"<job {self.id} {self.name!r}: {self.status().name}>"

    @property
    def id(self) -> str:
        """Id of the job at the service: of its latest attempt, and of its first part if the shots need several jobs.

        Where a job takes many points (Rigetti), circuits that differ in their angles alone share one job and its id.
        """
        return self.round.jobs_of(self._number)[0].spec.id

    def job_id(self) -> str:
        """Return `id`, as Qiskit's jobs do."""
        return self.id

    def status(self) -> JobStatus:
        """INITIALIZING until the service has accepted the job, QUEUED, RUNNING, and at the end DONE or ERROR."""
        jobs = self.round.jobs_of(self._number)
        if all(job.phase is JobPhase.DONE for job in jobs):
            return JobStatus.DONE
        if any(job.phase is JobPhase.LOST or job.error is not None for job in jobs) or self.round.has_ended:
            return JobStatus.ERROR
        if any(job.phase < JobPhase.ACCEPTED for job in jobs):
            return JobStatus.INITIALIZING
        return JobStatus.QUEUED if any(job.listed == "Waiting" for job in jobs) else JobStatus.RUNNING

    def done(self) -> bool:
        """Return True once the job's counts are there."""
        return self.status() is JobStatus.DONE

    def result(self) -> Result:
        """Wait for the counts and return them as Qiskit's Result. Raises ServiceError and what else ended the job."""
        return joined_result([self], self.id)

    def experiment(self, order: np.random.Generator | None = None) -> dict[str, Any]:
        """Wait for the counts and return them as an experiment of a Result, with its shots in an `order`."""
        return _experiment(self.round.counts_of(self._number), self.circuit, self.shots, order=order)

    @property
    def counts(self) -> dict[str, int]:
        """The number of shots by bit string, classical bit 0 rightmost, a space between registers; waits for them."""
        counts: dict[str, int] = self.result().get_counts()
        return counts

    @property
    def values(self) -> dict[Value, int]:
        """The number of shots by value that a program in Q# or QIR returned: ints, bools, doubles, tuples of them.

        A Result is 0 or 1, and an array is a tuple. Waits for them. Raises InputError for a program of another
        language, which has counts alone.
        """
        layout = output_of(self.circuit)
        if layout is None:
            problem = f"{self.name} is a circuit, which measures bits and returns no values"
            raise InputError("job", problem, "Read job.counts.", "Nothing is lost.")
        return values_of(self.counts, layout)


def values_of(counts: dict[str, int], layout: OutputLayout) -> dict[Value, int]:
    """Return the counts by value of a program's outputs, from counts by bit string."""
    return {layout.value(bits.replace(" ", "")): number for bits, number in counts.items()}


def as_result(
    counts: Counts, circuit: QuantumCircuit | None, shots: int, target: str, job_id: str, name: str = ""
) -> Result:
    """Return counts as Qiskit's Result of one experiment: see `_experiment`."""
    return _result([_experiment(counts, circuit, shots, name)], target, job_id)


def joined_result(jobs: Sequence[SessionJob], job_id: str, order: np.random.Generator | None = None) -> Result:
    """Wait for the jobs of a round and return their Result, with the shots in an `order` (None: without)."""
    return _result([job.experiment(order) for job in jobs], jobs[0].round.target, job_id)


def _experiment(
    counts: Counts,
    circuit: QuantumCircuit | None,
    shots: int,
    name: str = "",
    order: np.random.Generator | None = None,
) -> dict[str, Any]:
    """Return counts as an experiment of Qiskit's Result; a circuit gives its metadata, and its registers by name.

    Counts of a target that does not sample are its probabilities times the shots, rounded to that sum.
    """
    by_bits = counts.bitstrings()
    if counts.exact:
        by_bits = largest_remainder(by_bits, shots)
    header: dict[str, Any] = {"name": name, "memory_slots": counts.num_bits, "metadata": {}}
    if circuit is not None:
        header |= {"name": circuit.name, "metadata": circuit.metadata or {}, "n_qubits": circuit.num_qubits}
        if sum(register.size for register in circuit.cregs) == counts.num_bits:
            header["creg_sizes"] = [[register.name, register.size] for register in circuit.cregs]
    data: dict[str, Any] = {"counts": {hex(int(bits, 2)): number for bits, number in by_bits.items()}}
    if order is not None:
        rows = ordered_shots(counts, shots, order)
        data["memory"] = [hex(int("".join(map(str, row[::-1])) or "0", 2)) for row in rows.tolist()]
    return {"shots": sum(by_bits.values()), "success": True, "data": data, "header": header}


def _result(experiments: list[dict[str, Any]], target: str, job_id: str) -> Result:
    return Result.from_dict(
        {
            "backend_name": target,
            "backend_version": "",
            "qobj_id": "",
            "job_id": job_id,
            "success": True,
            "status": "COMPLETED",
            "results": experiments,
        }
    )


def _name_of(pubs: Sequence[SamplerPub]) -> str:
    """Return a name by the structures and shots of circuits, without their angles, which may differ by rounding."""
    text = repr([(describe_pub(pub).fingerprint, pub.shots) for pub in pubs])
    return f"circuits-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def _bound(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit without free parameters. Raises InputError."""
    if circuit.num_parameters:
        names = ", ".join(parameter.name for parameter in list(circuit.parameters)[:3])
        problem = f"{circuit.name} has {circuit.num_parameters} angle(s) without a value ({names})"
        raise InputError("program", problem, f"Bind them: circuit.assign_parameters([…]). {TAKEN}")
    return circuit


def _checked_seed(seed: object) -> int | None:
    """Return the seed. Raises InputError."""
    if seed is None:
        return None
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise InvalidValue("seed", f"must be an integer of at least 0, got {seed!r}")
    return int(seed)


def _as_pub(circuit: QuantumCircuit, shots: int) -> SamplerPub:
    if not isinstance(shots, Integral) or isinstance(shots, bool) or shots < 1:
        raise InvalidValue("shots", f"must be an integer of at least 1, got {shots!r}")
    return SamplerPub.coerce((circuit, None, int(shots)))
