"""Result documents in the providers' formats, written from the outcomes of a simulation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from hybridloop.emulator.model.adaptive_program import AdaptiveProgram, Number, ValueOutcomes
from hybridloop.emulator.model.program import JobInputError, Output, Program, Register, ShotOutcomes

RESULTS_V1, RESULTS_V2 = "microsoft.quantum-results.v1", "microsoft.quantum-results.v2"
Runs = Sequence[tuple[Program, ShotOutcomes]]  # each program of a job with its outcomes


Leaf = Callable[[int], Number]  # value of a leaf of the output, by its number


@dataclass(frozen=True, slots=True)
class RecordedOutput:
    """Output of a QIR program: its tree, a leaf function for each distinct outcome, counts, and shots by outcome."""

    output: Output
    leaves: Sequence[Leaf]
    counts: Sequence[int]
    shots: Sequence[int]

    @classmethod
    def of_bits(cls, program: Program, measured: ShotOutcomes) -> RecordedOutput:
        leaves = [_bit_leaf(bits) for bits in measured.outcomes]
        return cls(program.output, leaves, measured.counts, measured.shots)

    @classmethod
    def of_values(cls, program: AdaptiveProgram, recorded: ValueOutcomes) -> RecordedOutput:
        leaves = [values.__getitem__ for values in recorded.outcomes]
        return cls(program.output, leaves, recorded.counts, recorded.shots)

    @property
    def rows(self) -> list[list[Number]]:
        """The recorded values of each distinct outcome, in the order of the records."""
        numbers = _leaf_numbers(self.output)
        return [[leaf(number) for number in numbers] for leaf in self.leaves]


def _bit_leaf(bits: int) -> Leaf:
    return lambda result: bits >> result & 1


def _leaf_numbers(output: Output) -> list[int]:
    return [output] if isinstance(output, int) else [leaf for item in output.items for leaf in _leaf_numbers(item)]


def results_v2(recorded: RecordedOutput) -> bytes:
    """Return a `microsoft.quantum-results.v2` document; each distinct outcome is formatted once."""
    outcomes = [_json_text(recorded.output, leaf) for leaf in recorded.leaves]
    histogram = ", ".join(
        f'{{"Outcome": {text}, "Display": {json.dumps(_display(recorded.output, leaf))}, "Count": {count}}}'
        for text, leaf, count in zip(outcomes, recorded.leaves, recorded.counts, strict=True)
    )
    in_order = ", ".join([outcomes[index] for index in recorded.shots])
    return (
        f'{{"DataFormat": "{RESULTS_V2}", "Results": [{{"Histogram": [{histogram}], "Shots": [{in_order}]}}]}}'
    ).encode()


def results_v1(recorded: RecordedOutput) -> bytes:
    """Return a `microsoft.quantum-results.v1` document: each distinct outcome, followed by its share of the shots."""
    pairs = zip(recorded.leaves, recorded.counts, strict=True)
    shares = [(_display(recorded.output, leaf), count / len(recorded.shots)) for leaf, count in pairs]
    return json.dumps({"Histogram": [each for pair in shares for each in pair]}).encode()


def with_lost_qubits(document: bytes, share: float, *, seed: str) -> bytes:
    """Return a results-v2 document in which each shot has lost one of its qubits with the probability `share`.

    A lost qubit's bit is "-". The same seed gives the same document; other documents stay as they are.
    """
    if not document.startswith(b'{"DataFormat": "%s"' % RESULTS_V2.encode()):
        return document
    found = json.loads(document)
    random = Random(seed)
    for result in found["Results"]:
        shots = [_lose_one(shot, random) if random.random() < share else shot for shot in result["Shots"]]
        counts = Counter(map(json.dumps, shots))
        outcomes = [(json.loads(text), count) for text, count in counts.items()]
        rows = [{"Outcome": outcome, "Display": json.dumps(outcome), "Count": count} for outcome, count in outcomes]
        result |= {"Histogram": rows, "Shots": shots}
    return json.dumps(found).encode()


def _lose_one(shot: Any, random: Random) -> Any:
    """Return a shot in which one of its bits, chosen at random, is lost."""
    if isinstance(shot, dict | list):
        copied = dict(shot) if isinstance(shot, dict) else list(shot)
        keys = list(copied) if isinstance(copied, dict) else range(len(copied))
        place: Any = random.choice(keys) if keys else None
        if place is not None:
            copied[place] = _lose_one(copied[place], random)
        return copied
    return "-"


def qir_strings(recorded: RecordedOutput) -> bytes:
    """Return a `honeywell.qir.v1` document: for each record, as c0, c1, …, one string a shot; a Bool is 0 or 1."""
    rows = [[_number(int(value) if value in (True, False) else value) for value in row] for row in recorded.rows]
    names = range(len(_leaf_numbers(recorded.output)))
    return json.dumps({f"c{name}": [rows[index][name] for index in recorded.shots] for name in names}).encode()


def qir_histogram(recorded: RecordedOutput) -> bytes:
    """Return an `ionq.quantum-results.v1` document; the last record is the lowest bit, as in Qiskit's QIR."""
    outcomes = [sum(int(bit) << place for place, bit in enumerate(reversed(row))) for row in recorded.rows]
    return ionq_histogram(outcomes, [count / len(recorded.shots) for count in recorded.counts])


