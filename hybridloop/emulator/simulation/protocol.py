"""Protocol between the service and its workers: the task that a worker receives, and the framing of messages.

A message is a frame: the lengths of header and body, a JSON header, and a body of raw bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from hybridloop.emulator.model.targets import Target
from hybridloop.emulator.settings import GateCompiler

READY = "ready"  # verdict of a worker's first message: it has imported what tasks need
DONE, FAILED = "done", "failed"  # verdicts in the header of a worker's reply to a task
NEEDS = "needs"  # verdict of a worker's request for memory and threads, before that reply
GRANTED, REFUSED = "granted", "refused"  # verdicts of the service's answer to that request
UNRESERVED_BYTES = 16 * 2**20  # a simulation up to this size takes no more than the worker itself: no request
UNTOLD_S = 5.0  # a simulation up to this time takes no other threads, and no client is told its time

_LENGTHS = struct.Struct(">II")


def pack_frame(header: bytes, body: bytes) -> bytes:
    return _LENGTHS.pack(len(header), len(body)) + header + body


def unpack_lengths(prefix: bytes) -> tuple[int, int]:
    """Return the lengths of header and body from a frame's first `PREFIX_BYTES`."""
    header, body = _LENGTHS.unpack(prefix)
    return int(header), int(body)


PREFIX_BYTES = _LENGTHS.size


def read_frame(stream: BinaryIO) -> tuple[bytes, bytes] | None:
    """Read the next header and body; None at the end of the stream, also if it ends inside a frame."""
    prefix = stream.read(PREFIX_BYTES)
    if len(prefix) < PREFIX_BYTES:
        return None
    header, body = unpack_lengths(prefix)
    message = stream.read(header + body)
    return (message[:header], message[header:]) if len(message) == header + body else None


QIR = "qir.v1"
IONQ_CIRCUIT = "ionq.circuit.v1"
IONQ_RESULTS = "ionq.quantum-results.v1"
OPENQASM = "honeywell.openqasm.v1"
OPENQASM_RESULTS = "honeywell.quantum-results.v1"
QUIL = "rigetti.quil.v1"
QUIL_RESULTS = "rigetti.quil-results.v1"
QIR_RESULTS = "honeywell.qir.v1"  # of Quantinuum, for QIR
PULSES = "pasqal.pulser.v1"
# result formats of the providers themselves: the service stores such results in the blob `rawOutputData`
PROVIDER_RESULTS = frozenset((IONQ_RESULTS, OPENQASM_RESULTS, QUIL_RESULTS, QIR_RESULTS))


@dataclass(frozen=True, slots=True)
class SimulationTask:
    """All that a worker needs to run a job, apart from its input bytes; `params` are the job's inputParams.

    The program is optimized at `optimization_level`, from 0 (not at all) to 3.
    """

    target: Target
    input_format: str
    output_format: str
    params: Mapping[str, Any]
    service_seed: int
    sampling_value: str
    optimization_level: int = 0

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> SimulationTask:
        values = json.loads(text)
        return cls(target=Target(**values.pop("target")), **values)


TKET, QUILC = "tket", "quilc"  # compilers of Quantinuum and Rigetti
DEFAULT_LEVEL, MAX_LEVEL = 2, 3  # of TKET


def optimization_level(compiler: GateCompiler, target: Target, params: Mapping[str, Any]) -> int:
    """Return the level, from 0 to 3, at which a job's program is optimized before it runs.

    A job's own `tket-opt-level` holds unless the service optimizes always; `no-opt` and `skipQuilc` turn it off.
    """
    level = params.get("tket-opt-level") if target.compiler == TKET else None
    if compiler is GateCompiler.ALWAYS:
        return DEFAULT_LEVEL
    if params.get("no-opt") is True or params.get("skipQuilc") is True:
        return 0
    if isinstance(level, int):
        return level
    return DEFAULT_LEVEL if compiler is GateCompiler.AS_ASKED else 0
