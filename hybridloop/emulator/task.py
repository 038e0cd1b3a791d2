"""What a worker is given: all that running one job needs, as values and as one JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from hybridloop.emulator.targets import Target

QIR = "qir.v1"
IONQ_CIRCUIT = "ionq.circuit.v1"
IONQ_RESULTS = "ionq.quantum-results.v1"
OPENQASM = "honeywell.openqasm.v1"
OPENQASM_RESULTS = "honeywell.quantum-results.v1"
QUIL = "rigetti.quil.v1"
QUIL_RESULTS = "rigetti.quil-results.v1"
OWN_FORMATS = frozenset((IONQ_CIRCUIT, OPENQASM, QUIL))  # providers' own, whose results are in `rawOutputData`


@dataclass(frozen=True, slots=True)
class Task:
    """All that running a job needs, so that a worker knows nothing else; `params` are the job's inputParams."""

    target: Target
    input_format: str
    output_format: str
    params: Mapping[str, Any]
    service_seed: int
    sampling_value: str

    def to_json(self) -> bytes:
        """The task as one JSON text."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps({**own, "target": self.target.to_json()}).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Task:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        return cls(target=Target.from_json(fields.pop("target")), **fields)
