"""Simulation of programs with control flow, against Aer, against the simulator of the QDK, and by what must hold."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from qdk.simulation import run_qir

from hybridloop.emulator.formats.qir import parse_qir
from hybridloop.emulator.model.adaptive_program import AdaptiveProgram, on_all_paths
from hybridloop.emulator.model.billing import count_usage
from hybridloop.emulator.model.program import Program, remove_redundant_resets
from hybridloop.emulator.simulation.branching import run_adaptive
from hybridloop.emulator.simulation.noise import Noise
from hybridloop.emulator.simulation.simulator import Simulator
from tests.emulator.formats.test_adaptive_qir import DECLARED

NOISE = Noise(one_qubit=0.04, two_qubit=0.08, readout=0.06)


def qubit(index: int) -> str:
    return f"ptr inttoptr (i64 {index} to ptr)"


def call(name: str, *operands: str) -> str:
    return f"  call void @__quantum__{name}({', '.join(operands)})"


def qir(lines: list[str], *, adaptive: bool) -> bytes:
    """Return a program of three qubits whose results are its output; `adaptive` adds a variable without a use."""
    variable = ["  %v = call i1 @__quantum__rt__read_result(ptr null)"] * adaptive
    outputs = [call("rt__array_record_output", "i64 3", "ptr null")]
    outputs += [call("rt__result_record_output", qubit(index), "ptr null") for index in range(3)]
    declared = [
        "declare void @__quantum__qis__reset__body(ptr)",
        "declare void @__quantum__qis__mresetz__body(ptr, ptr)",
        *(f"declare void @__quantum__qis__{name}(double, ptr, ptr)" for name in ("rzz__body", "rxx__body")),
        *(f"declare void @__quantum__qis__{name}(double, ptr)" for name in ("ry__body", "rz__body")),
        *(f"declare void @__quantum__qis__{name}(ptr)" for name in ("t__adj", "i__body", "sx__body")),
        "declare void @__quantum__qis__ccx__body(ptr, ptr, ptr)",
        "declare void @__quantum__qis__swap__body(ptr, ptr)",
    ]
    body = "\n".join(("entry:", *variable, *lines, *outputs, "  ret void"))
    return f"define void @main() #0 {{\n{body}\n}}\n{DECLARED}\n".encode() + "\n".join(declared).encode()


MIXED = [
    call("qis__ry__body", "double 0.9", qubit(0)),
    call("qis__h__body", qubit(1)),
    call("qis__cx__body", qubit(1), qubit(2)),
    call("qis__rzz__body", "double 0.7", qubit(0), qubit(2)),
    call("qis__rx__body", "double 1.1", qubit(2)),
    call("qis__ccx__body", qubit(2), qubit(0), qubit(1)),
    call("qis__mz__body", qubit(0), qubit(0)),
    call("qis__ry__body", "double 0.8", qubit(0)),
    call("qis__swap__body", qubit(0), qubit(2)),
    call("qis__reset__body", qubit(1)),
    call("qis__sx__body", qubit(1)),
    call("qis__mresetz__body", qubit(1), qubit(1)),
    call("qis__mz__body", qubit(2), qubit(2)),
    call("qis__reset__body", qubit(2)),
]


def parsed(data: bytes) -> AdaptiveProgram:
    program = parse_qir(data)
    assert isinstance(program, AdaptiveProgram)
    return program


def straight_line(data: bytes) -> Program:
    program = parse_qir(data)
    assert isinstance(program, Program)
    return replace(program, instructions=remove_redundant_resets(program.instructions))


def assert_same_distribution(first: Counter[int], second: Counter[int]) -> None:
    """Compare two samples by the chi-squared statistic of their table, whose mean is its degrees of freedom.

    Outcomes that both samples together have less than ten times are counted as one.
    """
    common = [key for key in first | second if first[key] + second[key] >= 10]
    rows = [[sample[key] for key in common] for sample in (first, second)]
    table = np.array([[*row, sample.total() - sum(row)] for row, sample in zip(rows, (first, second), strict=True)])
    table = table[:, table.sum(axis=0) > 0]
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic, freedom = float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1
    # variance 2·freedom: five standard deviations, and more for the long tail of few degrees of freedom
    assert statistic <= freedom + 5 * math.sqrt(2 * freedom) + 10, table


def sampled(program: AdaptiveProgram, shots: int, noise: Noise | None = None, seed: int = 1) -> Counter[int]:
    recorded, _ = run_adaptive(program, shots=shots, seed=seed, noise=noise)
    words = [sum(int(bit) << position for position, bit in enumerate(values)) for values in recorded.outcomes]
    return Counter(dict(zip(words, recorded.counts, strict=True)))


@pytest.mark.parametrize("noise", [None, NOISE])
def test_a_program_that_both_run_has_one_distribution_here_and_on_aer(noise: Noise | None) -> None:
    adaptive, straight = qir(MIXED, adaptive=True), qir(MIXED, adaptive=False)
    measured = Simulator().run(straight_line(straight), shots=4000, seed=2, exact=False, noise=noise)
    expected = Counter(dict(zip(measured.outcomes, measured.counts, strict=True)))
    assert_same_distribution(sampled(parsed(adaptive), 20_000, noise), expected)


@pytest.mark.parametrize("strength", ["one_qubit", "two_qubit", "readout", "readout_of_one", "preparation"])
def test_each_kind_of_noise_shifts_the_distribution_as_on_aer(strength: str) -> None:
    noise = replace(Noise(0.0, 0.0, 0.0), **{strength: 0.2})
    lines = [call("qis__x__body", qubit(0)), call("qis__cx__body", qubit(0), qubit(1))]
    lines += [call("qis__ccx__body", qubit(0), qubit(1), qubit(2))]
    lines += [call("qis__mz__body", qubit(index), qubit(index)) for index in range(3)]
    measured = Simulator().run(straight_line(qir(lines, adaptive=False)), shots=4000, seed=2, exact=False, noise=noise)
    expected = Counter(dict(zip(measured.outcomes, measured.counts, strict=True)))
    counts = sampled(parsed(qir(lines, adaptive=True)), 20_000, noise)
    assert counts[0b111] < 19_000
    assert_same_distribution(counts, expected)


def test_a_reset_prepares_a_qubit_again() -> None:
    noise = Noise(0.0, 0.0, 0.0, preparation=0.1)
    lines = [
        call("qis__x__body", qubit(0)),
        call("qis__reset__body", qubit(0)),
        call("qis__mz__body", qubit(0), qubit(0)),
    ]
    measured = Simulator().run(straight_line(qir(lines, adaptive=False)), shots=4000, seed=2, exact=False, noise=noise)
    expected = Counter(dict(zip(measured.outcomes, measured.counts, strict=True)))
    counts = sampled(parsed(qir(lines, adaptive=True)), 20_000, noise)
    assert 1600 < counts[1] < 2400
    assert_same_distribution(counts, expected)


def test_a_program_that_branches_has_one_distribution_here_and_in_the_qdk() -> None:
    # the QDK's own noise is no measure: its faults are drawn from the same stream as the outcomes
    branch = ["  br i1 %r, label %yes, label %on", "yes:", call("qis__ry__body", "double 1.3", qubit(1)),
              "  br label %on", "on:", call("qis__cx__body", qubit(1), qubit(2))]  # fmt: skip
    reads = f"  %r = call i1 @__quantum__rt__read_result({qubit(0)})"
    lines = [*MIXED[:8], reads, *branch, *(call("qis__mz__body", qubit(i), qubit(i)) for i in (1, 2))]
    data = qir(lines, adaptive=True)
    shots = run_qir(data.decode(), shots=4000, seed=3, type="cpu")
    expected = Counter(sum(int(bit) << position for position, bit in enumerate(shot)) for shot in shots)
    assert_same_distribution(sampled(parsed(data), 20_000), expected)


def test_the_same_seed_gives_the_same_shots_and_another_seed_others() -> None:
    program = parsed(qir(MIXED, adaptive=True))
    first, again, other = (run_adaptive(program, shots=200, seed=seed, noise=NOISE)[0] for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert len(first.shots) == sum(first.counts) == 200
    assert Counter(first.shots) == Counter(dict(enumerate(first.counts)))


def test_a_program_without_branches_is_billed_as_it_would_be_on_aer() -> None:
    _, usage = run_adaptive(parsed(qir(MIXED, adaptive=True)), shots=300, seed=1, noise=NOISE)
    assert usage == count_usage(straight_line(qir(MIXED, adaptive=False)), 300)


def test_gates_of_all_code_paths_are_billed() -> None:
    """As documented: "unrolls the entire circuit and calculates the cost on all code paths"."""
    lines = [call("qis__ry__body", "double 0.6", qubit(0)), call("qis__mz__body", qubit(0), qubit(0)),
             "  %r = call i1 @__quantum__rt__read_result(ptr null)", "  br i1 %r, label %yes, label %on", "yes:",
             *[call("qis__x__body", qubit(1))] * 100, "  br label %on", "on:"]  # fmt: skip
    program = parsed(qir(lines, adaptive=True))
    recorded, usage = run_adaptive(program, shots=1000, seed=4, noise=None)
    ones = sum(count for values, count in zip(recorded.outcomes, recorded.counts, strict=True) if values[0])
    assert 40 <= ones <= 140  # sin²(0.3) = 0.087; five standard deviations are 45
    assert (usage.one_qubit, usage.measurements) == (1 + 100, 1)


def test_the_gates_of_a_function_are_billed_at_each_of_its_calls_and_too_many_calls_as_executed() -> None:
    def program(depth: int) -> AdaptiveProgram:
        """Return a program in which each function calls the next one twice; the last one has a gate."""
        names = [f"f{number}" for number in range(depth)]
        calls = [f"define void @{name}() {{\nentry:\n  call void @{after}()\n  call void @{after}()\n  ret void\n}}"
                 for name, after in zip(names, [*names[1:], "last"], strict=True)]  # fmt: skip
        last = f"define void @last() {{\nentry:\n{call('qis__x__body', qubit(0))}\n  ret void\n}}"
        return parsed(qir(["  call void @f0()"], adaptive=True) + "\n".join(("", *calls, last)).encode())

    _, usage = run_adaptive(program(5), shots=10, seed=1, noise=None)
    assert usage.one_qubit == 2**5
    assert on_all_paths(program(60)) is None
