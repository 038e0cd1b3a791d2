"""A round's jobs, planned before anything is sent: which circuits, points and parts, under which ids and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.azure.targets import Target, check_circuit_fits, provider_params, split_shots
from hybridloop.compiler.programs import CompiledPub
from hybridloop.errors import InputError
from hybridloop.journal import JobIntent, PubRecord
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey

FIRST_ATTEMPT = 0
SUCCEEDED = frozenset({"Succeeded", "Completed"})
TERMINAL = SUCCEEDED | {"Failed", "Cancelled"}


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One circuit at one point with some shots, and its place: all that a submission needs."""

    place: JobKey
    attempt: int
    shots: int
    num_bits: int
    payload: bytes
    sampling_value: str
    program: str | None = None
    reserved: Mapping[str, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The job's id at the service."""
        return self.place.job_id(self.attempt)

    def next_attempt(self) -> JobSpec:
        """The same job, to be asked again."""
        return replace(self, attempt=self.attempt + 1)

    def intent(self, session: int) -> JobIntent:
        """What is written down before the job is sent, to the run's session of that number."""
        at = self.place
        return JobIntent(
            self.id, at.pub, at.point, at.part, self.attempt, self.shots, self.program, session, self.reserved
        )

    def body(self, session_id: str, target: Target, *, debias: bool = True) -> dict[str, Any]:
        """What the submission says beside where the input lies."""
        return {
            "name": self.place.name(self.attempt),
            "providerId": target.provider,
            "target": target.name,
            "sessionId": session_id,
            "inputParams": {
                "shots": self.shots,
                "items": [{"entryPoint": "ENTRYPOINT__main", "arguments": []}],
                **provider_params(target, debias=debias),
            },
            "metadata": {
                "place": self.place.path,
                "attempt": str(self.attempt),
                "sampling_value": self.sampling_value,
            },
        }


def check_round(pubs: Sequence[SamplerPub], target: Target) -> None:
    """Raise InputError for what the target can't take, before anything is compiled or sent."""
    for pub in pubs:
        if pub.shots is None or pub.shots < 1:
            raise InputError("shots", f"{pub.shots} shots were asked for", "State at least 1 for every circuit.")
        if pub.size == 0:
            raise InputError("points", "a circuit was given with no point to measure it at", "Leave the circuit out.")
        check_circuit_fits(target, pub.circuit.num_qubits)


def record_of(program: CompiledPub, shots: int) -> PubRecord:
    """A PUB as it is written down."""
    asked = program.description
    return PubRecord(asked.fingerprint, program.key, shots, asked.points, asked.slots, asked.measured, asked.num_clbits)


def plan_jobs(
    place: RoundKey, pubs: Sequence[PubRecord], programs: Sequence[CompiledPub], target: Target, seed: int
) -> list[JobSpec]:
    """The round's jobs: one for each PUB, point and part of its shots.

    A target that does not sample gets one part, cut to its limit: further ones would only round anew.
    """
    specs = []
    for i, (pub, program) in enumerate(zip(pubs, programs, strict=True)):
        parts = split_shots(pub.shots, target.max_shots) if target.samples else [min(pub.shots, target.max_shots)]
        for j, payload in enumerate(program.payloads):
            key = program.keys[j] if program.keys else None
            for k, shots in enumerate(parts):
                at = JobKey(place, i, j, k)
                value = at.sampling_value(seed)
                specs.append(JobSpec(at, FIRST_ATTEMPT, shots, len(pub.measured), payload, value, key))
    return specs
