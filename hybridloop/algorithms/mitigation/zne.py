"""Zero-noise extrapolation (ZNE): circuits with folded gates, whose noise is amplified, extrapolated to no noise."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hybridloop.algorithms.doubt import Doubt
from hybridloop.algorithms.estimation.estimates import Z95, Estimate, Evaluation, Extrapolation, GroupStatistics
from hybridloop.algorithms.mitigation.folding import TWIRLS, fold
from hybridloop.algorithms.problems.energy_units import amount_text
from hybridloop.errors import InputError

DEFAULT_SCALES = (1, 3)
SIGMAS = 3.0  # standard errors: less counts as noise of the shots
MIN_SIGNAL = 0.5  # left at the first scale factor: with less the difference between two models is no measure of errors
BEYOND = 2.0  # differences of the models: a sum of decays, or of what is kept, may lie one beyond either
MAX_WIDTH = 3.0  # half of the interval, in requested precisions, for a claim


class ZneModel(enum.StrEnum):
    """The model for the decay of an expectation value with the noise."""

    LINEAR = "linear"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True, slots=True)
class ZeroNoiseExtrapolation:
    """Zero-noise extrapolation: the model, and the odd scale factors by which circuits are lengthened.

    The exponential model takes two factors, the linear model two or more, for a least-squares fit.
    """

    model: ZneModel = ZneModel.LINEAR
    scales: tuple[int, ...] = DEFAULT_SCALES

    def __post_init__(self) -> None:
        has_enough = len(self.scales) == 2 if self.model is ZneModel.EXPONENTIAL else len(self.scales) >= 2
        if not has_enough or len(set(self.scales)) < len(self.scales) or not all(s >= 1 and s % 2 for s in self.scales):
            problem = f"{self.scales} are not valid scale factors for {self.model.value} extrapolation"
            raise InputError("scales", problem, "Give two distinct odd numbers, or more for linear extrapolation.")

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each factor's value in the linear least-squares extrapolation to no noise; they sum to 1.

        With two factors this is Richardson extrapolation (K. Temme, S. Bravyi and J. M. Gambetta, Phys. Rev. Lett. 119
        (2017) 180509).
        """
        design = np.stack([np.ones(len(self.scales)), np.array(self.scales, dtype=float)], axis=1)
        return tuple(np.linalg.pinv(design)[0].tolist())


def extrapolate_to_zero_noise(evaluation: Evaluation, zne: ZeroNoiseExtrapolation, mixed: float) -> Evaluation:
    """Return an evaluation at zero noise: each group at each scale factor, its coefficients times the linear weight.

    Each factor has `TWIRLS` circuits. Shot allocation thus weighs the factors as the linear extrapolation does. The
    exponential model decays to `mixed`, the value of the mixed state of the outcomes that are kept, and computes value
    and variance by its own formula. The `spread` of the `extrapolation` is `BEYOND` times the difference between both
    models by the same shots; if no exponential fits, the model beside the line is the value at the first factor. Errors
    that folding does not amplify are not in it: gates that turn too far in their own direction turn back in their
    inverse.
    """
    folded = fold(evaluation, zne.scales, zne.weights)
    decay = _Decay(zne, mixed, folded.factors, folded.gates(len(zne.scales)), evaluation)
    return replace(folded, combine_groups=decay.combine)


