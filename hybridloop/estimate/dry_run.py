"""An algorithm driven over an ideal machine in this process: which circuits it asks for, round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.outcome import RoundProgress
from hybridloop.algorithms.rounds import Counts, MeasuredPub
from hybridloop.azure.targets import Target
from hybridloop.compiler.programs import PubDescription, describe_pub
from hybridloop.errors import HybridloopError
from hybridloop.estimate.ideal_sampler import IdealMachine, TooMuch
from hybridloop.preparation import prepare
from hybridloop.preparation.prepared import PreparedAlgorithm
from hybridloop.settings import ProblemText, RunSettings

TRIALS = 3  # seeds: a search's length goes with its noise
MOST_WORK = 1e9  # amplitudes through a gate, over all seeds: some twenty seconds
BLANK_ROUNDS = 2  # that are answered by zeros beyond it, to see what circuits there are
SEARCH, FINAL, OTHER = "search", "final", "other"


@dataclass(frozen=True, slots=True)
class Asked:
    """A circuit of a round, by its fingerprint: at so many points, with so many shots each."""

    circuit: str
    points: int
    shots: int


@dataclass(frozen=True, slots=True)
class Round:
    """What a round asks. `phase` is "search" or "final", as its progress says, else "other"."""

    phase: str
    asked: tuple[Asked, ...]

    @property
    def shots(self) -> int:
        """All its shots."""
        return sum(each.points * each.shots for each in self.asked)


@dataclass(frozen=True, slots=True)
class Trial:
    """The rounds of one seed. `cut` says what was not simulated, None where all was: rounds from there on are no more
    than examples, unless the run asks the same whatever comes out, and has `ended`.
    """

    rounds: tuple[Round, ...]
    cut: str | None
    ended: bool

    @property
    def shots(self) -> int:
        """Of all rounds."""
        return sum(each.shots for each in self.rounds)


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """What was seen: a trial for each seed, and every circuit that any of them asked for, at its first point."""

    prepared: PreparedAlgorithm
    trials: tuple[Trial, ...]
    circuits: Mapping[str, PubDescription]


def rehearse(
    algorithm: str,
    problem: ProblemText,
    settings: RunSettings,
    target: Target,
    *,
    trials: int = TRIALS,
    most_work: float = MOST_WORK,
) -> Rehearsal:
    """Run the algorithm to its end for a few seeds, within bounds on what is simulated.

    Shots are drawn anew for each seed, and so is a random start where the settings have no seed of their own. A run
    that draws nothing is rehearsed once. Raises InputError for what a run would refuse.
    """
    draws = target.samples or settings.seed is None
    circuits: dict[str, PubDescription] = {}
    found: list[Trial] = []
    prepared: PreparedAlgorithm | None = None
    left = most_work
    for number in range(trials if draws else 1):
        ready = prepare(algorithm, problem, settings, number if settings.seed is None else settings.seed).algorithm
        prepared = prepared or ready
        rehearsed = _Rehearsed(IdealMachine(target, seed=number, most_work=left), circuits)
        trial = rehearsed.trial(ready)
        left -= rehearsed.machine.work
        if trial.cut is not None and found:
            break
        found.append(trial)
        if trial.cut is not None:
            break
    assert prepared is not None
    return Rehearsal(prepared, tuple(found), circuits)


@dataclass(slots=True)
class _Rehearsed:
    """A `RunRound` that keeps what it is asked."""

    machine: IdealMachine
    circuits: dict[str, PubDescription]
    rounds: list[Round] = field(default_factory=list)
    cut: str | None = None
    blanks: int = 0

    def trial(self, prepared: PreparedAlgorithm) -> Trial:
        """The run, as far as it comes."""
        try:
            prepared.measure(self, self._in_phase)
        except TooMuch:
            return Trial(tuple(self.rounds), self.cut, ended=False)
        except HybridloopError as error:  # such as a final measurement that says nothing
            return Trial(tuple(self.rounds), self.cut or f"what comes after this error: {error}", ended=False)
        return Trial(tuple(self.rounds), self.cut, ended=True)

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """Note the round, and answer it: beyond the bounds of the simulation by zeros, and not for long."""
        asked = [describe_pub(pub) for pub in pubs]
        shots = [int(pub.shots) for pub in pubs]
        for each in asked:
            self.circuits.setdefault(each.fingerprint, replace(each, points=each.points[:1], slots=each.slots[:1]))
        parts = zip(asked, shots, strict=True)
        self.rounds.append(Round(OTHER, tuple(Asked(each.fingerprint, len(each.points), n) for each, n in parts)))
        try:
            return self.machine.measured(asked, shots)
        except TooMuch as reason:
            self.cut = self.cut or str(reason)
            self.blanks += 1
            if self.blanks > BLANK_ROUNDS:
                self.rounds.pop()
                raise
            return [_zeros(each, n) for each, n in zip(asked, shots, strict=True)]

    def _in_phase(self, progress: RoundProgress) -> None:
        """The last round belongs to a phase that its algorithm names."""
        self.rounds[-1] = replace(self.rounds[-1], phase=progress.phase)


def _zeros(asked: PubDescription, shots: int) -> MeasuredPub:
    counts = Counts.from_bitstrings({"0" * asked.num_clbits: shots})
    return MeasuredPub(asked.points, (counts,) * len(asked.points))
