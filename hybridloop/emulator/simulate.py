"""Runs programs on Aer: exactly where the target does not sample, else by drawing shots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel

from hybridloop.emulator.circuits import aer_noise, gates_only, with_measurements
from hybridloop.emulator.gates import Gates
from hybridloop.emulator.methods import Method, Plan, plan_of
from hybridloop.emulator.noise import Noise
from hybridloop.emulator.program import Measured, Program, Unrunnable, measures_only_at_the_end
from hybridloop.emulator.recent import Recent
from hybridloop.emulator.sampling import draw_shots, scaled_to_shots
from hybridloop.emulator.stabilizers import clifford_distribution

MOST_OUTCOMES = 2**18  # of a histogram of chances; above it is no result that anyone reads
KEPT_BYTES = 64 * 2**20  # of distributions that are kept, so that the same circuit is simulated once


@dataclass(frozen=True, slots=True)
class Distribution:
    """Chances of outcomes. `outcomes` are those they belong to, ascending; None: the numbers from 0 on.

    Bit k of an outcome is the k-th measurement, whose result is `results[k]`.
    """

    chances: NDArray[np.float64]
    outcomes: NDArray[np.int64] | None
    results: tuple[int, ...]

    def outcome(self, index: int) -> int:
        """The outcome at that index as a number whose bit r is result r."""
        bits = index if self.outcomes is None else int(self.outcomes[index])
        return sum(((bits >> position) & 1) << result for position, result in enumerate(self.results))


class Simulator:
    """Aer behind the two questions that targets are asked: shots, or chances.

    `reserve` is called with the bytes that a simulation will take, before it allocates them; it may wait, and raises
    Unrunnable where they can never be had.
    """

    def __init__(self, reserve: Callable[[int], None] = lambda needed: None) -> None:
        self._reserve = reserve
        self._gates = Gates()
        self._backends: dict[tuple[Method, Noise | None], AerSimulator] = {}
        self._recent: Recent[Distribution] = Recent(KEPT_BYTES)

    def run(
        self, program: Program, *, shots: int, seed: int, exact: bool, noise: Noise | None = None, key: bytes = b""
    ) -> Measured:
        """The outcomes of `shots` runs; `exact` gives the distribution scaled to the shots instead of a sample.

        `key` stands for the program: the same key means the same program, and none (b"") that nothing is kept.
        """
        exact = exact and noise is None
        key = _key(key, noise, exact=exact)
        known = self._recent.get(key)
        if known is None:
            if exact and not measures_only_at_the_end(program.operations):
                raise Unrunnable("InvalidInputData", "the target takes no reset and no measurement before the end")
            plan = plan_of(program.operations, exact=exact, noisy=noise is not None)
            if not plan.as_distribution:
                return self._shots(plan, program.num_results, shots, seed, noise)
            known = self._distribution(plan, noise, key)
        drawn = (
            scaled_to_shots(known.chances, shots)
            if exact
            else draw_shots(known.chances, shots, np.random.default_rng(seed))
        )
        seen, counts, order = (part.tolist() for part in drawn)
        return Measured(tuple(known.outcome(index) for index in seen), tuple(counts), tuple(order))

    def distribution(self, program: Program, key: bytes = b"") -> tuple[list[int], list[float]]:
        """Outcomes over all results that have a chance of at least 1e-10, and these chances."""
        key = _key(key, None, exact=True)
        known = self._recent.get(key)
        if known is None:
            known = self._distribution(plan_of(program.operations, exact=True, noisy=False), None, key)
        seen = np.flatnonzero(known.chances >= 1e-10)
        if seen.size > MOST_OUTCOMES:
            raise Unrunnable("InvalidInputData", f"the histogram would have {seen.size} entries, above {MOST_OUTCOMES}")
        return [known.outcome(index) for index in seen.tolist()], known.chances[seen].tolist()

    def _distribution(self, plan: Plan, noise: Noise | None, key: bytes) -> Distribution:
        self._reserve(plan.needed_bytes)
        circuit, measured = gates_only(plan, self._gates, noisy=noise is not None)
        if plan.method is Method.STABILIZER:
            outcomes, free_bits = clifford_distribution(circuit, measured)
            known = Distribution(np.full(outcomes.size, 0.5**free_bits), outcomes, plan.results)
        else:
            chances = self._chances(plan, circuit, measured, noise)
            known = Distribution(chances, None, plan.results)
        if key:
            size = known.chances.nbytes + (0 if known.outcomes is None else known.outcomes.nbytes)
            self._recent.put(key, known, size)
        return known

    def _chances(
        self, plan: Plan, circuit: QuantumCircuit, measured: list[int], noise: Noise | None
    ) -> NDArray[np.float64]:
        """Probabilities over the measured qubits; bit k of the index is the k-th measurement."""
        circuit.save_probabilities(qubits=measured)  # Aer adds it to the class
        result = self._backend(plan.method, noise).run(circuit, shots=1).result()
        if not result.success:
            raise Unrunnable("RuntimeError", f"the simulation failed: {result.status}")
        chances: NDArray[np.float64] = np.clip(result.data(0)["probabilities"], 0.0, None)
        return chances if noise is None else with_flips(chances, noise.readout)

    def _shots(self, plan: Plan, num_results: int, shots: int, seed: int, noise: Noise | None) -> Measured:
        """Shots drawn by Aer itself, with measurements and resets wherever they are."""
        self._reserve(plan.needed_bytes)
        circuit = with_measurements(plan, self._gates, num_results, noisy=noise is not None)
        backend = self._backend(plan.method, noise)
        result = backend.run(circuit, shots=shots, memory=True, seed_simulator=seed % 2**31).result()
        if not result.success:
            raise Unrunnable("RuntimeError", f"the simulation failed: {result.status}")
        seen: dict[int, int] = {}
        drawn = [seen.setdefault(int(word, 16), len(seen)) for word in result.data(0)["memory"]]
        return Measured(tuple(seen), tuple(np.bincount(drawn).tolist()), tuple(drawn))

    def _backend(self, method: Method, noise: Noise | None) -> AerSimulator:
        backend = self._backends.get((method, noise))
        if backend is None:
            model: NoiseModel | None = None if noise is None else aer_noise(noise)
            # one thread: workers share the cores better than one simulation does for circuits of a few qubits
            backend = AerSimulator(method=method.value, noise_model=model, max_parallel_threads=1)
            self._backends[method, noise] = backend
        return backend


def _key(program: bytes, noise: Noise | None, *, exact: bool) -> bytes:
    """What a distribution is kept under. Also by whether it was asked for as such: what is drawn from one that another
    target wanted, where else the shots were run, would depend on what happened before."""
    return program and program + repr((noise, exact)).encode()


def with_flips(chances: NDArray[np.float64], flip: float) -> NDArray[np.float64]:
    """The chances after every bit is flipped with the chance `flip`."""
    bits = chances.size.bit_length() - 1
    table = chances.reshape((2,) * bits)
    for axis in range(bits):
        table = (1 - flip) * table + flip * np.flip(table, axis)
    return table.reshape(-1)
