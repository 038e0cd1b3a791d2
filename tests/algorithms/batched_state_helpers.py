"""Fast rounds for tests: statevectors of many points at once, with the common part of the circuits simulated once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import Counts, MeasuredPub, RunRound, pub_points
from tests.algorithms.gate_states import Gate, States, evolve, evolve_noisy, initial_states, outcome_probabilities

Draw = Callable[[int, NDArray[np.float64]], NDArray[np.int64]]


def noiseless_rounds() -> RunRound:
    """Return rounds of exact distributions, scaled to the shots. PUBs with the same points share work."""
    return _rounds(largest_remainder, exact=True)


def shot_rounds(seed: int, start: States | None = None, two_qubit_error: float = 0.0) -> RunRound:
    """Return rounds with shot noise. PUBs with the same points share work.

    Circuits begin with the state `start`, (2^qubits,), instead of all zeros, or have the noise of `evolve_noisy`.
    """
    draw = np.random.default_rng(seed).multinomial
    return _rounds(draw, exact=False, start=start, two_qubit_error=two_qubit_error)


def _rounds(draw: Draw, *, exact: bool, start: States | None = None, two_qubit_error: float = 0.0) -> RunRound:
    read: dict[int, tuple[QuantumCircuit, list[Gate]]] = {}  # keeps the circuit, so that its id is not reused

    def applied(states: States, gates: Sequence[Gate], points: NDArray[np.float64]) -> States:
        return (
            evolve_noisy(states, gates, points, two_qubit_error) if two_qubit_error else evolve(states, gates, points)
        )

    def run_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        by_points: dict[tuple[int, bytes], list[int]] = {}
        for index, pub in enumerate(pubs):
            by_points.setdefault((pub.circuit.num_parameters, pub_points(pub).tobytes()), []).append(index)
        states: dict[int, States] = {}
        for indices in by_points.values():
            states |= zip(indices, states_of_same_points([pubs[index] for index in indices]), strict=True)
        return [_measured(states[index], pub, draw, exact=exact) for index, pub in enumerate(pubs)]

    def states_of_same_points(pubs: Sequence[SamplerPub]) -> list[States]:
        programs = []
        for pub in pubs:
            if id(pub.circuit) not in read:
                read[id(pub.circuit)] = (pub.circuit, gates_of(pub.circuit))
            programs.append(read[id(pub.circuit)][1])
        points, count = pub_points(pubs[0]), pubs[0].circuit.num_qubits
        shared = next((i for i, row in enumerate(zip(*programs, strict=False)) if len(set(row)) > 1), None)
        shared = min(map(len, programs)) if shared is None else shared
        states = initial_states(len(points), 2 * count if two_qubit_error else count)
        if start is not None:
            states[:] = start
        common = applied(states, programs[0][:shared], points)
        return [applied(common, program[shared:], points) for program in programs]

    return run_round


def largest_remainder(shots: int, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round to counts that sum to the shots, each within 1 of its share."""
    shares = probabilities * shots
    counts = np.floor(shares).astype(np.int64)
    counts[np.argsort(counts - shares, kind="stable")[: shots - counts.sum()]] += 1
    return counts


def gates_of(circuit: QuantumCircuit) -> list[Gate]:
    indices = {parameter: index for index, parameter in enumerate(circuit.parameters)}
    gates = []
    for gate in circuit.data:
        if gate.name == "measure":
            continue
        qubits = tuple(circuit.find_bit(qubit).index for qubit in gate.qubits)
        angle = gate.params[0] if gate.params else 0.0
        if isinstance(angle, ParameterExpression) and angle.parameters:
            zeros = dict.fromkeys(angle.parameters, 0.0)
            constant = float(angle.bind(zeros))
            slopes = tuple((indices[p], float(angle.bind({**zeros, p: 1.0})) - constant) for p in zeros)
            gates.append(Gate(gate.name, qubits, constant, slopes))
        else:
            gates.append(Gate(gate.name, qubits, float(angle)))
    return [part for gate in gates for part in _parts(gate)]


def _parts(gate: Gate) -> list[Gate]:
    """Return a rotation about XX, YY or ZZ as a rotation of a parity; other gates as they are."""
    into_z = {"rxx": ["h"], "ryy": ["sdg", "h"], "rzz": list[str]()}.get(gate.name)
    if into_z is None:
        return [gate]
    inverse = {"h": "h", "sdg": "s"}
    before = [Gate(name, (qubit,)) for name in into_z for qubit in gate.qubits]
    after = [Gate(inverse[name], (qubit,)) for name in reversed(into_z) for qubit in gate.qubits]
    parity = Gate("cx", gate.qubits)
    return [*before, parity, gate._replace(name="rz", qubits=gate.qubits[1:]), parity, *after]


def _measured(states: States, pub: SamplerPub, draw: Draw, *, exact: bool) -> MeasuredPub:
    rows = outcome_probabilities(states, pub.circuit.num_qubits)
    counts = (_counts(row, pub, draw, exact=exact) for row in rows)
    return MeasuredPub(pub_points(pub), tuple(counts))


def _counts(probabilities: NDArray[np.float64], pub: SamplerPub, draw: Draw, *, exact: bool) -> Counts:
    drawn = draw(int(pub.shots), probabilities / probabilities.sum())
    observed = np.flatnonzero(drawn)
    width = (pub.circuit.num_clbits + 7) // 8
    outcomes = observed[:, None] >> np.arange(8 * (width - 1), -1, -8) & 0xFF
    return Counts(pub.circuit.num_clbits, outcomes.astype(np.uint8), drawn[observed], exact=exact)
