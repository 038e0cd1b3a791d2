"""Result documents in the providers' formats, written from the outcomes of a simulation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from hybridloop.emulator.model.adaptive_program import AdaptiveProgram, Number, ValueOutcomes
from hybridloop.emulator.model.program import JobInputError, Output, Program, Register, ShotOutcomes

RESULTS_V2 = "microsoft.quantum-results.v2"
Runs = Sequence[tuple[Program, ShotOutcomes]]  # each program of a job with its outcomes


Leaf = Callable[[int], Number]  # value of a leaf of the output, by its number


def results_v2(runs: Runs) -> bytes:
    """Return a `microsoft.quantum-results.v2` document of one run."""
    ((program, measured),) = runs
    leaves = [_bit_leaf(bits) for bits in measured.outcomes]
    return _results_v2(program.output, leaves, measured.counts, measured.shots)


def adaptive_results_v2(program: AdaptiveProgram, recorded: ValueOutcomes) -> bytes:
    """Return the document of a program that recorded values of any type."""
    leaves = [values.__getitem__ for values in recorded.outcomes]
    return _results_v2(program.output, leaves, recorded.counts, recorded.shots)


def _bit_leaf(bits: int) -> Leaf:
    return lambda result: bits >> result & 1


def _results_v2(output: Output, leaves: Sequence[Leaf], counts: Sequence[int], shots: Sequence[int]) -> bytes:
    """Write the document; each distinct outcome is formatted once."""
    outcomes = [_json_text(output, leaf) for leaf in leaves]
    histogram = ", ".join(
        f'{{"Outcome": {text}, "Display": {json.dumps(_display(output, leaf))}, "Count": {count}}}'
        for text, leaf, count in zip(outcomes, leaves, counts, strict=True)
    )
    in_order = ", ".join([outcomes[index] for index in shots])
    return (
        f'{{"DataFormat": "{RESULTS_V2}", "Results": [{{"Histogram": [{histogram}], "Shots": [{in_order}]}}]}}'
    ).encode()


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
    """Return a `rigetti.quil-results.v1` document: per memory region one list of bits a shot, run after run."""
    document: dict[str, list[list[int]]] = {}
    for program, measured in runs:
        for register in program.registers:
            rows = [_bits(register, bits) for bits in measured.outcomes]
            document.setdefault(register.name, []).extend(rows[index] for index in measured.shots)
    return json.dumps(document).encode()


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
