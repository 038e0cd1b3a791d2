"""Rounds of a run's algorithm: what the journal has whole is returned from it, what it lacks is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.journal.held_run import HeldRun
from hybridloop.tasks.cap_shares import CapShares
from hybridloop.tasks.replay.earlier_rounds import NO_EARLIER, EarlierRounds
from hybridloop.tasks.session import OpenSession
from hybridloop.tasks.submission.results import stored_points

Measure = Callable[[OpenSession, Sequence[SamplerPub]], list[MeasuredPub]]


class ReplayedRounds:
    """The session's rounds, which `measure` measures where the journal does not have them.

    Of `earlier` ones those are taken that are the same, and `left` returns what no round took.
    """

    def __init__(self, session: OpenSession, measure: Measure, earlier: EarlierRounds = NO_EARLIER) -> None:
        self._session = session
        self._measure = measure
        self._earlier = earlier
        session.rounds.count_earlier(earlier.records)
        self.left = earlier.left
        self._shares = CapShares(session.rounds)
        self.share, self.larger_cap = self._shares.share, self._shares.larger_cap
        self._replays = True
        self.live = 0  # number of rounds and classical steps of this process

    @classmethod
    def of(cls, session: OpenSession, run: HeldRun, measure: Measure) -> Self:
        """Return the rounds of a run that may have ended before."""
        return cls(session, measure, EarlierRounds.of(run))

    def count_step(self) -> None:
        """Count a classical step of this process, which is reported as a round is."""
        self.live += 1

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """Measure a round. Raises as `measure`, and RoundTooLarge."""
        if (taken := self._earlier.take(pubs)) is not None:
            return stored_points(taken)
        pubs = self._shares.fitted(pubs)
        record = self._session.rounds.recorded(lambda _: pubs) if self._replays else None
        self._replays = record is not None and record.complete
        if self._replays:
            return self._session.run_round(pubs)
        self.live += 1
        return self._measure(self._session, pubs)
