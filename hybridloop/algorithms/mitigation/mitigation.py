"""Error mitigation of a run: the methods, their calibration jobs, and the parts of the run they apply to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hybridloop.algorithms.estimation.estimates import Evaluation
from hybridloop.algorithms.estimation.symmetry import Symmetry, mean_of_kept
from hybridloop.errors import InvalidValue
from hybridloop.runtime.leaves import leaf

if TYPE_CHECKING:
    from hybridloop.algorithms.mitigation import folding, readout
    from hybridloop.algorithms.mitigation import zne as extrapolating
else:
    folding = leaf("hybridloop.algorithms.mitigation.folding")
    readout = leaf("hybridloop.algorithms.mitigation.readout")
    extrapolating = leaf("hybridloop.algorithms.mitigation.zne")


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
    zne: extrapolating.ZeroNoiseExtrapolation | None = None
    twirl: bool = False

    def __post_init__(self) -> None:
        if self.readout_shots < 0:
            raise InvalidValue("readout_shots", f"must be at least 0, got {self.readout_shots}")

    @property
    def has_copies(self) -> bool:
        """True if the final measurement is of folded or twirled copies of the circuits."""
        return self.zne is not None or self.twirl

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight in the value of each copy of a group in the final measurement; 1 for its only one."""
        if not self.has_copies:
            return (1.0,)
        by_factor = (1.0,) if self.zne is None else self.zne.weights
        return tuple(by_factor[place] / folding.TWIRLS for place in folding.factors_in_order(len(by_factor)))

    @property
    def calibration_circuits(self) -> int:
        """The number of calibration circuits, which take one round before a search, and are beside the final groups."""
        return readout.CALIBRATION_JOBS if self.readout_shots else 0

    def search_evaluation(self, evaluation: Evaluation) -> Evaluation:
        """Return the search's evaluation, mitigated; for readout mitigation it first measures the readout errors.

        All points share what is unknown of these: it is no scatter between them.
        """
        if not self.readout_shots:
            return self.at_errors(evaluation, None)
        errors = readout.measure_readout_errors(
            evaluation.observable.num_qubits, evaluation.run_round, self.readout_shots
        )
        return self.at_errors(evaluation, replace(errors, shots=None))

    def at_errors(self, evaluation: Evaluation, errors: readout.ReadoutErrors | None) -> Evaluation:
        """Return an evaluation without gate noise's mitigation, at readout errors that are known (None: without)."""
        if errors is None and not self.symmetries:
            return evaluation
        return readout.mitigate_readout(evaluation, errors=errors, symmetries=self.symmetries)

    def final_evaluation(self, evaluation: Evaluation) -> Evaluation:
        """Return the evaluation of the final measurement, which measures the readout errors beside its groups."""
        bare = evaluation.observable
        if self.readout_shots and bare.groups:
            evaluation = readout.calibrate_beside(evaluation, self.symmetries)
        else:
            evaluation = self.at_errors(evaluation, None)
        if self.zne is None:
            return folding.fold(evaluation, (1,), (1.0,)) if self.twirl else evaluation
        kept = [mean_of_kept(group, self.symmetries, bare.num_qubits) for group in bare.groups]
        return extrapolating.extrapolate_to_zero_noise(evaluation, self.zne, bare.constant + math.fsum(kept))


UNMITIGATED = Mitigation()
