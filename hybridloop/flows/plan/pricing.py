"""What a rehearsed run's circuits are once compiled for a target, and what its rounds take there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hybridloop.flows.plan.rehearsal import Asked, Round
from hybridloop.sessions.budget import Caps
from hybridloop.sessions.gates import GateCounts, depth_of, gate_counts
from hybridloop.sessions.prices import Price, price_of_job
from hybridloop.sessions.programs import Description
from hybridloop.sessions.qir import compile_qir, sample_program, to_basis
from hybridloop.sessions.targets import Target, split_shots

MOST_COMPILED = 48  # circuits for a profile; each takes some 0.3 s


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one shot of a program asks, and how deep it is."""

    counts: GateCounts
    depth: int


@dataclass(slots=True)
class Compiler:
    """Compiles circuits to count their instructions, each once for a profile."""

    circuits: Mapping[str, Description]
    known: dict[tuple[str, str], Compiled] = field(default_factory=dict)

    def compiled(self, circuit: str, profile: str) -> Compiled | None:
        """The circuit as it is sent to targets of that profile; None above `MOST_COMPILED`. Raises ProgramError."""
        key = (circuit, profile)
        if key not in self.known:
            if sum(each == profile for _, each in self.known) >= MOST_COMPILED:
                return None
            qir = _qir(self.circuits[circuit], profile)
            self.known[key] = Compiled(gate_counts(qir), depth_of(qir))
        return self.known[key]

    def dearest(self, profile: str) -> Compiled:
        """Of those that were compiled, the one with the most gates between qubits."""
        return max(
            (known for (_, each), known in self.known.items() if each == profile),
            key=lambda known: (known.counts.two_qubit, known.counts.one_qubit),
        )


@dataclass(frozen=True, slots=True)
class Took:
    """Jobs, shots, and their price: expected, and at most (None: nobody can say)."""

    jobs: int = 0
    shots: int = 0
    expected: float = 0.0
    upper: float | None = 0.0

    def __add__(self, other: Took) -> Took:
        upper = None if self.upper is None or other.upper is None else self.upper + other.upper
        return Took(self.jobs + other.jobs, self.shots + other.shots, self.expected + other.expected, upper)

    def __mul__(self, times: int) -> Took:
        upper = None if self.upper is None else times * self.upper
        return Took(times * self.jobs, times * self.shots, times * self.expected, upper)


@dataclass(slots=True)
class Tariff:
    """What a target asks for circuits. With a cap for one job, that bounds a price that has no bound of its own."""

    target: Target
    compiler: Compiler
    caps: Caps
    debias: bool
    _prices: dict[tuple[str, int], Price] = field(default_factory=dict)

    def parts(self, shots: int) -> list[int]:
        """The shots of the jobs that one point is measured by, as `sessions.jobs.plan_jobs` has them."""
        target = self.target
        return split_shots(shots, target.max_shots) if target.samples else [min(shots, target.max_shots)]

    def price(self, circuit: str, shots: int) -> Price:
        """One job's."""
        key = (circuit, shots)
        if key not in self._prices:
            profile = self.target.profile
            known = self.compiler.compiled(circuit, profile) or self.compiler.dearest(profile)
            self._prices[key] = price_of_job(self.target, known.counts, shots, debias=self.debias)
        return self._prices[key]

    def jobs(self, asked: Asked) -> list[tuple[int, Price]]:
        """Shots and price of each of the jobs."""
        parts = self.parts(asked.shots)
        return [(shots, self.price(asked.circuit, shots)) for shots in parts] * asked.points

    def took(self, asked: Iterable[Asked]) -> Took:
        """Of all these jobs."""
        total = Took()
        for each in asked:
            parts = [(shots, self.price(each.circuit, shots)) for shots in self.parts(each.shots)]
            uppers = [self._upper(price) for _, price in parts]
            point = Took(
                len(parts),
                sum(shots for shots, _ in parts),
                math.fsum(price.expected for _, price in parts),
                None if None in uppers else math.fsum(each for each in uppers if each is not None),
            )
            total += point * each.points
        return total

    def rounds(self, rounds: Iterable[Round]) -> Took:
        """Of all jobs of these rounds."""
        return sum((self.took(each.asked) for each in rounds), Took())

    def _upper(self, price: Price) -> float | None:
        return self.caps.max_cost_per_job.get(price.unit) if price.upper is None else price.upper


def _qir(circuit: Description, profile: str) -> str:
    """The program at its first point; one of a structure, at angles that stand for any."""
    if circuit.structure is not None:
        return sample_program(circuit.structure, profile)
    return compile_qir(to_basis(circuit.circuit.assign_parameters(circuit.points[0])), profile)
