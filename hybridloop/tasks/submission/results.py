"""Results of jobs, read as counts and merged into the counts of a round's points."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.rounds import Counts, FailedPoint, MeasuredPub, merge_counts, proportional_counts
from hybridloop.azure.answer_body import parse_json
from hybridloop.azure.job_document import QUIL_RESULTS, checked_amount
from hybridloop.journal import PubRecord, RoundRecord, Slice
from hybridloop.runtime.leaves import leaf
from hybridloop.targets import Target
from hybridloop.tasks.submission.batches import ParameterRows
from hybridloop.tasks.submission.jobs import JobSpec

if TYPE_CHECKING:
    from hybridloop.compiler.languages import qir_output
else:
    qir_output = leaf("hybridloop.compiler.languages.qir_output")

_MAX_TEXT = 200  # characters of a message


class UnreadableResult(ValueError):
    """Bytes that do not follow the result format."""


def _unreadable(error: Exception) -> UnreadableResult:
    """Return the error for a document that Python could not take apart."""
    if isinstance(error, UnreadableResult):
        return error
    if isinstance(error, KeyError):
        return UnreadableResult(f"it has no field {str(error)[:_MAX_TEXT]}")
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return UnreadableResult("it is no JSON document")
    return UnreadableResult("its fields have another form than this format's")


def read_counts(
    data: bytes | bytearray, spec: JobSpec, target: Target, *, is_partial: bool = False
) -> tuple[Counts, ...]:
    """Read the counts of a job's slices from its result; of `is_partial` some shots may be missing.

    Raises UnreadableResult.
    """
    if spec.rows is not None:
        return read_quil_results(data, spec.num_bits, rows=spec.rows, slices=spec.parts)
    exact, mitigated = not target.samples, target.debiases
    pack = _bits if spec.qir is None else spec.qir.layout.pack
    read = partial(read_results_v2, data, spec.num_bits, exact=exact, mitigated=mitigated, is_partial=is_partial)
    return (read(shots=spec.shots, pack=pack),)


def read_results_v2(
    data: bytes | bytearray,
    num_bits: int,
    *,
    exact: bool,
    shots: int,
    mitigated: bool = False,
    is_partial: bool = False,
    pack: Callable[[object], str] | None = None,
) -> Counts:
    """Read the counts of a `microsoft.quantum-results.v2` document of one program that records num_bits bits.

    Outcomes list the highest classical bit first, as Qiskit's bit strings do; several registers come as a tuple. Those
    of another program are packed into such a string by `pack`, which raises ValueError for what it can't.
    `exact` says that the target does not sample: its numbers are a distribution, and become counts that sum to the
    shots by largest remainder. A sampled histogram must sum to the shots, and agree with the list of shots if there is
    one; one that the provider may have `mitigated`, or of which shots failed, must not exceed the shots. Sampled
    outcomes with a lost qubit (a mark that is neither 0 nor 1) are left out, as the SDK leaves them out. Raises
    UnreadableResult.
    """
    try:
        results = parse_json(data)["Results"]
        if len(results) != 1:
            raise UnreadableResult(f"{len(results)} results of one program")
        read = _reader(num_bits, pack or _bits)
        weights = _weights(results[0]["Histogram"], read)
        listed = results[0].get("Shots")
        tally = _tally(listed, read) if isinstance(listed, list) and not (exact or mitigated) else {}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(error) from error
    total = sum(weights.values())
    if not exact and (total > shots or (total < shots and not (mitigated or is_partial)) or not _are_whole(weights)):
        raise UnreadableResult(f"{total} counts for {shots} shots")
    if tally and tally != {bits: weight for bits, weight in weights.items() if weight}:
        raise UnreadableResult("its histogram and its list of shots differ")
    if exact and any(weight and not set(bits) <= {"0", "1"} for bits, weight in weights.items()):
        raise UnreadableResult("an outcome of its distribution is no bits")  # without it, the others would weigh more
    kept = {bits: weight for bits, weight in weights.items() if weight and set(bits) <= {"0", "1"}}
    if not kept and not any(weights.values()) and not is_partial:
        raise UnreadableResult("it has no counts")
    if not kept:  # each shot lost a qubit, or failed
        return Counts(num_bits, np.empty((0, (num_bits + 7) // 8), np.uint8), np.empty(0, np.int64))
    if exact:
        return Counts.from_bitstrings(largest_remainder(kept, shots), exact=True)
    return Counts.from_bitstrings({bits: int(weight) for bits, weight in kept.items()})


def read_quil_results(
    data: bytes | bytearray, num_bits: int, *, rows: ParameterRows, slices: Sequence[Slice]
) -> tuple[Counts, ...]:
    """Read the counts of each slice from a `rigetti.quil-results.v1` document, which lists the bits of every shot.

    The shots of a row are one after the other, and the rows in their order. Shots above those of a slice, which whole
    rows have, are left out. Raises UnreadableResult unless there are exactly the shots of all rows.
    """
    expected = (len(rows.slice_of) * rows.shots, num_bits)
    bits = _read_listed_bits(data, *expected)
    if bits is None:
        try:
            bits = np.array(parse_json(data)["ro"])
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise _unreadable(error) from error
    if bits.shape != expected:
        what = f"{len(bits)} shots" if bits.ndim == 2 and bits.shape[1] == num_bits else f"an array {bits.shape}"
        text = f"{len(rows.slice_of)} rows of {rows.shots} shots of {num_bits} bits"
        raise UnreadableResult(f"{what} for {text}")
    if bits.dtype.kind != "i" or not np.all((bits == 0) | (bits == 1)):
        raise UnreadableResult("a bit that is neither 0 nor 1")
    packed = _pack(bits.astype(np.uint8))
    packed = packed.reshape(len(rows.slice_of), rows.shots, -1)
    counts = []
    for i, part in enumerate(slices):
        shots = packed[np.flatnonzero(np.equal(rows.slice_of, i))].reshape(-1, packed.shape[-1])
        counts.append(Counts.from_shots(num_bits, shots[: part.shots]))
    return tuple(counts)


def read_document(
    data: bytes | bytearray, data_format: str, target: Target, shots: int, layout: qir_output.OutputLayout | None = None
) -> Counts:
    """Read the counts of a job of one point from its result alone, over as many bits as that has.

    For jobs whose circuit is not known; the `layout` is that of a program in QIR. Raises UnreadableResult.
    """
    exact, mitigated = not target.samples, target.debiases
    if layout is not None:
        bits = layout.num_bits
        return read_results_v2(data, bits, exact=exact, mitigated=mitigated, shots=shots, pack=layout.pack)
    try:
        document = parse_json(data)
        if data_format == QUIL_RESULTS:
            num_bits = len(document["ro"][0])
        else:
            num_bits = len(_bits(document["Results"][0]["Histogram"][0]["Outcome"]))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(error) from error
    if data_format == QUIL_RESULTS:
        rows = ParameterRows(shots, (0,), {})
        return read_quil_results(data, num_bits, rows=rows, slices=[Slice(0, 0, 0, shots)])[0]
    return read_results_v2(data, num_bits, exact=exact, mitigated=mitigated, shots=shots)


def _read_listed_bits(data: bytes | bytearray, shots: int, num_bits: int) -> NDArray[np.int64] | None:
    """Read `{"ro": [[0, 1], …]}` of so many shots without a list for each; None for any other text."""
    head, tail = b'{"ro":[', b"]}"
    text = data.translate(None, b" \t\r\n")
    width = len("[") + 2 * num_bits + len(",")  # of a shot: each bit is followed by a comma or the closing bracket
    body = text[len(head) : -len(tail)] + b","
    if not (text.startswith(head) and text.endswith(tail)) or len(body) != shots * width:
        return None
    listed = np.frombuffer(body, np.uint8).reshape(shots, width)
    frame = np.frombuffer(b"[" + b",".join([b"0"] * num_bits) + b"],", np.uint8)
    is_bit = np.zeros(width, dtype=bool)
    is_bit[1 : 2 * num_bits : 2] = True
    if not (np.all(listed[:, ~is_bit] == frame[~is_bit]) and np.all(listed[:, is_bit] >> 1 == ord("0") >> 1)):
        return None
    return (listed[:, is_bit] & 1).astype(np.int64)


def _pack(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pack bits, the lowest first, as `Counts` has its outcomes."""
    wide = np.zeros((len(bits), 8 * ((bits.shape[1] + 7) // 8)), dtype=np.uint8)
    wide[:, : bits.shape[1]] = bits
    return np.packbits(wide[:, ::-1], axis=1)


def largest_remainder(weights: Mapping[str, float], shots: int) -> dict[str, int]:
    """Return counts in proportion to the weights that sum to the shots: `proportional_counts`, without those of 0.

    >>> largest_remainder({"00": 0.5, "11": 0.5}, 3)
    {'00': 2, '11': 1}
    """
    outcomes = sorted(weights)
    counts = proportional_counts(np.array([weights[bits] for bits in outcomes]), shots).tolist()
    return {bits: count for bits, count in zip(outcomes, counts, strict=True) if count}


def _weights(histogram: Sequence[Mapping[str, object]], read: Callable[[object], str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for row in histogram:
        bits, weight = read(row["Outcome"]), checked_amount(row["Count"])
        if weight is None:
            raise UnreadableResult("a count that is no number from 0 on")
        weights[bits] = weights.get(bits, 0) + weight
    return weights


def _tally(listed: Sequence[object], read: Callable[[object], str]) -> dict[str, float]:
    """Count the outcomes of a list of shots; equal shots are read once."""
    keys = _hashable(listed)
    examples = dict(zip(keys, listed, strict=True))
    tally: dict[str, float] = {}
    for key, number in Counter(keys).items():
        bits = read(examples[key])
        tally[bits] = tally.get(bits, 0) + number
    return tally


def _hashable(listed: Sequence[object]) -> list[object]:
    """Return something hashable for each shot, equal for equal shots."""
    if set(map(type, listed)) == {list}:
        keys: list[object] = list(map(tuple, listed))  # type: ignore[arg-type]  # they are lists
        with suppress(TypeError):  # of several registers, which are lists themselves
            hash(keys[0])
            return keys
    return list(map(repr, listed))


def _are_whole(weights: Mapping[str, float]) -> bool:
    return all(weight == int(weight) for weight in weights.values())


def _reader(num_bits: int, pack: Callable[[object], str]) -> Callable[[object], str]:
    """Return a function that packs outcomes of so many bits. It raises ValueError for others."""

    def read(outcome: object) -> str:
        bits = pack(outcome)
        if len(bits) != num_bits:
            raise UnreadableResult(f"an outcome of {len(bits)} bits where the program records {num_bits}")
        return bits

    return read


def _bits(outcome: object) -> str:
    if isinstance(outcome, dict):  # {"Item1": …, "Item2": …}: registers, the highest first
        outcome = list(outcome.values())
    if isinstance(outcome, list):
        return "".join(map(_bits, outcome))
    if isinstance(outcome, str) or (type(outcome) is int and 0 <= outcome <= 9):
        return str(outcome)
    raise UnreadableResult(f"an outcome of type {type(outcome).__name__}")


def lost_shots(parts: Sequence[Slice], counts: Sequence[Counts], target: Target) -> int:
    """Return the shots of a job that gave no counts, as each lost a qubit or failed.

    A target that does not sample loses none, and what a provider left out to mitigate errors is not lost.
    """
    if not target.samples or target.debiases:
        return 0
    return sum(part.shots - measured.shots for part, measured in zip(parts, counts, strict=True))


def expand_bits(counts: Counts, positions: Sequence[int], num_bits: int) -> Counts:
    """Return counts over the measured bits as counts over all num_bits classical bits; the others read 0.

    `positions[j]` is the classical bit that the program's bit j was measured into.
    """
    if list(positions) == list(range(num_bits)):
        return counts
    bits = np.unpackbits(counts.outcomes, axis=1)[:, ::-1][:, : counts.num_bits]
    wide = np.zeros((len(bits), num_bits), dtype=np.uint8)
    wide[:, list(positions)] = bits
    outcomes = _pack(wide)
    order = np.lexsort(outcomes.T[::-1])
    return Counts(num_bits, outcomes[order], counts.counts[order], counts.exact)


def stored_points(record: RoundRecord) -> list[MeasuredPub]:
    """Return the counts of a complete round that the journal has; the last attempt of each job counts."""
    latest = {(job.pub, job.point, job.part): job for job in record.jobs}
    points: dict[tuple[int, int, int], Counts | FailedPoint] = {}
    for job in latest.values():
        for i, part in enumerate(job.parts):
            points[part[:3]] = FailedPoint(job.reason) if job.counts is None else job.counts[i]
    return merge_points(record.pubs, points)


def merge_points(
    pubs: Sequence[PubRecord], jobs: Mapping[tuple[int, int, int], Counts | FailedPoint]
) -> list[MeasuredPub]:
    """Merge the counts of a round's jobs, by (PUB, point, part), into its points; a point that lacks a part failed."""
    parts: dict[tuple[int, int], list[Counts | FailedPoint]] = {}
    for key in sorted(jobs):
        parts.setdefault(key[:2], []).append(jobs[key])
    merged = []
    for i, pub in enumerate(pubs):
        points: list[Counts | FailedPoint] = []
        for j in range(len(pub.points)):
            counts = [part for part in parts[i, j] if isinstance(part, Counts)]
            failed = next((part for part in parts[i, j] if isinstance(part, FailedPoint)), None)
            points.append(failed or expand_bits(merge_counts(counts), pub.measured, pub.num_clbits))
        merged.append(MeasuredPub(pub.points, tuple(points)))
    return merged
