"""Writes what was measured in the providers' result formats."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hybridloop.emulator.program import Measured, Output, Program, Recorded, Register

RESULTS_V2 = "microsoft.quantum-results.v2"


def results_v2(output: Output, measured: Measured) -> bytes:
    """`microsoft.quantum-results.v2`; the text of each distinct outcome is made once."""
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
    """`ionq.quantum-results.v1`: chances under decimal outcomes, qubit 0 the least significant bit."""
    pairs = sorted(zip(outcomes, probabilities, strict=True))
    return json.dumps({"histogram": {str(outcome): chance for outcome, chance in pairs}}).encode()


def openqasm_results(program: Program, measured: Measured) -> bytes:
    """`honeywell.quantum-results.v1`: per register one string a shot, bit 0 its last character."""
    document = {}
    for register in program.registers:
        words = ["".join(map(str, reversed(_bits(register, bits)))) for bits in measured.outcomes]
        document[register.name] = [words[index] for index in measured.shots]
    return json.dumps(document).encode()


def quil_results(runs: Sequence[tuple[Program, Measured]]) -> bytes:
    """`rigetti.quil-results.v1`: per memory region one list of bits a shot; the shots of several runs follow on."""
    document: dict[str, list[list[int]]] = {}
    for program, measured in runs:
        for register in program.registers:
            rows = [_bits(register, bits) for bits in measured.outcomes]
            document.setdefault(register.name, []).extend(rows[index] for index in measured.shots)
    return json.dumps(document).encode()


def _bits(register: Register, outcome: int) -> list[int]:
    return [outcome >> result & 1 for result in register.results]


def _json_text(output: Output, bits: int) -> str:
    if isinstance(output, Recorded):
        return "1" if bits >> output.result & 1 else "0"
    items = [_json_text(item, bits) for item in output.items]
    if output.is_tuple:
        return "{" + ", ".join(f'"Item{number}": {item}' for number, item in enumerate(items, 1)) + "}"
    return f"[{', '.join(items)}]"


def _display(output: Output, bits: int) -> str:
    """The outcome as Python writes it: `[0, 1]`, `(0, 1)`."""
    if isinstance(output, Recorded):
        return "1" if bits >> output.result & 1 else "0"
    items = [_display(item, bits) for item in output.items]
    if not output.is_tuple:
        return f"[{', '.join(items)}]"
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