@dataclass(frozen=True, slots=True, eq=False)
class _Decay:
    """A value at each scale factor, and its extrapolations: `place_of` has the factor of each folded group."""

    zne: ZeroNoiseExtrapolation
    mixed: float
    place_of: tuple[int, ...]
    gates: tuple[float, ...]
    evaluation: Evaluation

    def combine(self, constant: float, statistics: Sequence[GroupStatistics]) -> Estimate:
        """Return the chosen extrapolation, with the spread of both."""
        scales, weights = self.zne.scales, self.zne.weights
        folded = self.evaluation.weigh(statistics)[: len(self.place_of)]
        decays = list[tuple[float, float]]()
        for place, weight in enumerate(weights):
            scaled = [group for group, at in zip(folded, self.place_of, strict=True) if at == place]
            mean = math.fsum(group.mean for group in scaled) / weight
            error = math.sqrt(math.fsum(group.variance for group in scaled)) / abs(weight)
            decays.append((constant + mean - self.mixed, error))
        linear = self.evaluation.combine_groups(constant, statistics)
        exponential = self._exponential(constant, statistics, [mean for mean, _ in decays])
        (first, first_error), (last, last_error) = decays[0], decays[-1]
        is_seen = exponential is not None and abs(last) > SIGMAS * last_error
        extrapolation = Extrapolation(
            BEYOND * abs(linear.value - (self.mixed + first if exponential is None else exponential.value)),
            (self.mixed + first, first_error),
            (last - first, math.hypot(first_error, last_error)),
            (last / first) ** (scales[0] / (scales[-1] - scales[0])) if is_seen else 0.0,
            self.gates,
            self._lost(folded),
        )
        chosen = exponential if exponential is not None and self.zne.model is ZneModel.EXPONENTIAL else linear
        return replace(chosen, extrapolation=extrapolation)

    def _lost(self, folded: Sequence[GroupStatistics]) -> tuple[float, float]:
        """Return what the last factor took from the share of outcomes with the state's symmetries, and its error.

        It is the mean over groups, each by the weight that its shots at both factors give the difference.
        """
        bare = len(folded) // (len(self.zne.scales) * TWIRLS)
        lost, weights, variances = [], [], []
        for number in range(bare):
            shares, errors, shots = [], [], []
            for place in (0, len(self.zne.scales) - 1):
                copies = [folded[k] for k in range(number, len(folded), bare) if self.place_of[k] == place]
                shots.append(sum(each.shots for each in copies))
                shares.append(math.fsum(each.in_sector * each.shots for each in copies) / shots[-1])
                errors.append(math.fsum(each.sector_squares for each in copies) / shots[-1] ** 2)
            lost.append(shares[0] - shares[1])
            weights.append(shots[0] * shots[1] / sum(shots))
            variances.append(math.fsum(errors))
        total = math.fsum(weights) or 1.0
        mean = math.fsum(w * each for w, each in zip(weights, lost, strict=True)) / total
        return mean, math.sqrt(math.fsum((w / total) ** 2 * each for w, each in zip(weights, variances, strict=True)))

    def _exponential(
        self, constant: float, statistics: Sequence[GroupStatistics], decays: Sequence[float]
    ) -> Estimate | None:
        """Extrapolate mixed + a exp(−b scale) to no noise: with enough noise a state is the mixed one.

        `decays` are the values at the factors above the mixed one; their ln|·| lie on a line. If their signs differ, no
        exponential fits: None. Variances are to first order.
        """
        if not (all(decay > 0 for decay in decays) or all(decay < 0 for decay in decays)):
            return None
        pairs = zip(self.zne.weights, decays, strict=True)
        size = math.exp(math.fsum(weight * math.log(abs(decay)) for weight, decay in pairs))
        value = math.copysign(size, decays[0])
        scaled = [
            _scale_statistics(group, value / decays[place])
            for group, place in zip(statistics, self.place_of, strict=False)
        ]
        every = [*scaled, *statistics[len(scaled) :]]
        return replace(self.evaluation.combine_groups(constant, every), value=self.mixed + value)


def is_too_noisy(estimate: Estimate) -> bool:
    """Return whether less than `MIN_SIGNAL` is left at the first scale factor, so that no error can be given."""
    return estimate.extrapolation is not None and estimate.extrapolation.signal < MIN_SIGNAL


def extrapolation_doubts(estimate: Estimate, precision: float, unit: str) -> Iterator[Doubt]:
    """Yield reasons to doubt an extrapolated value: too much noise, none seen, or models that differ too much.

    `precision` is the requested standard error, in the observable's `unit`: hartree, or empty.
    """
    found = estimate.extrapolation
    if found is None:
        return
    (difference, error), size = found.amplified, partial(amount_text, unit=unit)
    lost, lost_error = found.lost
    if abs(difference) <= SIGMAS * error and lost <= SIGMAS * lost_error and not estimate.is_exact:
        yield Doubt(
            "no noise seen",
            f"repeated gates changed the energy by {size(difference)} ± {size(error)}, and no more outcomes show an "
            "error. Either the noise is too small to be seen with these shots, or the repeated gates were removed "
            "before they ran: the extrapolation has shown nothing. Ask for a smaller precision, or leave zne out.",
        )
    elif is_too_noisy(estimate):
        raw, raw_error = found.raw
        yield Doubt(
            "too noisy to extrapolate",
            f"the noise of the circuit leaves {found.signal:.0%} of the energy's part that "
            f"decays with noise, and at least {MIN_SIGNAL:.0%} are needed. Without "
            f"extrapolation the value is {raw:.6g} ± {raw_error:.2g}. Choose a shorter circuit, or another target.",
        )
    elif (
        width := Z95 * estimate.sampled_error + estimate.unseen_bound + estimate.systematic_error
    ) > MAX_WIDTH * precision:
        yield Doubt(
            "uncertain extrapolation",
            f"the two models differ by {size(found.spread / BEYOND)}, and ± {size(width)} is more than "
            f"{MAX_WIDTH:g} times the planned error. Choose a shorter circuit, another target, or a larger "
            "precision.",
        )


def _scale_statistics(statistics: GroupStatistics, factor: float) -> GroupStatistics:
    return replace(
        statistics,
        mean=factor * statistics.mean,
        squared_deviations=factor**2 * statistics.squared_deviations,
        reach=abs(factor) * statistics.reach,
        fault_deviation=abs(factor) * statistics.fault_deviation,
        rounding=statistics.rounding * factor,
        readout_derivatives=tuple(factor * derivative for derivative in statistics.readout_derivatives),
    )
