"""The value that a run's caps buy: dry runs that spend them as the run does, round by round."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.rounds import Aside, MeasuredPub
from hybridloop.budget.caps import Budget, Caps, Spending, check_caps
from hybridloop.errors import CapReached, HybridloopError, InputError, RoundTooLarge
from hybridloop.estimate.dry_run import FINAL, MAX_WORK, TRIALS, DryRound, PubRequest, Recorder
from hybridloop.estimate.figures import Bought, likely_count
from hybridloop.estimate.ideal_sampler import IdealSampler, Kept, SimulationTooLarge
from hybridloop.estimate.pricing import ProgramSizes, Tariff
from hybridloop.preparation.prepared import PreparedAlgorithm, ProblemFacts
from hybridloop.settings import EnergySettings, MoleculeSettings, RunSettings, SearchName
from hybridloop.settings.parsing import AUTO_SPACE
from hybridloop.targets import Target, batches_points
from hybridloop.targets.error_rates import ErrorRates
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
    elif shots := getattr(settings, "shots", None) or getattr(settings, "default_shots", 0):
        yield "shots", tuple(shots // factor for factor in FACTORS if shots // factor)
    if isinstance(settings, MoleculeSettings) and facts.unit and facts.num_qubits > _FEWEST_QUBITS:
        yield "active_space", (f"{AUTO_SPACE}:2,2",)


def are_enforced(caps: Caps, target: Target) -> bool:
    """Return whether there are caps on jobs, shots or cost, and these can be enforced on a target: see `check_caps`."""
    if not caps.count:
        return False
    try:
        check_caps(caps, target)
    except InputError:
        return False
    return True


def what_caps_buy(
    prepared: PreparedAlgorithm,
    tariff: Tariff,
    rates: ErrorRates,
    *,
    trials: int = TRIALS,
    kept: Kept | None = None,
) -> Bought | None:
    """Return what a run under the tariff's caps is expected to reach: the median of its dry runs.

    Jobs are billed as expected, and reserved at the most that they can cost. Distributions that were `kept` are not
    simulated again. None where the circuits are too large for that.
    """
    found: list[Bought] = []
    left = MAX_WORK
    for seed in range(trials):
        capped = _CappedRounds(tariff, IdealSampler(tariff.target, seed=seed, max_work=left, kept=kept, rates=rates))
        bought = capped.bought(prepared)
        left -= capped.recorder.sampler.work
        if bought is None:
            break
        found.append(bought)
    return median_of(found) if found else None


def median_of(found: Sequence[Bought]) -> Bought:
    """Return the median of what dry runs bought, by value and then by jobs.

    The likely jobs are those of the dry runs that have a value where it has one, and of those without one where not.
    """
    ordered = sorted(found, key=lambda each: (each.standard_error is None, each.jobs, each.standard_error))
    median = ordered[(len(ordered) - 1) // 2]
    alike = [each.jobs for each in found if (each.standard_error is None) is (median.standard_error is None)]
    least, most = likely_count(alike)
    return replace(
        median,
        least_jobs=least,
        most_jobs=most,
        of=len(found),
        with_value=sum(each.standard_error is not None for each in found),
    )


def too_small_caps(prepared: PreparedAlgorithm, target: Target, settings: RunSettings) -> str | None:
    """Say what a run buys whose caps hold no round of its search; None if they hold one.

    Nothing is simulated: the first round that is submitted shows it.
    """
    batches = batches_points(target, settings.batching)
    tariff = Tariff(target, ProgramSizes({}), settings.caps, settings.debias, batches)
    if not are_enforced(tariff.caps, tariff.target):
        return None
    first = _FirstRound(tariff, IdealSampler(tariff.target, seed=0, max_work=0.0))
    try:
        prepared.measure(first, lambda _: None)
    except _Submitted as submitted:
        if larger := first.larger_cap():
            what = f"the final measurement at its start alone, in {submitted.shots:,} shots"
            return f"the caps buy no round of the search, but {what}; {larger} buys one"
    except CapReached as cap:
        return f"the caps buy nothing; {first.larger_cap() or cap.larger_cap} buys a round"
    return None


def caps_buy_about(rounds: Sequence[DryRound], deviation: float, tariff: Tariff) -> Bought | None:
    """Return what the caps buy of assumed rounds, whose final measurement has a known sum of standard deviations.

    `deviation` is that of one shot, over all groups, by the operator's terms. None where it is unknown, or where the
    run does not end with one final round.
    """
    *others, final = rounds
    if not deviation or final.phase != FINAL or any(each.phase == FINAL for each in others):
        return None
    capped = _CappedRounds(tariff, IdealSampler(tariff.target, seed=0, max_work=0.0))
    last, done = capped.pubs(final), 0
    try:
        with capped.share(lambda: last):
            for each in others:
                capped.spend(capped.pubs(each))
                done += 1
    except HybridloopError:
        pass  # the search ends there
    try:
        with capped.share(None):
            fitted = capped.spend(last)
    except HybridloopError as error:
        return capped.result(None, done, str(error).partition(". ")[0])
    shots = sum(pub.size * int(pub.shots or 0) for pub in fitted)
    bought = capped.result(deviation / math.sqrt(shots), done + 1, "", is_whole=not capped.is_cut)
    return replace(bought, is_assumed=True)


class _CappedRounds:
    """A `RunRound` with caps: it spends a budget by a tariff, and records and samples what fits."""

    def __init__(self, tariff: Tariff, sampler: IdealSampler) -> None:
        circuits = dict(tariff.sizes.circuits)
        self._tariff = replace(tariff, sizes=replace(tariff.sizes, circuits=circuits))
        self.budget = Budget(tariff.caps, only_planned=True)
        self.recorder = Recorder(sampler, circuits)
        self.is_cut = False  # a round had less than it asked for, or none
        self.has_unmitigated = False  # a job had too few shots for the mitigation that was asked for
        self._shares = CapShares(self)

    @property
    def target(self) -> Target:
        """The target whose prices count."""
        return self._tariff.target

    def recorded(self, _asked: object = None) -> None:
        """Return None: no round was recorded before."""

    def bought(self, prepared: PreparedAlgorithm) -> Bought | None:
        """Run an algorithm; return what it reached, None where its circuits are too large."""
        outcome: Outcome | None = None
        try:
            measured = prepared.measure(self, lambda _: None)
            outcome = measured if isinstance(measured, Outcome) else None
            reason = "" if outcome is None else outcome.reason
        except SimulationTooLarge:
            return None
        except HybridloopError as error:
            reason = str(error).partition(". ")[0]
        if self.recorder.cut is not None:
            return None
        standard_error = None if outcome is None else max(outcome.standard_error, outcome.rounding_bound)
        is_whole = outcome is not None and outcome.is_precise and not self.is_cut
        return self.result(standard_error, len(self.recorder.rounds), reason, is_whole=is_whole)

    def result(self, standard_error: float | None, rounds: int, reason: str, *, is_whole: bool = False) -> Bought:
        """Return what was bought for all that was spent."""
        spent = self.budget.spent
        cost = math.fsum(spent.amounts.values())
        bought = Bought(standard_error, is_whole, rounds, spent.jobs, spent.shots, cost, reason, spent.jobs, spent.jobs)
        return replace(bought, has_unmitigated=self.has_unmitigated)

    def needed(self, pubs: Sequence[SamplerPub]) -> Callable[[Sequence[int]], Spending]:
        """Return the most that a round of these PUBs can take, as a function of the shots of each."""
        asked = [PubRequest.of(self.recorder.describe(pub)) for pub in pubs]

        def most(shots: Sequence[int]) -> Spending:
            pairs = zip(asked, shots, strict=True)
            jobs = self._tariff.jobs([replace(request, shots=number) for request, number in pairs])
            return self.budget.most([shots for shots, _ in jobs], [price for _, price in jobs])

        return most

    @contextmanager
    def share(self, aside: Aside | None) -> Iterator[None]:
        """Keep a share of the caps; see `CappedRounds`."""
        with self._shares.share(aside):
            yield

    def larger_cap(self) -> str:
        """Return the options by which rounds that did not fit would; see `CappedRounds`."""
        return self._shares.larger_cap()

    def pubs(self, round_: DryRound) -> list[SamplerPub]:
        """Return the PUBs of a dry round, at one point of each circuit."""
        pairs = [(request.example, request) for request in round_.pubs]
        return [
            SamplerPub.coerce((each.circuit, np.repeat(each.points[:1], request.points, axis=0), request.shots))
            for each, request in pairs
        ]

    def spend(self, pubs: Sequence[SamplerPub]) -> Sequence[SamplerPub]:
        """Spend a round's price; return its PUBs with the shots that fit. Raises CapReached where it does not fit."""
        try:
            fitted = self._shares.fitted(pubs)
        except RoundTooLarge:
            self.is_cut = True
            raise
        self.is_cut |= fitted is not pubs
        described = [self.recorder.describe(pub) for pub in fitted]
        pairs = zip(described, (int(pub.shots or 0) for pub in fitted), strict=True)
        jobs = self._tariff.jobs([PubRequest.of(*pair) for pair in pairs])
        prices = [price for _, price in jobs]
        few = self._tariff.target.unmitigated([shots for shots, _ in jobs], debias=self._tariff.debias)
        self.has_unmitigated |= few is not None
        reserved = self.budget.reserve([shots for shots, _ in jobs], prices, now=0.0)
        for reservation, price in zip(reserved, prices, strict=True):
            self.budget.settle(reservation, price.amounts or None)
        return fitted

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """Spend a round's price, record the round and sample it."""
        return self.recorder(self.spend(pubs))


class _Submitted(Exception):
    """A round has its share of the caps, in so many shots."""

    def __init__(self, shots: int) -> None:
        super().__init__(shots)
        self.shots = shots


class _FirstRound(_CappedRounds):
    """The same up to the first round that is submitted."""

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        """Raise _Submitted for a round that fits into the caps."""
        raise _Submitted(sum(pub.size * int(pub.shots or 0) for pub in self._shares.fitted(pubs)))
