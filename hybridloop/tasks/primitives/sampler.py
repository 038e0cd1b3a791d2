"""SessionSampler: Qiskit's `BaseSamplerV2` over a session, for algorithms of other libraries."""

from __future__ import annotations

import math
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives import (
    BaseSamplerV2,
    BitArray,
    DataBin,
    PrimitiveResult,
    PubResult,
    SamplerPubResult,
)
from qiskit.primitives.base.base_primitive_job import BasePrimitiveJob
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.sampler_pub import SamplerPub, SamplerPubLike
from qiskit.providers import JobStatus

from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub
from hybridloop.compiler.programs import is_measured
from hybridloop.errors import InputError, JobFailed, ProgramError
from hybridloop.settings.failure_policy import OnLostJob
from hybridloop.targets.prices import is_free
from hybridloop.tasks.primitives.unknown_options import PrimitiveOptions, check_attribute, with_answers
from hybridloop.tasks.replay.same_round import SAME_UNTOLD_RAD
from hybridloop.tasks.submission.jobs import NOT_SENT, split_shots
from hybridloop.tasks.submission.results import largest_remainder
from hybridloop.tasks.submission.round_in_flight import RoundInFlight
from hybridloop.tasks.submission.rounds import Rounds

LOOSE = "meas"  # the name of a result's classical bits of no register, as `QuantumCircuit.measure_all` has it
MAX_CALL_SHOTS = 10**7
MAX_UNCAPPED_JOBS = 100


class SessionSampler(BaseSamplerV2):  # type: ignore[misc]  # Qiskit has no types
    """A sampler with one round of a session for each `run`: submitted at once, awaited in `result()`.

    Classical bits of no register are the result's `meas`. No job is sent for a sweep without a point, nor for a circuit
    without a measurement, whose bits are all 0, with a warning. A job without counts raises in `result()`: another
    algorithm would take its point for a perfect one.
    """

    def __init__(self, rounds: Rounds, *, shots: int, stream: str) -> None:
        self._rounds = rounds
        self._shots = shots
        self._stream = stream

    @property
    def default_shots(self) -> int:
        """The shots of PUBs that state none, as Qiskit's own samplers have it."""
        return self._shots

    def __getattr__(self, name: str) -> Any:
        check_attribute("sampler", name)
        return super().__getattribute__(name)  # raises AttributeError

    def __setattr__(self, name: str, value: object) -> None:
        check_attribute("sampler", name)
        super().__setattr__(name, value)

    @property
    def options(self) -> PrimitiveOptions:
        """The option `default_shots`, as in the Runtime; other names raise UnknownOption with what there is instead."""
        return PrimitiveOptions("sampler", self, {"default_shots": "_shots"})

    @with_answers("sampler", NOT_SENT)
    def run(self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None) -> RoundJob:
        """Start a round of PUBs; `shots` is for those that state none (default: the sampler's)."""
        default = self._shots if shots is None else shots
        coerced = [SamplerPub.coerce(pub, default) for pub in pubs]
        for place, pub in enumerate(coerced):
            check_angles(place, pub.parameter_values, pub.circuit)
            if not is_measured(pub.circuit):
                what = f"the circuit {pub.circuit.name!r} of PUB {place} has no measurement"
                warnings.warn(f"{what}: no job is sent for it, and its bits are 0", stacklevel=3)
        sent = [place for place, pub in enumerate(coerced) if pub.size and is_measured(pub.circuit)]
        check_call(self._rounds, [coerced[place] for place in sent])
        with named_by_pub({pub.circuit.name: place for place, pub in reversed([*enumerate(coerced)])}):
            round_ = self._rounds.start(
                [coerced[place] for place in sent], stream=self._stream, same_rad=SAME_UNTOLD_RAD
            )

        def read(measured: Sequence[MeasuredPub]) -> list[SamplerPubResult]:
            order = shot_order(round_.key.stream, round_.key.sequence)
            found = dict[int, Sequence[Counts | FailedPoint]](zip(sent, measured, strict=True))
            return [_pub_result(pub, found.get(place), order) for place, pub in enumerate(coerced)]

        return RoundJob(self._rounds, round_, read)


class RoundJob(BasePrimitiveJob):  # type: ignore[misc]  # Qiskit has no types
    """A round as Qiskit's primitive job; `read` turns the measured counts into the primitive's results."""

    def __init__(
        self, rounds: Rounds, round_: RoundInFlight, read: Callable[[Sequence[MeasuredPub]], list[PubResult]]
    ) -> None:
        super().__init__(str(uuid.uuid5(uuid.UUID(rounds.run_uid), round_.key.prefix)))
        self._rounds = rounds
        self._round = round_
        self._read = read
        self._result: PrimitiveResult[PubResult] | None = None

    def result(self) -> PrimitiveResult[PubResult]:
        """Wait for the round's counts. Raises the error that ended it."""
        if self._result is None:
            self._result = PrimitiveResult(self._read(self._rounds.collect(self._round)), metadata={"version": 2})
        return self._result

    def status(self) -> JobStatus:
        """DONE once all counts are there or the round has failed, else RUNNING."""
        return JobStatus.DONE if self._round.ended.is_set() else JobStatus.RUNNING

    def done(self) -> bool:
        """Return True once the round has ended."""
        return self._round.ended.is_set()

    in_final_state = done

    def running(self) -> bool:
        """Return True while the round is in flight."""
        return not self.done()

    def cancelled(self) -> bool:
        """Return False: a round's jobs are left to finish, because they are paid for."""
        return False

    def cancel(self) -> None:
        """Stop waiting for the round; its jobs are left to finish."""
        self._round.stop()


