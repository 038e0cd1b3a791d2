"""Error mitigation of a run: the methods, their calibration jobs, and the parts of the run they apply to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hybridloop.algorithms.estimation.estimates import Estimate, Evaluation
from hybridloop.algorithms.estimation.sampling import PlannedShots, Sampling
from hybridloop.algorithms.estimation.symmetry import Symmetry, mean_of_kept
from hybridloop.algorithms.mitigation.folding import TWIRLS, factors_in_order, fold
from hybridloop.algorithms.mitigation.readout import (
    CALIBRATION_JOBS,
    ReadoutErrors,
    calibrate_beside,
    measure_readout_errors,
    mitigate_readout,
)
from hybridloop.algorithms.mitigation.zne import ZeroNoiseExtrapolation, extrapolate_to_zero_noise
from hybridloop.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Mitigation:
    """The error mitigation of a run; by default none.

    Readout errors are measured before a search, in a round of two circuits with `readout_shots` each (0: not at all),
    and again beside the circuits of the final measurement. Readout mitigation and `symmetries` apply to both. `zne`,
    zero-noise extrapolation, applies to the final measurement only: under noise the energy of a lengthened circuit has
    frequencies that the optimizer does not expect, and its shots are expensive. Its circuits are twirled; with `twirl`
    those of the final measurement are without it, too.
    """

    readout_shots: int = 0
    symmetries: tuple[Symmetry, ...] = ()
    zne: ZeroNoiseExtrapolation | None = None
    twirl: bool = False

    def __post_init__(self) -> None:
        if self.readout_shots < 0:
            raise InvalidValue("readout_shots", f"must be at least 0, got {self.readout_shots}")

    @property
    def has_copies(self) -> bool:
        """True if the final measurement is of folded or twirled copies of the circuits."""
        return self.zne is not None or self.twirl

    @property
    def calibration_circuits(self) -> int:
        """The number of calibration jobs, which take one round before a search."""
        return CALIBRATION_JOBS if self.readout_shots else 0

    def search_evaluation(self, evaluation: Evaluation) -> Evaluation:
        """Return the search's evaluation, mitigated; for readout mitigation it first measures the readout errors.

        All points share what is unknown of these: it is no scatter between them.
        """
        if not self.readout_shots:
            return self.at_errors(evaluation, None)
        errors = measure_readout_errors(evaluation.observable.num_qubits, evaluation.run_round, self.readout_shots)
        return self.at_errors(evaluation, replace(errors, shots=None))

    def at_errors(self, evaluation: Evaluation, errors: ReadoutErrors | None) -> Evaluation:
        """Return an evaluation without gate noise's mitigation, at readout errors that are known (None: without)."""
        if errors is None and not self.symmetries:
            return evaluation
        return mitigate_readout(evaluation, errors=errors, symmetries=self.symmetries)

    def final_evaluation(self, evaluation: Evaluation) -> Evaluation:
        """Return the evaluation of the final measurement, which measures the readout errors beside its groups."""
        bare = evaluation.observable
        if self.readout_shots and bare.groups:
            evaluation = calibrate_beside(evaluation, self.symmetries)
        else:
            evaluation = self.at_errors(evaluation, None)
        if self.zne is None:
            return fold(evaluation, (1,), (1.0,)) if self.twirl else evaluation
        kept = [mean_of_kept(group, self.symmetries, bare.num_qubits) for group in bare.groups]
        return extrapolate_to_zero_noise(evaluation, self.zne, bare.constant + math.fsum(kept))

    def planned_shots(self, sampling: Sampling, known: Sequence[Sequence[Estimate]], groups: int) -> PlannedShots:
        """Return the shots of the final measurement's circuits: the fewest by what is known, lists of estimates.

        Those of each scale factor are the bare circuits', times the squared weight of the extrapolation; together the
        copies of a group have the pilot of one circuit. Each calibration circuit has as many as the largest of these.
        """
        by_factor = (1.0,) if self.zne is None else self.zne.weights
        copies = [by_factor[place] / TWIRLS for place in factors_in_order(len(by_factor))]
        weights = copies if self.has_copies else [1.0]
        plans = [
            sampling.planned(
                [
                    replace(each, shot_variances=tuple(w**2 * v for w in weights for v in each.shot_variances))
                    for each in estimates
                ],
                groups * len(weights),
                copies=len(weights),
            )
            for estimates in known
            if estimates
        ]
        none = sampling.planned((), groups * len(weights), copies=len(weights))
        pilot, whole = min(plans, key=lambda shots: sum(shots.pilot), default=none)
        further = CALIBRATION_JOBS if self.readout_shots and groups else 0
        return PlannedShots(*(each + [max(each, default=0)] * further for each in (pilot, whole)))


UNMITIGATED = Mitigation()
