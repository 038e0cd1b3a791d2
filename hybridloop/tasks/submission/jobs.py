"""Jobs of a round, built before anything is sent: circuits, points and parts, with their ids, names and shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp
from qiskit.exceptions import QiskitError
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Clifford

from hybridloop.azure.job_document import QIR, QUIL, QUIL_RESULTS
from hybridloop.compiler.given_programs import is_qir_program, may_be_program
from hybridloop.compiler.programs import CompiledPub
from hybridloop.compiler.quil import QuilPub
from hybridloop.errors import InputError
from hybridloop.journal import Job, PubRecord, Slice
from hybridloop.runtime.leaves import leaf
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Target, check_circuit_fits
from hybridloop.targets.provider_options import FIELD, provider_params
from hybridloop.tasks.submission.batches import ParameterRows, plan_batches
from hybridloop.tasks.submission.job_ids import JobKey, RoundKey

if TYPE_CHECKING:
    from hybridloop.compiler.languages import qir_program
else:
    qir_program = leaf("hybridloop.compiler.languages.qir_program")

FIRST_ATTEMPT = 0
SENT_AS_QIR = "sent_as_qir"  # key of the metadata of a job whose program is its user's QIR
NOT_SENT = "No job of this round was submitted."
PARTLY = "Completed"  # of a v2 workspace: some of its shots may have failed
IN_V1 = {"Queued": "Waiting", PARTLY: "Succeeded"}  # statuses of a v2 workspace, in the words of v1
SUCCEEDED = frozenset({"Succeeded", PARTLY})
TERMINAL = SUCCEEDED | {"Failed", "Cancelled"}
ACTIVE = frozenset({"Waiting", "Queued", "Executing", "Finishing", "CancellationRequested", "Cancelling"})


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job to submit: one circuit at one point with some shots; its `id` follows from key and attempt.

    With `keeps_gates` the provider's compiler must remove none. A job of many points has their `slices`, and its
    `rows` of parameters.
    """

    key: JobKey
    attempt: int
    shots: int
    num_bits: int
    payload: bytes
    sampling_value: str
    program: str | None = None
    reserved: Mapping[str, float] = field(default_factory=dict)
    keeps_gates: bool = False
    slices: tuple[Slice, ...] = ()
    rows: ParameterRows | None = None
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.key.job_id(self.attempt))

    def next_attempt(self) -> JobSpec:
        """Return the job's next attempt, which has an id of its own."""
        return replace(self, attempt=self.attempt + 1)

    @property
    def parts(self) -> tuple[Slice, ...]:
        """Its slices; a job of a single point has one."""
        return self.slices or (Slice(self.key.pub, self.key.point, self.key.part, self.shots),)

    @property
    def qir(self) -> qir_program.QirProgram | None:
        """The program of a job that sends QIR as its user gave it; None for a circuit."""
        return qir_program.read_stored(self.payload) if is_qir_program(self.program or "") else None

    @property
    def data_format(self) -> str:
        """The format of its payload."""
        return QIR if self.rows is None else QUIL

    def intent(self, session: int) -> Job:
        """Return the journal's record before submission; `session` is the ordinal of the run's session."""
        key = self.key
        return Job(
            id=self.id,
            pub=key.pub,
            point=key.point,
            part=key.part,
            attempt=self.attempt,
            shots=self.shots,
            program=self.program,
            session=session,
            reserved=self.reserved,
            slices=self.slices,
        )


def check_round(pubs: Sequence[SamplerPub], target: Target) -> None:
    """Raise InputError for PUBs that the target can't take, before anything is compiled or sent."""
    for pub in pubs:
        if pub.shots is None or pub.shots < 1:
            remedy = "State at least 1 for every circuit."
            raise InputError("shots", f"{pub.shots} shots were asked for", remedy, NOT_SENT)
        if pub.size == 0:
            problem = "a circuit was given with no point to measure it at"
            raise InputError("points", problem, "Leave the circuit out.", NOT_SENT)
        circuit = pub.circuit
        if target.is_clifford_only and not may_be_program(circuit):
            bound = pub.parameter_values.bind_all(circuit).ravel() if circuit.parameters else [circuit]
            if (other := next(filter(None, map(_other_gate, bound)), None)) is not None:
                problem = f"it runs Clifford gates alone, and {other} of the circuit {circuit.name} is none"
                raise InputError(f"{FIELD}.simulator", problem, "Leave it out, or change the circuit.", NOT_SENT)
        is_clifford = partial(_is_clifford, circuit)
        check_circuit_fits(target, circuit.num_qubits, NOT_SENT, is_clifford=is_clifford)


