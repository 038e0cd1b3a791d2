"""Gates of a program as it is stored with a run: QIR, a template of QIR, or Quil."""

from __future__ import annotations

import re

from hybridloop.compiler.gate_counts import GateCounts, gate_counts
from hybridloop.compiler.qir_template import QirTemplate
from hybridloop.compiler.quil import is_quil

_GATE = re.compile(r"^(?:DAGGER )?(?!RESET)[A-Z]+(?:\(.*\))?((?: \d+)+)$", re.MULTILINE)
_MEASUREMENT = re.compile(r"^MEASURE (\d+)", re.MULTILINE)


def stored_gate_counts(key: str, body: bytes) -> GateCounts:
    """Return the operations of one shot of the program that is stored under a key."""
    text = body.decode()
    if is_quil(key):
        widths = [operands.count(" ") for operands in _GATE.findall(text)]
        measured = _MEASUREMENT.findall(text)
        return GateCounts(len(set(measured)), widths.count(1), widths.count(2), len(measured))
    return gate_counts("0.0".join(QirTemplate.from_bytes(body).pieces) if text.startswith("{") else text)
