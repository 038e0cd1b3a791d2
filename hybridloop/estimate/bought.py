"""The value that a run's caps buy: a dry run that spends them as the run does, round by round."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.rounds import MeasuredPub
from hybridloop.azure.targets import Target
from hybridloop.budget.caps import Budget, Spending
from hybridloop.errors import HybridloopError
from hybridloop.estimate.dry_run import MAX_WORK, PubRequest, Recorder
from hybridloop.estimate.ideal_sampler import IdealSampler
from hybridloop.estimate.plan import Bought
from hybridloop.estimate.pricing import Tariff
from hybridloop.preparation.prepared import PreparedAlgorithm, ProblemFacts
from hybridloop.settings import EnergySettings, MoleculeSettings, RunSettings, SearchName
from hybridloop.settings.parsing import AUTO_SPACE
from hybridloop.tasks.cap_shares import CapShares

_FEWEST_QUBITS = 2  # of a molecule in two orbitals, by the parity mapping
FACTORS = (2, 5, 10, 25)  # of a coarser precision, or of fewer shots


def cheaper_settings(settings: RunSettings, facts: ProblemFacts) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield settings that make a run cheaper, each with values to try, from the one that changes the run the least."""
    if isinstance(settings, EnergySettings):
        if settings.search is not SearchName.SIMULATED:
            yield "search", (SearchName.SIMULATED,)
        precision = settings.precision or settings.default_precision
        yield "precision", tuple(factor * precision for factor in FACTORS if factor * precision <= 1)
    elif (shots := getattr(settings, "shots", None)) is not None:
        yield "shots", tuple(shots // factor for factor in FACTORS if shots // factor)
    if isinstance(settings, MoleculeSettings) and facts.unit and facts.num_qubits > _FEWEST_QUBITS:
        yield "active_space", (f"{AUTO_SPACE}:2,2",)


def what_caps_buy(prepared: PreparedAlgorithm, tariff: Tariff, *, seed: int = 0) -> Bought | None:
    """Return what a run under the tariff's caps is expected to reach; None where the circuits are too large for that.

    Jobs are billed as expected, and reserved at the most that they can cost.
    """
    circuits = dict(tariff.sizes.circuits)
    tariff = replace(tariff, sizes=replace(tariff.sizes, circuits=circuits))
    budget = Budget(tariff.caps, only_planned=True)
    recorder = Recorder(IdealSampler(tariff.target, seed=seed, max_work=MAX_WORK), circuits)
    outcome: Outcome | None = None
    try:
        measured = prepared.measure(_CappedRounds(recorder, tariff, budget), lambda _: None)
        outcome = measured if isinstance(measured, Outcome) else None
        reason = "" if outcome is None else outcome.reason
    except HybridloopError as error:
        reason = str(error).partition(". ")[0]
    if recorder.cut is not None:
        return None
    standard_error = None if outcome is None else max(outcome.standard_error, outcome.rounding_bound)
    spent = budget.spent
    is_precise = outcome is not None and outcome.is_precise
    cost = math.fsum(spent.amounts.values())
    return Bought(standard_error, is_precise, len(recorder.rounds), spent.jobs, spent.shots, cost, reason)


class _CappedRounds:
    """A `RunRound` with caps: it spends a budget by a tariff, and records and samples what fits."""

    def __init__(self, recorder: Recorder, tariff: Tariff, budget: Budget) -> None:
        self.budget = budget
        self._recorder, self._tariff = recorder, tariff
        self._shares = CapShares(self)

    @property
    def target(self) -> Target:
        """The target whose prices count."""
        return self._tariff.target

    def recorded(self) -> None:
        """Return None: no round was recorded before."""

    def needed(self, pubs: Sequence[SamplerPub]) -> Callable[[Sequence[int]], Spending]:
        """Return the most that a round of these PUBs can take, as a function of the shots of each."""
        described = [self._recorder.describe(pub) for pub in pubs]

        def most(shots: Sequence[int]) -> Spending:
            pairs = zip(described, shots, strict=True)
            jobs = self._tariff.jobs([PubRequest(pub.fingerprint, len(pub.points), number) for pub, number in pairs])
            return self.budget.most([shots for shots, _ in jobs], [price for _, price in jobs])

        return most

    @contextmanager
    def share(self, aside: Sequence[SamplerPub] | None) -> Iterator[None]:
        """Keep a share of the caps; see `CappedRounds`."""
        with self._shares.share(aside):
            yield

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """Spend a round's price, record the round and sample it. Raises CapReached where it does not fit."""
        fitted = self._shares.fitted(pubs)
        described = [self._recorder.describe(pub) for pub in fitted]
        pairs = zip(described, (int(pub.shots or 0) for pub in fitted), strict=True)
        jobs = self._tariff.jobs([PubRequest(pub.fingerprint, len(pub.points), number) for pub, number in pairs])
        prices = [price for _, price in jobs]
        reserved = self.budget.reserve([shots for shots, _ in jobs], prices, now=0.0)
        for reservation, price in zip(reserved, prices, strict=True):
            self.budget.settle(reservation, price.amounts or None)
        return self._recorder(fitted)
