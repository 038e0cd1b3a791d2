"""Result documents in the providers' formats, written from the outcomes of a simulation."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hybridloop.emulator.model.program import Output, Program, Register, ShotOutcomes

RESULTS_V2 = "microsoft.quantum-results.v2"
Runs = Sequence[tuple[Program, ShotOutcomes]]  # each program of a job with its outcomes


def results_v2(runs: Runs) -> bytes:
    """Return a `microsoft.quantum-results.v2` document of one run; each distinct outcome is formatted once."""
    ((program, measured),) = runs
    output = program.output
    outcomes = [_json_text(output, bits) for bits in measured.outcomes]
    histogram = ", ".join(
        f'{{"Outcome": {text}, "Display": {json.dumps(_display(output, bits))}, "Count": {count}}}'
        for text, bits, count in zip(outcomes, measured.outcomes, measured.counts, strict=True)
    )
    shots = ", ".join([outcomes[index] for index in measured.shots])
    return (
        f'{{"DataFormat": "{RESULTS_V2}", "Results": [{{"Histogram": [{histogram}], "Shots": [{shots}]}}]}}'
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
    """Return the number of characters of one shot's output as JSON."""
    return len(_json_text(output, 0))


def _json_text(output: Output, bits: int) -> str:
    """Format an outcome as JSON; a tuple becomes an object with the keys Item1, Item2, …"""
    if isinstance(output, int):
        return str(bits >> output & 1)
    items = [_json_text(item, bits) for item in output.items]
    if output.is_tuple:
        return "{" + ", ".join(f'"Item{number}": {item}' for number, item in enumerate(items, 1)) + "}"
    return f"[{', '.join(items)}]"


def _display(output: Output, bits: int) -> str:
    """Format an outcome as Python writes it: `[0, 1]`, `(0, 1)`."""
    if isinstance(output, int):
        return str(bits >> output & 1)
    items = [_display(item, bits) for item in output.items]
    if not output.is_tuple:
        return f"[{', '.join(items)}]"
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