def shot_order(stream: str, sequence: int) -> np.random.Generator:
    """Return the generator that draws the order of a round's shots, the same in a resumed run.

    Counts have no order: with a drawn one, any part of the shots is a sample.
    """
    return np.random.default_rng(uuid.uuid5(uuid.NAMESPACE_OID, f"{stream}.{sequence}").int)


def ordered_shots(counts: Counts | FailedPoint, shots: int, order: np.random.Generator) -> NDArray[np.uint8]:
    """Return the bits (shots, clbits) of each shot, lowest first, in a drawn order. Raises JobFailed."""
    found: NDArray[np.uint8] = order.permutation(_shots(counts, shots))
    return found


def _pub_result(
    pub: SamplerPub, points: Sequence[Counts | FailedPoint] | None, order: np.random.Generator
) -> SamplerPubResult:
    # (points, shots, clbits), lowest bit first; without points nothing was sent
    bits = np.zeros((pub.size, int(pub.shots), pub.circuit.num_clbits), np.uint8)
    for place, counts in enumerate(points or ()):
        bits[place] = ordered_shots(counts, int(pub.shots), order)
    data = {}
    registers = {register.name: list(register) for register in pub.circuit.cregs}
    if loose := [bit for bit in pub.circuit.clbits if not pub.circuit.find_bit(bit).registers]:
        registers[LOOSE if LOOSE not in registers else f"{LOOSE}_loose"] = loose
    for name, members in registers.items():
        packed = _pack(bits[..., [pub.circuit.find_bit(bit).index for bit in members]])
        array = packed.reshape(*pub.shape, pub.shots, packed.shape[-1])
        data[name] = BitArray(array, len(members))
    metadata = {"shots": pub.shots, "circuit_metadata": pub.circuit.metadata}
    return SamplerPubResult(DataBin(**data, shape=pub.shape), metadata=metadata)


def check_angles(pub: int, values: BindingsArray, circuit: QuantumCircuit) -> None:
    """Raise InputError for an angle of a PUB that is not a finite number, with its point; nothing is sent yet."""
    angles = values.as_array(list(circuit.parameters)).reshape(values.size, circuit.num_parameters)
    for point, row in enumerate(angles):
        for parameter, angle in zip(circuit.parameters, row.tolist(), strict=True):
            if not math.isfinite(angle):
                place = tuple(map(int, np.unravel_index(point, values.shape))) if values.shape else ()
                problem = f"the angle {parameter.name} of PUB {pub} is {angle}, at the point {place}"
                raise InputError("parameter_values", problem, "Give finite angles in radians.", NOT_SENT)


@contextmanager
def named_by_pub(places: Mapping[str, int]) -> Iterator[None]:
    """Name the PUB in errors of circuits, by the circuits' names: those that Qiskit numbers say nothing to a caller."""
    try:
        yield
    except ProgramError as error:
        raise ProgramError(error.circuit, error.problem, places.get(error.circuit)) from error


def check_call(rounds: Rounds, pubs: Sequence[SamplerPub]) -> None:
    """Raise InputError, before anything is sent, for a call that is larger than one that somebody means.

    It has more than `MAX_CALL_SHOTS`, or on a target that bills them more than `MAX_UNCAPPED_JOBS` jobs without a cap.
    """
    parts = [(pub.size, int(pub.shots or 0)) for pub in pubs]
    shots = sum(size * each for size, each in parts)
    if rounds.target.samples and shots > MAX_CALL_SHOTS:
        remedy = "Give fewer shots or a larger precision, or split it into several calls."
        raise InputError("shots", f"one call takes {shots:,}, and {MAX_CALL_SHOTS:,} are the most", remedy, NOT_SENT)
    jobs = sum(size * len(split_shots(max(1, each), rounds.target)) for size, each in parts)
    if jobs > MAX_UNCAPPED_JOBS and not rounds.budget.has_caps and not is_free(rounds.target):
        problem = f"one call takes {jobs:,} jobs, {rounds.target.name} bills each, and the session has no cap"
        raise InputError("max_cost", problem, "Open the session with max_cost or max_jobs.", NOT_SENT)


def incomplete(why: str) -> JobFailed:
    """Return the error of a primitive that lacks a point's counts."""
    return JobFailed(
        f"a point has no complete counts: {why}",
        "The other points of its round are measured and paid for.",
        "Start the run again.",
    )


def check_no_lost_points(primitive: str, on_lost_job: OnLostJob) -> None:
    """Raise InputError for a failure policy that lets points fail, which Qiskit's results can't express."""
    if on_lost_job is not OnLostJob.FAIL:
        problem = f"{primitive} has no way to {on_lost_job.value} a point"
        raise InputError("on_lost_job", problem, "Choose 'fail' for algorithms of other libraries.")


def _shots(counts: Counts | FailedPoint, shots: int) -> NDArray[np.uint8]:
    if isinstance(counts, Counts) and counts.exact:  # a distribution, of as many shots as the target takes at most
        counts = Counts.from_bitstrings(largest_remainder(counts.bitstrings(), shots), exact=True)
    if isinstance(counts, FailedPoint):
        raise incomplete(counts.reason)
    if counts.shots != shots:
        raise incomplete(f"{shots - counts.shots} shots lost a qubit")
    rows = np.repeat(counts.outcomes, counts.counts, axis=0)
    bits: NDArray[np.uint8] = np.unpackbits(rows, axis=1)[:, ::-1][:, : counts.num_bits]
    return bits


def _pack(columns: NDArray[np.uint8]) -> NDArray[np.uint8]:
    width = columns.shape[-1]
    padded = np.zeros((*columns.shape[:-1], 8 * ((width + 7) // 8)), dtype=np.uint8)
    padded[..., :width] = columns
    packed: NDArray[np.uint8] = np.packbits(padded[..., ::-1], axis=-1)
    return packed
