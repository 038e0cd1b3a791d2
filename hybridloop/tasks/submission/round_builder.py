"""Rounds from PUBs: resumed from the journal if it has them, else compiled, reserved and recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.budget.caps import Spending
from hybridloop.compiler.programs import CompiledPub, PubCompiler, PubDescription, describe_pub, must_keep_gates
from hybridloop.compiler.quil import NoQuil, QuilCompiler, QuilPub, is_quil
from hybridloop.errors import JournalDamaged
from hybridloop.journal import Job, PubRecord, RoundRecord
from hybridloop.journal.revisions import MAIN_STREAM
from hybridloop.runtime.crash_points import crash_point
from hybridloop.runtime.stages import announce
from hybridloop.tasks.connection import Connection
from hybridloop.tasks.replay.same_round import check_same
from hybridloop.tasks.submission.batches import ParameterRows, batched_program
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey
from hybridloop.tasks.submission.job_in_flight import JobInFlight
from hybridloop.tasks.submission.jobs import JobSpec, build_jobs
from hybridloop.tasks.submission.round_in_flight import RoundInFlight

_log = logging.getLogger(__name__)


class RoundBuilder:
    """Builds the rounds of a run; one call at a time for each stream."""

    def __init__(self, connection: Connection) -> None:
        target = connection.target
        self.compiler = PubCompiler(target.profile, connection.run.journal.program, target.gates)
        self.replayed = 0  # rounds that came from the journal whole
        self._quil = QuilCompiler() if connection.batches else None
        self._connection = connection
        self._stored: set[str] = set()  # keys of programs that the journal has from this process
        self._looked_up: RoundRecord | None = None
        self._warned = set[str]()  # the kinds of warnings that were logged

    @property
    def num_compiled(self) -> int:
        """Number of circuit structures compiled so far, without those that were loaded."""
        return self.compiler.num_compiled + (0 if self._quil is None else self._quil.num_compiled)

    def look_up(self, key: RoundKey) -> RoundRecord | None:
        """Return the journal's record of the round; a `build` that follows does not read it again."""
        self._looked_up = self._recorded(key)
        return self._looked_up

    def needed(self, pubs: Sequence[SamplerPub]) -> Callable[[Sequence[int]], Spending]:
        """Compile PUBs; return the most that a round of them can take, as a function of the shots of each."""
        connection = self._connection
        programs = [self._compile(describe_pub(pub), batches=True) for pub in pubs]
        key = RoundKey(connection.run.uid, MAIN_STREAM, 0)

        def most(shots: Sequence[int]) -> Spending:
            _, specs = build_jobs(key, programs, shots, connection.target, connection.run.seed)
            return connection.ledger.most(specs, programs)

        return most

    def build(
        self,
        key: RoundKey,
        pubs: Sequence[SamplerPub],
        descriptions: Sequence[PubDescription],
        same_rad: float,
        shared_seed: int | None = None,
    ) -> RoundInFlight:
        """Return the round, its jobs recorded as intended; one that the journal has whole is ended already.

        With a `shared_seed` each point has a job of its own, since the points of a batch are drawn one after the other.
        """
        target, run = self._connection.target, self._connection.run
        record = self._recorded(key)
        if record is not None:
            check_same(record, descriptions, [pub.shots for pub in pubs], target.name, same_rad, shared_seed)
            return self._resume(key, record, shared_seed)
        announce("compiling the round's circuits")
        programs = [self._compile(description, batches=shared_seed is None) for description in descriptions]
        announce("")
        records, specs = build_jobs(key, programs, [pub.shots for pub in pubs], target, run.seed, shared_seed)
        if few := target.unmitigated([spec.shots for spec in specs], debias=self._connection.options.debias):
            self._warn("few shots", few)
        specs = self._connection.ledger.reserve(specs, programs)
        try:
            ordinal = self._session_ordinal() if specs else 0
            bodies = {name: body for program in programs for name, body in program.bodies.items()}
            bodies |= {spec.rows.key: spec.rows.to_bytes() for spec in specs if spec.rows is not None}
            bodies = {name: body for name, body in bodies.items() if name not in self._stored}
            crash_point("intent.before")
            intents = [spec.intent(ordinal) for spec in specs]
            now = self._connection.clock.now()
            place = (run.lease, key.stream, key.sequence, target.name)
            run.journal.begin_round(*place, records, intents, bodies, shared_seed=shared_seed, at=now)
        except BaseException:  # an interruption too: nothing was recorded
            self._connection.ledger.release(specs)
            raise
        crash_point("intent.after")
        self._stored |= bodies.keys()
        return RoundInFlight(self._connection, key, records, [JobInFlight(spec) for spec in specs])

    def _compile(self, description: PubDescription, *, batches: bool) -> CompiledPub | QuilPub:
        """Compile a PUB to Quil with parameters where the run batches its points, else to QIR, a job a point."""
        if self._quil is not None and batches:
            try:
                return batched_program(self._quil, description)
            except NoQuil as reason:
                self._warn("no Quil", f"circuit {description.circuit.name} has a job for each point: {reason}")
        return self.compiler.compile_description(description)

    def _warn(self, kind: str, text: str) -> None:
        """Log a warning, one of its kind for a session."""
        if kind not in self._warned:
            _log.warning("%s", text)
        self._warned.add(kind)

    def _recorded(self, key: RoundKey) -> RoundRecord | None:
        known, self._looked_up = self._looked_up, None
        if known is not None and (known.stream, known.sequence) == (key.stream, key.sequence):
            return known
        run = self._connection.run
        return run.journal.round(run.uid, key.stream, key.sequence)

    def _session_ordinal(self) -> int:
        """Return the ordinal of the session for the next jobs; one that is about to idle out is renewed first."""
        connection = self._connection
        if connection.keep_alive.needs_renewal(connection.clock.now()):
            connection.sessions.close_idle()
        return connection.sessions.current().ordinal

    def _resume(self, key: RoundKey, record: RoundRecord, shared_seed: int | None) -> RoundInFlight:
        """Return a recorded round; jobs whose last attempt failed get a further one, which is recorded first."""
        connection = self._connection
        connection.ledger.adopt(record)
        latest = {(job.pub, job.point, job.part): job for job in record.jobs}  # the last attempt comes last
        if record.complete:
            jobs = [JobInFlight.from_record(self._spec(key, record, job, shared_seed), job) for job in latest.values()]
            round_ = RoundInFlight(connection, key, record.pubs, jobs)
            round_.ended.set()
            self.replayed += 1
            return round_
        jobs, retries = [], []
        filled = [self._filled(pub) for pub in record.pubs]
        for job in latest.values():
            pub = record.pubs[job.pub]
            if job.slices:
                payload, rows = (
                    self._stored_program(pub.program),
                    ParameterRows.from_bytes(self._stored_program(job.program)),
                )
            else:
                by_point, rows = filled[job.pub], None
                payload = by_point[job.point] if by_point else self._stored_program(job.program or pub.program)
            spec = replace(self._spec(key, record, job, shared_seed), payload=payload, rows=rows)
            if job.state == "failed":  # the run ended with it, or before the next attempt was recorded
                spec = connection.ledger.reserve_retry(spec.next_attempt())
                retries.append(spec)
                jobs.append(JobInFlight(spec))
            else:
                jobs.append(JobInFlight.from_record(spec, job))
        if retries:
            run, ordinal = connection.run, self._session_ordinal()
            intents = [spec.intent(ordinal) for spec in retries]
            run.journal.add_attempts(run.lease, key.stream, key.sequence, intents)
        return RoundInFlight(connection, key, record.pubs, jobs)

    def _spec(self, key: RoundKey, record: RoundRecord, job: Job, shared_seed: int | None) -> JobSpec:
        """Return a recorded job, without its payload."""
        job_key = JobKey(key, job.pub, job.point, job.part)
        pub = record.pubs[job.pub]
        return JobSpec(
            key=job_key,
            attempt=job.attempt,
            shots=job.shots,
            num_bits=len(pub.measured),
            payload=b"",
            sampling_value=job_key.sampling_value(self._connection.run.seed, shared_seed),
            program=job.program,
            reserved=job.reserved,
            keeps_gates=must_keep_gates(pub.program or job.program or ""),
            slices=job.slices,
        )

    def _filled(self, pub: PubRecord) -> list[bytes] | None:
        """Return the recorded payloads of a PUB by point, from its template: nothing is compiled again."""
        if pub.program is None or is_quil(pub.program):
            return None
        return self.compiler.fill_stored(pub.program, pub.slots)

    def _stored_program(self, key: str | None) -> bytes:
        body = self._connection.run.journal.program(key or "")
        if body is None:
            raise JournalDamaged("programs", str(key), "it is missing")
        return body
