"""Rounds from PUBs: gone on with where the journal has them, else compiled, reserved and written down."""

from __future__ import annotations

from collections.abc import Sequence

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.azure.targets import Target
from hybridloop.compiler.programs import PubCompiler, PubDescription
from hybridloop.errors import JournalDamaged
from hybridloop.journal import JobRecord, RoundRecord
from hybridloop.journal.claimed_run import ClaimedRun
from hybridloop.runtime.clock import Clock
from hybridloop.runtime.crash_points import crash_point
from hybridloop.tasks.cost_ledger import CostLedger
from hybridloop.tasks.keepalive.session_keep_alive import SessionKeepAlive
from hybridloop.tasks.session_renewal import SessionRenewal
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey
from hybridloop.tasks.submission.jobs import JobSpec, plan_jobs, record_of
from hybridloop.tasks.submission.replay import check_same
from hybridloop.tasks.submission.round_in_flight import RoundInFlight


class RoundBuilder:
    """Makes the rounds of a run; one call at a time for each stream."""

    def __init__(
        self,
        run: ClaimedRun,
        target: Target,
        sessions: SessionRenewal,
        keeper: SessionKeepAlive,
        account: CostLedger,
        clock: Clock,
    ) -> None:
        self.programs = PubCompiler(target.profile, run.journal.program)
        self.replayed = 0  # rounds that came from the journal whole
        self._run = run
        self._target = target
        self._lineage = sessions
        self._keeper = keeper
        self._account = account
        self._clock = clock
        self._kept: set[str] = set()
        self._looked_up: RoundRecord | None = None

    def look_up(self, place: RoundKey) -> RoundRecord | None:
        """The round as the journal has it; it is looked up once, also if it is planned after this."""
        self._looked_up = self._recorded(place)
        return self._looked_up

    def _recorded(self, place: RoundKey) -> RoundRecord | None:
        known, self._looked_up = self._looked_up, None
        if known is not None and (known.stream, known.sequence) == (place.stream, place.sequence):
            return known
        return self._run.journal.round(self._run.uid, place.stream, place.sequence)

    def current(self) -> int:
        """The number of the session that the next jobs go to; one that was left alone for too long is renewed first."""
        if self._keeper.would_idle(self._clock.now()):
            self._lineage.lapse("idle")
        return self._lineage.current().ordinal

    def planned(
        self, place: RoundKey, pubs: Sequence[SamplerPub], asked: Sequence[PubDescription], same_rad: float
    ) -> tuple[RoundInFlight, bool]:
        """The round, and whether it has anything to do at the service."""
        run = self._run
        record = self._recorded(place)
        if record is not None:
            check_same(record, asked, [pub.shots for pub in pubs], self._target.name, same_rad)
            return self._again(place, record)
        programs = [self.programs.compile_description(each) for each in asked]
        records = [record_of(program, pub.shots) for program, pub in zip(programs, pubs, strict=True)]
        specs = plan_jobs(place, records, programs, self._target, self._run.seed)
        specs = self._account.reserve(specs, programs)
        try:
            ordinal = self.current() if specs else 0
            bodies = {key: body for each in programs for key, body in each.bodies.items() if key not in self._kept}
            crash_point("intent.before")
            intents = [spec.intent(ordinal) for spec in specs]
            run.journal.begin_round(
                run.lease,
                place.stream,
                place.sequence,
                self._target.name,
                records,
                intents,
                bodies,
                at=self._clock.now(),
            )
        except BaseException:  # whatever it was, an interruption too: nothing of it was written down
            self._account.release(specs)
            raise
        crash_point("intent.after")
        self._kept |= bodies.keys()
        return RoundInFlight(place, records, specs), True

    def _again(self, place: RoundKey, record: RoundRecord) -> tuple[RoundInFlight, bool]:
        self._account.adopt(record)
        latest = {(job.pub, job.point, job.part): job for job in record.jobs}  # the last attempt comes last
        if record.complete:
            specs = [self._spec(place, record, job, b"") for job in latest.values()]
            round_ = RoundInFlight(place, record.pubs, specs, {job.id: job for job in latest.values()})
            round_.ended.set()
            self.replayed += 1
            return round_, False
        known, specs, again = {}, [], []
        payloads = self._payloads(record)
        for at, job in latest.items():
            spec = self._spec(place, record, job, payloads[at])
            if job.state == "failed":  # the run ended on it, or before the next attempt was written down
                spec = self._account.again(spec.next_attempt())
                again.append(spec)
            else:
                known[spec.id] = job
            specs.append(spec)
        if again:
            run, ordinal = self._run, self.current()
            intents = [spec.intent(ordinal) for spec in again]
            run.journal.add_attempts(run.lease, place.stream, place.sequence, intents)
        return RoundInFlight(place, record.pubs, specs, known), True

    def _spec(self, place: RoundKey, record: RoundRecord, job: JobRecord, payload: bytes) -> JobSpec:
        at = JobKey(place, job.pub, job.point, job.part)
        bits = len(record.pubs[job.pub].measured)
        value = at.sampling_value(self._run.seed)
        return JobSpec(at, job.attempt, job.shots, bits, payload, value, job.program, job.reserved)

    def _payloads(self, record: RoundRecord) -> dict[tuple[int, int, int], bytes]:
        """The payloads as they were written down, by place: nothing is compiled again."""
        found = {}
        filled = [pub.program and self.programs.fill_stored(pub.program, pub.slots) for pub in record.pubs]
        for job in record.jobs:
            of_pub = filled[job.pub]
            payload = of_pub[job.point] if of_pub else self._run.journal.program(job.program or "")
            if payload is None:
                key = str(record.pubs[job.pub].program or job.program)
                raise JournalDamaged("programs", key, "it is missing")
            found[job.pub, job.point, job.part] = payload
        return found