def _is_clifford(circuit: QuantumCircuit) -> bool:
    return _other_gate(circuit) is None


def _other_gate(circuit: QuantumCircuit) -> str | None:
    """Return the name of a gate that is no Clifford gate, as one with an angle that is a parameter; None if all are."""
    for item in circuit.data:
        if isinstance(item.operation, ControlFlowOp):
            if (other := next(filter(None, map(_other_gate, item.operation.blocks)), None)) is not None:
                return other
        elif item.name not in ("measure", "reset", "barrier", "store"):
            try:
                Clifford(item.operation)
            except (QiskitError, TypeError):  # TypeError: of an angle that is a parameter
                return str(item.name)
    return None


def split_shots(shots: int, target: Target) -> list[int]:
    """Split the shots of one point into as few jobs as the target's limit allows, as evenly as possible.

    A target that does not sample gets one job, cut to its limit: further ones would only be rounded again.
    """
    if not target.samples:
        return [min(shots, target.max_shots)]
    parts = -(-shots // target.max_shots)
    base, rest = divmod(shots, parts)
    return [base + 1] * rest + [base] * (parts - rest)


def build_jobs(
    key: RoundKey,
    programs: Sequence[CompiledPub | QuilPub],
    shots: Sequence[int],
    target: Target,
    seed: int,
    shared_seed: int | None = None,
) -> tuple[list[PubRecord], list[JobSpec]]:
    """Return the journal's records of compiled PUBs, and their jobs.

    QIR has a job for each PUB, point and part of its shots; points of Quil are put into as few jobs as they fit. The
    `shared_seed` replaces the run's seed and the jobs' places in their sampling values.
    """
    pubs, specs = [], []
    for i, (program, pub_shots) in enumerate(zip(programs, shots, strict=True)):
        pub = program.description
        pubs.append(
            PubRecord(pub.fingerprint, program.key, pub_shots, pub.points, pub.slots, pub.measured, pub.num_clbits)
        )
        if isinstance(program, QuilPub):
            continue
        parts = split_shots(pub_shots, target)
        for j, payload in enumerate(program.payloads):
            stored = program.keys[j] if program.keys else None
            for k, part in enumerate(parts):
                job = JobKey(key, i, j, k)
                value = job.sampling_value(seed, shared_seed)
                keeps = pub.structure is not None and pub.structure.keeps_gates
                specs.append(
                    JobSpec(job, FIRST_ATTEMPT, part, len(pub.measured), payload, value, stored, keeps_gates=keeps)
                )
    quil = {i: program for i, program in enumerate(programs) if isinstance(program, QuilPub)}
    for batch in plan_batches(key, quil, shots, target, seed):
        program, rows = quil[batch.key.pub], batch.rows
        specs.append(
            JobSpec(
                key=batch.key,
                attempt=FIRST_ATTEMPT,
                shots=rows.shots * len(rows.slice_of),
                num_bits=program.bits,
                payload=program.program.text.encode(),
                sampling_value=batch.key.sampling_value(seed),
                program=rows.key,
                slices=batch.slices,
                rows=rows,
            )
        )
    return pubs, specs


def describe_jobs(jobs: int, retried: int = 0, lost: int = 0) -> str:
    """Return a round's numbers of jobs, of further attempts and of lost jobs as text."""
    parts = [f"{jobs} job{'s' * (jobs != 1)}"]
    return ", ".join(parts + [f"{count} {name}" for count, name in ((retried, "retried"), (lost, "lost")) if count])


def submission_body(spec: JobSpec, session_id: str, target: Target, options: SessionOptions) -> dict[str, Any]:
    """Return the fields of a submission's JSON, without the location of the input."""
    entry = "ENTRYPOINT__main" if spec.qir is None else spec.qir.entry.name
    params, formats = {"shots": spec.shots, "items": [{"entryPoint": entry, "arguments": []}]}, {}
    if spec.rows is not None:
        params, formats = spec.rows.input_params, {"inputDataFormat": QUIL, "outputDataFormat": QUIL_RESULTS}
    params |= provider_params(
        target,
        debias=target.mitigates(spec.shots, debias=options.debias),
        keeps_gates=spec.keeps_gates,
        options=options.provider_options,
        sampling_value=spec.sampling_value,
    )
    return {
        "name": spec.key.name(spec.attempt),
        "providerId": target.provider,
        "target": target.name,
        "sessionId": session_id,
        **formats,
        "inputParams": params,
        "metadata": {
            "place": spec.key.path,
            "attempt": str(spec.attempt),
            "sampling_value": spec.sampling_value,
            **({} if spec.qir is None else {SENT_AS_QIR: "True"}),
        },
    }
