"""Reads a result's outcomes for a picture. Output blobs may be anybody's bytes: what is not understood has none."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_BARS = 16
LONGEST_LABEL = 40  # characters
LARGEST_OUTPUT = 8 * 2**20  # bytes; 10,000 shots of 29 qubits are about one megabyte


@dataclass(frozen=True, slots=True)
class Bar:
    """One outcome: its text, its weight (a count or a chance), and its share of the largest, from 0 to 1."""

    label: str
    weight: float
    share: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """The most frequent outcomes, and how many others there are with which weight together."""

    bars: tuple[Bar, ...]
    others: int
    others_weight: float


def histogram_of(output: bytes) -> Histogram | None:
    """The picture's content of an output blob, None where it has no outcomes that could be read."""
    if len(output) > LARGEST_OUTPUT:
        return None
    try:
        weights = _weights(json.loads(output))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None
    if not weights or any(not math.isfinite(weight) or weight < 0 for _, weight in weights):
        return None
    ordered = sorted(weights, key=lambda pair: (-pair[1], pair[0]))
    shown, rest = ordered[:MOST_BARS], ordered[MOST_BARS:]
    largest = shown[0][1] or 1.0
    bars = tuple(Bar(_shortened(label), weight, weight / largest) for label, weight in shown)
    return Histogram(bars, len(rest), math.fsum(weight for _, weight in rest))


def _weights(document: Any) -> Sequence[tuple[str, float]]:
    """Outcomes and weights of the result formats of all targets; raises for anything else."""
    if "histogram" in document:  # IonQ's: chances
        return [(str(outcome), _number(chance)) for outcome, chance in document["histogram"].items()]
    if "Results" in document:  # microsoft.quantum-results.v2
        entries = document["Results"][0]["Histogram"]
        return [(str(entry["Display"]), _number(entry["Count"])) for entry in entries]
    # Quantinuum's and Rigetti's own: for each register what it held in each shot, as a text or a list of bits
    registers = [["".join(map(str, word)) for word in words] for words in document.values()]
    return list(Counter(" ".join(words) for words in zip(*registers, strict=True)).items())


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a weight is a number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("a weight is a number of ordinary size") from error


def _shortened(label: str) -> str:
    """The outcome's bits without the punctuation of a list, cut in the middle where it is long."""
    text = label.removeprefix("[").removesuffix("]").replace(", ", "") if set(label) <= set("[], 01") else label
    half = (LONGEST_LABEL - 1) // 2
    return text if len(text) <= LONGEST_LABEL else f"{text[:half]}…{text[-half:]}"
