"""Stabilizer states against state vectors, and wide Clifford programs with branches."""

from __future__ import annotations

import math
import random

import pytest

from hybridloop.emulator.formats.qir import parse_qir
from hybridloop.emulator.model.adaptive_program import AdaptiveProgram
from hybridloop.emulator.simulation.branching import required_bytes, run_adaptive
from hybridloop.emulator.simulation.stabilizer_state import StabilizerState, clifford_steps
from hybridloop.emulator.simulation.state_vector import StateVector
from tests.emulator.formats.test_adaptive_qir import DECLARED

ONE = "h s x y z sdg sx sxdg id rx ry rz".split()
TWO = "cx cy cz swap".split()


@pytest.mark.parametrize("seed", range(20))
def test_gates_and_projections_change_chances_as_they_do_for_amplitudes(seed: int) -> None:
    rng, qubits = random.Random(seed), range(4)
    states = StabilizerState.ground(4), StateVector.ground(4)
    for _ in range(40):
        # a gate, or a measurement with an outcome that may happen
        if rng.random() < 0.2:
            qubit = rng.choice(qubits)
            chance = states[0].probability_of_one(qubit)
            bit = int(rng.random() < chance)
            states = states[0].projected(qubit, bit), states[1].projected(qubit, bit)
        else:
            name = rng.choice([*ONE, *TWO])
            angles = (rng.randrange(-3, 6) * math.pi / 2,) if name in ("rx", "ry", "rz") else ()
            on = rng.sample(qubits, 2 if name in TWO else 1)
            states = states[0].after_gate(name, angles, on), states[1].after_gate(name, angles, on)
        for qubit in qubits:
            assert states[0].probability_of_one(qubit) == pytest.approx(states[1].probability_of_one(qubit), abs=1e-9)


def test_other_gates_are_not_clifford() -> None:
    assert clifford_steps("t", ()) is None
    assert clifford_steps("rx", (0.3,)) is None
    assert clifford_steps("ccx", ()) is None


def test_a_wide_clifford_program_with_branches_takes_little_memory() -> None:
    # a chain of 40 qubits, of which the first is measured; the last is flipped if it is 1, and is 0 in every shot
    lines = ["call void @__quantum__qis__h__body(ptr null)"]
    lines += [f"call void @__quantum__qis__cx__body({pointer(q)}, {pointer(q + 1)})" for q in range(39)]
    lines += [
        "call void @__quantum__qis__mz__body(ptr null, ptr null)",
        "%r = call i1 @__quantum__rt__read_result(ptr null)",
        "br i1 %r, label %yes, label %on",
        "yes:",
        f"call void @__quantum__qis__x__body({pointer(39)})",
        "br label %on",
        "on:",
        f"call void @__quantum__qis__mz__body({pointer(39)}, {pointer(1)})",
        "call void @__quantum__rt__result_record_output(ptr null, ptr null)",
        f"call void @__quantum__rt__result_record_output({pointer(1)}, ptr null)",
    ]
    text = "define void @main() #0 {\nentry:\n" + "\n".join(lines) + "\n  ret void\n}\n" + DECLARED
    program = parse_qir(text.encode())
    assert isinstance(program, AdaptiveProgram)
    assert required_bytes(program, 1000, noisy=False) < 2**20
    recorded, _ = run_adaptive(program, shots=1000, seed=1, noise=None)
    counts = dict(zip(recorded.outcomes, recorded.counts, strict=True))
    assert set(counts) == {(0, 0), (1, 0)}
    assert abs(counts[0, 0] - 500) <= 80  # five standard deviations of 1000 shots


def pointer(index: int) -> str:
    return f"ptr inttoptr (i64 {index} to ptr)"
