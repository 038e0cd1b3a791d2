"""Rounds of a run's session: started by stream and number, awaited, and stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NoReturn

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import SAME_RAD, MeasuredPub
from hybridloop.azure.listing import statuses_from
from hybridloop.azure.workspace import is_local
from hybridloop.compiler.programs import describe_pub
from hybridloop.errors import HybridloopError, InputError, RunParked, ServiceError, StopRequested
from hybridloop.journal import RoundRecord
from hybridloop.journal.provenance import ARITHMETIC, arithmetic, has_same_arithmetic
from hybridloop.journal.revisions import branch_of, stream_of
from hybridloop.runtime.crash_points import crash_point
from hybridloop.runtime.run_events import continued, current_observation
from hybridloop.targets import Target, as_served
from hybridloop.targets.error_rates import error_rates
from hybridloop.tasks.connection import Connection
from hybridloop.tasks.replay.same_round import difference_of
from hybridloop.tasks.submission.job_ids import RoundKey, check_stream
from hybridloop.tasks.submission.jobs import FIRST_ATTEMPT, check_round
from hybridloop.tasks.submission.round_builder import RoundBuilder
from hybridloop.tasks.submission.round_in_flight import RoundInFlight
from hybridloop.tasks.submission.streams import Streams

_log = logging.getLogger(__name__)
ALWAYS_SIMULATED = 20  # qubits: the local service has the memory, unless it is told to have less than 64 MiB


class Rounds:
    """The rounds of a run's session. Those that the journal has whole are returned from there."""

    def __init__(self, connection: Connection) -> None:
        self.target = connection.target
        self.run_uid = connection.run.uid
        self.builder = RoundBuilder(connection)
        self.error_rates = error_rates(connection.target, connection.options.provider_options)
        self.debias, self.batches = connection.options.debias, connection.batches
        self.budget, self.needed = connection.ledger.budget, self.builder.needed
        self.streams = Streams()
        self.stop_reason: HybridloopError | None = None
        self.stream = stream_of(connection.run.revision)  # of the rounds that name none
        record = connection.run.record
        self._may_leave = record.algorithm != "session" and not has_same_arithmetic(record.versions)
        self._connection = connection
        self._observation = current_observation()

    def __deepcopy__(self, _memo: object) -> Rounds:
        """Return the rounds themselves: libraries copy models with the primitives in them, and go on in the session."""
        return self

    def __reduce__(self) -> NoReturn:
        """Raise InputError: a primitive of a session is stored in a file, such as with a trained model."""
        raise InputError(
            "session",
            "its primitives and its backend can't be stored in a file or sent to another process",
            "Store what was found, such as the weights of a model, and open a session where they are used.",
        )

    def recorded(self, asked: Callable[[RoundRecord], Sequence[SamplerPub]] | None = None) -> RoundRecord | None:
        """Return the journal's record of the next round that names no stream.

        Where an algorithm asks for other PUBs than recorded because the last digits of another processor or library
        led it elsewhere, its stream is left for a branch of it, which has its own rounds.
        """
        record = self.builder.look_up(RoundKey(self.run_uid, self.stream, self.streams.next_number(self.stream)))
        if record is None or asked is None or not self._may_leave:
            return record
        if difference := difference_of(record, asked(record)):
            self._leave_stream(record, difference)
            return self.recorded(asked)
        return record

    def _leave_stream(self, first: RoundRecord, difference: str) -> None:
        """Continue in a branch of the run's stream; what was spent on the rounds that are left counts as before."""
        run = self._connection.run
        records = [each for each in run.journal.rounds(run.uid) if each.stream == self.stream]
        left = [each for each in records if each.sequence >= first.sequence]
        self.count_earlier(left)
        self.stream = branch_of(self.stream)
        _log.warning(
            "the last digits of this processor (%s; the run began with %s) lead to other points than recorded in round "
            "%d, where %s: the run goes on from here with new jobs, and %d recorded round(s) count in its cost alone",
            arithmetic(),
            run.record.versions.get(ARITHMETIC, "another"),
            first.sequence + 1,
            difference,
            len(left),
        )

    def count_earlier(self, records: Iterable[RoundRecord]) -> None:
        """Count rounds of earlier revisions among the jobs, the shots and the bills so far."""
        for record in records:
            self._connection.ledger.adopt(record)
            firsts = [job for job in record.jobs if job.attempt == FIRST_ATTEMPT]
            self.streams.jobs += len(firsts)
            self.streams.shots += sum(job.shots for job in firsts)

    def run(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """Measure a round that names no stream. Raises as `start` and `collect`."""
        self.recorded(lambda _: pubs)
        return self.collect(self.start(pubs))

    def start(
        self,
        pubs: Sequence[SamplerPub],
        *,
        stream: str | None = None,
        same_rad: float = SAME_RAD,
        shared_seed: int | None = None,
        waits_for_all: bool = False,
    ) -> RoundInFlight:
        """Number a round, record its jobs and start their submission; `collect` waits for its counts.

        The rounds of a stream are numbered in the order of the calls, so only one thread at a time may use it:
        StreamBusy. A round that the journal has must be the same, with angles within `same_rad`: ReplayDiverged. The
        local service samples all its jobs by a `shared_seed`, if one is given. With `waits_for_all` a job that fails
        ends the round once the others have ended.
        """
        crash_point("step.after")
        check_round(pubs, self._served(pubs))
        descriptions = [describe_pub(pub) for pub in pubs]
        stream = self.stream if stream is None else check_stream(stream)
        with self.streams.turn(stream, self.stop_reason) as turn, continued(self._observation):
            key = RoundKey(self.run_uid, stream, turn.number)  # the caller may be another thread or task of the flow
            turn.round = round_ = self.builder.build(key, pubs, descriptions, same_rad, shared_seed)
            round_.waits_for_all = waits_for_all
        if not (round_.ended.is_set() or self.streams.stopped.is_set()):
            with continued(self._observation):
                round_.start()
        if self.streams.stopped.is_set():
            round_.stop(self.stop_reason)
        return round_

    def _served(self, pubs: Sequence[SamplerPub]) -> Target:
        """Return the target, for large circuits with the qubits that a local service says to simulate."""
        is_large = any(pub.circuit.num_qubits > ALWAYS_SIMULATED for pub in pubs)
        service = self._connection.service
        if is_large and self.target.simulated_qubits is None and is_local(service.workspace):
            with suppress(ServiceError):  # a replay needs no service, and a submission says what is wrong with it
                self.target = as_served(self.target, statuses_from(service).get(self.target.name, {}))
        return self.target

    def collect(self, round_: RoundInFlight) -> list[MeasuredPub]:
        """Wait for a round's counts. Raises the error that ended it."""
        clock, detach_after_s = self._connection.clock, self._connection.options.detach_after_s
        if detach_after_s is not None and round_.started_at is not None:
            left = round_.started_at + detach_after_s - clock.now()
            if not clock.wait(round_.ended, max(0.0, left)):
                self.stop_reason = RunParked(sum(other.in_flight for other in self.streams.in_flight()))
                self.stop(self.stop_reason)
        measured = round_.result()
        self.streams.add_lost(round_.lost)
        crash_point("step.before")
        return measured

    def stop(self, error: Exception | None = None) -> None:
        """End every wait: rounds in flight raise the error, or RunStopped; their jobs are left to the service."""
        self.streams.stopped.set()
        for round_ in self.streams.in_flight():
            round_.stop(error)
        self._connection.poller.stop()

    def stop_on_request(self) -> None:
        """End every wait because of a request to stop, or because another process took the run over."""
        in_flight = sum(round_.in_flight for round_ in self.streams.in_flight())
        self.stop_reason = self._connection.run.lease_error or StopRequested(in_flight)
        self.stop(self.stop_reason)