def qir_readout(recorded: RecordedOutput) -> bytes:
    """Return a `rigetti.quil-results.v1` document with the region `ro`; the last record is its bit 0."""
    rows = [row[::-1] for row in recorded.rows]
    return json.dumps({"ro": [rows[index] for index in recorded.shots]}).encode()


def ionq_histogram(outcomes: Sequence[int], probabilities: Sequence[float]) -> bytes:
    """Return an `ionq.quantum-results.v1` document: probabilities by decimal outcome, qubit 0 least significant."""
    pairs = sorted(zip(outcomes, probabilities, strict=True))
    return json.dumps({"histogram": {str(outcome): probability for outcome, probability in pairs}}).encode()


def ionq_results(runs: Runs) -> bytes:
    ((_, measured),) = runs
    return ionq_histogram(measured.outcomes, [count / len(measured.shots) for count in measured.counts])


def openqasm_results(runs: Runs) -> bytes:
    """Return a `honeywell.quantum-results.v1` document of one run: per register one bit string a shot, bit 0 last."""
    ((program, measured),) = runs
    document = {}
    for register in program.registers:
        words = ["".join(map(str, reversed(_bits(register, bits)))) for bits in measured.outcomes]
        document[register.name] = [words[index] for index in measured.shots]
    return json.dumps(document).encode()


def quil_results(runs: Runs) -> bytes:
    """Return a `rigetti.quil-results.v1` document: per memory region one list of bits a shot, run after run.

    Each distinct outcome is formatted once.
    """
    regions: dict[str, list[str]] = {}
    for program, measured in runs:
        for register in program.registers:
            rows = [json.dumps(_bits(register, bits)) for bits in measured.outcomes]
            regions.setdefault(register.name, []).extend([rows[index] for index in measured.shots])
    members = [f"{json.dumps(name)}: [{', '.join(shots)}]" for name, shots in regions.items()]
    return f"{{{', '.join(members)}}}".encode()


def _bits(register: Register, outcome: int) -> list[int]:
    return [outcome >> result & 1 for result in register.results]


def output_length(output: Output) -> int:
    """Return the number of characters of one shot's output as JSON, if each leaf has one."""
    return len(_json_text(output, lambda leaf: 0))


def _number(value: Number) -> str:
    """Format a leaf, as in JSON: a double always has a point or an exponent."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise JobInputError("RuntimeError", f"an output is {value}, which a result can't hold") from error


def _json_text(output: Output, leaf: Leaf) -> str:
    """Format an outcome as JSON; a tuple becomes an object with the keys Item1, Item2, …"""
    if isinstance(output, int):
        return _number(leaf(output))
    items = [_json_text(item, leaf) for item in output.items]
    if output.is_tuple:
        return "{" + ", ".join(f'"Item{number}": {item}' for number, item in enumerate(items, 1)) + "}"
    return f"[{', '.join(items)}]"


def _display(output: Output, leaf: Leaf) -> str:
    """Format an outcome as Q# writes it: `[0, 1]`, `(0, true)`."""
    if isinstance(output, int):
        return _number(leaf(output))
    items = [_display(item, leaf) for item in output.items]
    if not output.is_tuple:
        return f"[{', '.join(items)}]"
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
