"""Dry runs: an algorithm driven over a simulator in this process, with every round recorded."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.outcome import Outcome, RoundProgress
from hybridloop.algorithms.rounds import Counts, MeasuredPub, pub_points
from hybridloop.compiler.programs import PubDescription, describe_pub
from hybridloop.compiler.quil import NoQuil, program_key
from hybridloop.errors import HybridloopError
from hybridloop.estimate.ideal_sampler import IdealSampler, Kept, SimulationTooLarge
from hybridloop.preparation import prepare
from hybridloop.preparation.prepared import PreparedAlgorithm
from hybridloop.runtime.stages import announce
from hybridloop.settings import ProblemText, RunSettings
from hybridloop.targets import Target
from hybridloop.targets.error_rates import error_rates

TRIALS = 5  # seeds: a search's length goes with its noise
MAX_WORK = 1e9  # amplitudes through a gate, over all seeds: some twenty seconds
MAX_UNSIMULATED_ROUNDS = 2  # answered by zeros above that bound, to see which circuits there are
SEARCH, FINAL, OTHER = "search", "final", "other"


@dataclass(frozen=True, slots=True)
class PubRequest:
    """A circuit of a round, by its fingerprint: its number of points, and the shots of each.

    Points of one `program`, a hash, can share jobs: circuits of a fingerprint may differ in constant angles. None: the
    circuit can't be a program with parameters. `example` is the circuit with its constant angles, at one point.
    """

    circuit: str
    points: int
    shots: int
    program: int | None
    example: PubDescription = field(compare=False, repr=False)

    @classmethod
    def of(cls, pub: PubDescription, shots: int = 0) -> PubRequest:
        """Return the request of a described PUB."""
        try:
            program = hash(program_key(pub))
        except NoQuil:
            program = None
        return cls(pub.fingerprint, len(pub.points), shots, program, pub)


@dataclass(frozen=True, slots=True)
class DryRound:
    """The PUBs of a round. `phase` is that of the round's progress ("search" or "final"), else "other"."""

    phase: str
    pubs: tuple[PubRequest, ...]

    @property
    def shots(self) -> int:
        """Return the shots of all PUBs."""
        return sum(pub.points * pub.shots for pub in self.pubs)


@dataclass(frozen=True, slots=True)
class Trial:
    """The rounds of one seed. `cut` is the reason why the simulation stopped, None if it did not.

    Rounds from there on are only examples, unless the run measures the same for all counts, and has `ended`.
    `classical_s` are the seconds of the algorithm's own steps.
    """

    rounds: tuple[DryRound, ...]
    cut: str | None
    ended: bool
    classical_s: float = 0.0

    @property
    def shots(self) -> int:
        """Return the shots of all rounds."""
        return sum(round_.shots for round_ in self.rounds)


@dataclass(frozen=True, slots=True, eq=False)
class DryRun:
    """A trial for each seed, and every circuit that any of them measured, at its first point."""

    prepared: PreparedAlgorithm
    trials: tuple[Trial, ...]
    circuits: Mapping[str, PubDescription]


def dry_run(
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    target: Target,
    *,
    prepared: PreparedAlgorithm | None = None,
    trials: int = TRIALS,
    max_work: float = MAX_WORK,
    kept: Kept | None = None,
) -> DryRun:
    """Run the algorithm to its end for `trials` seeds, with a bound on the work of simulation.

    Each seed draws its own shots, and its own random start unless the settings have a seed. A run without randomness
    has one trial. `prepared` is what `prepare_trial` returned, to be run first. Distributions that were `kept` are not
    simulated again. Raises InputError for what a run would refuse.
    """
    is_random = target.samples or settings.seed is None
    circuits: dict[str, PubDescription] = {}
    complete: list[Trial] = []
    first = prepared or prepare_trial(algorithm, problem, settings, target)
    left, rates = max_work, error_rates(target, settings.options)
    for number in range(trials if is_random else 1):
        is_first = number == 0 or settings.seed is not None
        current = first if is_first else prepare_trial(algorithm, problem, settings, target, number)
        recorder = Recorder(IdealSampler(target, seed=number, max_work=left, kept=kept, rates=rates), circuits)
        trial = recorder.run(current)
        left -= recorder.sampler.work
        if trial.cut is None or not complete:
            complete.append(trial)
        if trial.cut is not None:
            break
    return DryRun(first, tuple(complete), circuits)


