"""Shares of a run's caps: what the final measurement needs is kept from other rounds, and it takes what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import Aside
from hybridloop.budget.caps import Budget, Spending, TooLarge
from hybridloop.errors import CapReached, RoundTooLarge
from hybridloop.journal import RoundRecord
from hybridloop.targets import Target
from hybridloop.tasks.replay.same_round import difference_of

MIN_SHOTS = 10  # of a PUB whose shots are reduced
_STEPS = 30  # of the bisection for the reduced shots


Asked = Callable[[RoundRecord], Sequence[SamplerPub]]  # PUBs of a round, with the shots that the record gives them


class PricedRounds(Protocol):
    """Rounds whose price is known before: those of a session's main stream, or of a dry run."""

    @property
    def budget(self) -> Budget:
        """The budget of the run."""

    @property
    def target(self) -> Target:
        """The target of the run."""

    def recorded(self, asked: Asked | None = None) -> RoundRecord | None:
        """Return the next round as the journal has it, if it has; one that differs from the asked PUBs may be left."""

    def needed(self, pubs: Sequence[SamplerPub], /) -> Callable[[Sequence[int]], Spending]:
        """Return the most that a round of these PUBs can take, as a function of the shots of each."""


class CapShares:
    """Decision which rounds of a session's main stream fit into its caps; see `CappedRounds`.

    For a round that the journal has, the decision is that of the process that recorded it, also under other caps.
    A round that it has not comes after all recorded ones, so that the budget holds no later spending then.
    """

    def __init__(self, rounds: PricedRounds) -> None:
        self._rounds = rounds
        self._budget = rounds.budget
        self._aside: Aside | None = None  # None: no share is kept
        self._reduces = self._is_reduced = False
        self._too_large: dict[bool, TooLarge] = {}  # the last round of a search, and of a final measurement (True)

    @contextmanager
    def share(self, aside: Aside | None) -> Iterator[None]:
        """Keep the share of these PUBs from the rounds of the block; with None reduce the shots of its last round."""
        before = self._aside, self._reduces
        self._reduces, self._aside, self._is_reduced = aside is None, aside or tuple, False
        try:
            yield
        finally:
            self._aside, self._reduces = before

    def _kept(self) -> Spending:
        """Return what is kept from the next round of the block."""
        assert self._aside is not None
        if not (aside := self._aside()):
            return Spending()
        return self._budget.largest_share(*self._most(aside))

    def _most(self, pubs: Sequence[SamplerPub]) -> tuple[Spending, Spending]:
        """Return the most that a round can take, and that with the fewest shots; raises CapReached if that is too much.

        A job above max_cost_per_job gets fewer shots.
        """
        shots, needed = [int(pub.shots or 0) for pub in pubs], self._rounds.needed(pubs)
        whole = least = needed([min(MIN_SHOTS, each) for each in shots])
        with suppress(CapReached):
            whole = needed(shots)
        return whole, least

    def larger_cap(self) -> str:
        """Return the options by which rounds that did not fit would; see `CappedRounds`."""
        return self._budget.larger_caps(self._too_large.values())

    def _note(self, pubs: Sequence[SamplerPub]) -> None:
        """Keep what a round that does not fit would take, beside what is kept from it."""
        assert self._aside is not None
        with suppress(CapReached):
            aside = self._aside()
            self._too_large[self._reduces] = TooLarge(self._most(pubs)[0], *(self._most(aside) if aside else ()))

    def fitted(self, pubs: Sequence[SamplerPub]) -> Sequence[SamplerPub]:
        """Return a round's PUBs with the shots that it may have. Raises RoundTooLarge if it may not be submitted."""
        if self._aside is None:
            return pubs
        ended_by_cap = self._budget.has_caps and not self._reduces  # what is recorded may be the final measurement
        record = self._rounds.recorded(None if ended_by_cap else partial(self._with_recorded_shots, pubs))
        if record is not None:
            return self._as_recorded(pubs, record)
        if not self._budget.has_caps:
            return pubs
        shots, needed, kept = [int(pub.shots or 0) for pub in pubs], self._rounds.needed(pubs), self._kept()
        if (cap := self._cap_of(needed, shots, kept)) is None:
            return pubs
        least = [min(MIN_SHOTS, each) for each in shots]
        if not self._reduces or self._is_reduced or self._cap_of(needed, least, kept) is not None:
            self._note(pubs)
            raise RoundTooLarge(self._names, cap.state, cap.remedy, cap.larger_cap)
        self._is_reduced = True
        low, high = 0.0, 1.0
        for _ in range(_STEPS):
            middle = (low + high) / 2.0
            reduced = [max(few, int(middle * each)) for few, each in zip(least, shots, strict=True)]
            fits = self._cap_of(needed, reduced, kept) is None
            low, high = (middle, high) if fits else (low, middle)
        reduced = [max(few, int(low * each)) for few, each in zip(least, shots, strict=True)]
        return [_with_shots(pub, each) for pub, each in zip(pubs, reduced, strict=True)]

    def _cap_of(
        self, needed: Callable[[Sequence[int]], Spending], shots: Sequence[int], kept: Spending
    ) -> CapReached | None:
        """Return the cap that a round with these shots does not fit into, beside what is kept."""
        try:
            self._budget.check_room(needed(shots) + kept)
        except CapReached as cap:
            return cap
        return None

    def _as_recorded(self, pubs: Sequence[SamplerPub], record: RoundRecord) -> Sequence[SamplerPub]:
        if not self._reduces and (difference := difference_of(record, pubs)):
            self._note(pubs)
            raise RoundTooLarge(self._names, "another round is recorded", difference)
        found = self._with_recorded_shots(pubs, record)
        self._is_reduced = [pub.shots for pub in found] != [pub.shots for pub in pubs]
        return found

    def _with_recorded_shots(self, pubs: Sequence[SamplerPub], record: RoundRecord) -> Sequence[SamplerPub]:
        """Return the PUBs with the shots to which they were reduced, if they may be."""
        if not self._reduces or len(record.pubs) != len(pubs):
            return pubs
        shots = [min(known.shots, int(pub.shots or 0)) for pub, known in zip(pubs, record.pubs, strict=True)]
        return [_with_shots(pub, each) for pub, each in zip(pubs, shots, strict=True)]

    @property
    def _names(self) -> str:
        return " and ".join(self._budget.names) or "an earlier cap"


def _with_shots(pub: SamplerPub, shots: int) -> SamplerPub:
    return SamplerPub(pub.circuit, pub.parameter_values, shots)