def prepare_trial(
    algorithm: str, problem: ProblemText, settings: RunSettings, target: Target, number: int = 0
) -> PreparedAlgorithm:
    """Prepare the algorithm of a trial; its number is the seed where the settings have none. Raises InputError."""
    seed = number if settings.seed is None else settings.seed
    return prepare(algorithm, problem, settings, seed, target=target).algorithm


@dataclass(slots=True)
class Recorder:
    """A `RunRound` that records its requests."""

    sampler: IdealSampler
    circuits: dict[str, PubDescription]
    rounds: list[DryRound] = field(default_factory=list)
    cut: str | None = None
    unsimulated: int = 0
    described: dict[int, PubDescription] = field(default_factory=dict)
    examples: dict[tuple[str, int | None], PubDescription] = field(default_factory=dict)
    sampling_s: float = 0.0

    def run(self, prepared: PreparedAlgorithm) -> Trial:
        begin = time.perf_counter()
        trial = self._run(prepared)
        return replace(trial, classical_s=time.perf_counter() - begin - self.sampling_s)

    def _run(self, prepared: PreparedAlgorithm) -> Trial:
        try:
            if not isinstance(prepared.measure(self, self._set_phase), Outcome):  # its classical part may take minutes
                self.rounds[-1] = replace(self.rounds[-1], phase=FINAL)
        except SimulationTooLarge:
            return Trial(tuple(self.rounds), self.cut, ended=False)
        except HybridloopError as error:  # such as a final measurement without usable counts
            return Trial(tuple(self.rounds), self.cut or f"the rounds after this error: {error}", ended=False)
        return Trial(tuple(self.rounds), self.cut, ended=True)

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """Record the round and sample it; above the bound of the simulation, return zeros for a few rounds."""
        begin = time.perf_counter()
        announce(f"dry run, round {len(self.rounds) + 1}: {sum(pub.size for pub in pubs):,} points of circuits")
        try:
            return self._sample(pubs)
        finally:
            self.sampling_s += time.perf_counter() - begin

    def _sample(self, pubs: Sequence[SamplerPub]) -> list[MeasuredPub]:
        described = [self.describe(pub) for pub in pubs]
        shots = [int(pub.shots) for pub in pubs]
        pairs = list(zip(described, shots, strict=True))
        requests = tuple(self._request(*pair) for pair in pairs)
        self.rounds.append(DryRound(OTHER, requests))
        try:
            return self.sampler.sample(described, shots)
        except SimulationTooLarge as reason:
            self.cut = self.cut or str(reason)
            self.unsimulated += 1
            if self.unsimulated > MAX_UNSIMULATED_ROUNDS:
                self.rounds.pop()
                raise
            return [_zeros(pub, number) for pub, number in pairs]

    def describe(self, pub: SamplerPub) -> PubDescription:
        """Describe a PUB, and keep its circuit; one that several rounds measure is read once."""
        found = self._described(pub)
        self.circuits.setdefault(found.fingerprint, _first_point(found))
        return found

    def _described(self, pub: SamplerPub) -> PubDescription:
        known = self.described.get(id(pub.circuit))
        if known is None or known.angles is None:
            known = self.described[id(pub.circuit)] = describe_pub(pub)  # it refers to the circuit, so the id stays
            return known
        points = pub_points(pub)
        return replace(known, points=points, slots=known.angles(points))

    def _request(self, pub: PubDescription, shots: int) -> PubRequest:
        """Return a PUB's request; those of one circuit and program share an example."""
        request = PubRequest.of(pub, shots)
        key = request.circuit, request.program
        return replace(request, example=self.examples.setdefault(key, _first_point(pub)))

    def _set_phase(self, progress: RoundProgress) -> None:
        if self.rounds:  # an operator without terms has a search of no circuits
            self.rounds[-1] = replace(self.rounds[-1], phase=progress.phase)


def _first_point(pub: PubDescription) -> PubDescription:
    return replace(pub, points=pub.points[:1], slots=pub.slots[:1])


def _zeros(pub: PubDescription, shots: int) -> MeasuredPub:
    counts = Counts.from_bitstrings({"0" * pub.num_clbits: shots})
    return MeasuredPub(pub.points, (counts,) * len(pub.points))
