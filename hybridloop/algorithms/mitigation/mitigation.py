"""Error mitigation of a run: the methods, their calibration jobs, and the parts of the run they apply to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hybridloop.algorithms.estimation.estimates import Estimate, Evaluation
from hybridloop.algorithms.estimation.symmetry import Symmetry
from hybridloop.algorithms.mitigation.readout import (
    CALIBRATION_JOBS,
    CalibratedEvaluation,
    measure_readout_errors,
    mitigate_readout,
)
from hybridloop.algorithms.mitigation.zne import TWIRLS, ZeroNoiseExtrapolation, extrapolate_to_zero_noise
from hybridloop.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Mitigation:
    """The error mitigation of a run; by default none.

    Readout errors are measured before the search, in a round of two circuits with `readout_shots` each (0: not at all).
    Readout mitigation and `symmetries` apply to the search and the final measurement. `zne`, zero-noise extrapolation,
    applies to the final measurement only: under noise the energy of a lengthened circuit has frequencies that the
    optimizer does not expect, and its shots are expensive. Its rounds measure the readout errors again, and run their
    circuits in random order.
    """

    readout_shots: int = 0
    symmetries: tuple[Symmetry, ...] = ()
    zne: ZeroNoiseExtrapolation | None = None

    def __post_init__(self) -> None:
        if self.readout_shots < 0:
            raise InvalidValue("readout_shots", f"must be at least 0, got {self.readout_shots}")

    @property
    def calibration_circuits(self) -> int:
        """The number of calibration jobs, which take one round before the search."""
        return CALIBRATION_JOBS if self.readout_shots else 0

    def search_evaluation(self, evaluation: Evaluation) -> Evaluation:
        """Return the search's evaluation, mitigated; for readout mitigation it first measures the readout errors."""
        if not self.readout_shots and not self.symmetries:
            return evaluation
        errors = None
        if self.readout_shots:
            num_qubits = evaluation.observable.num_qubits
            errors = measure_readout_errors(num_qubits, evaluation.run_round, shots=self.readout_shots)
        return mitigate_readout(evaluation, errors=errors, symmetries=self.symmetries)

    def final_evaluation(self, searched: Evaluation) -> Evaluation:
        """Return the evaluation of the final measurement: the search's, with zero-noise extrapolation if chosen."""
        if isinstance(searched, CalibratedEvaluation) and searched.calibration is not None:
            qubits = searched.observable.num_qubits
            run_round = searched.calibration.interleaved(searched.run_round, qubits, self.readout_shots)
            searched = replace(searched, run_round=run_round)
        return searched if self.zne is None else extrapolate_to_zero_noise(searched, self.zne)

    def expected_final_estimates(self, estimates: Sequence[Estimate]) -> list[Estimate]:
        """Return the search's estimates with the expected one-shot variances of the final measurement's circuits.

        For each scale factor they are those of the bare circuit, times the squared weight of the extrapolation.
        """
        if self.zne is None:
            return list(estimates)
        twirls = TWIRLS
        squares = [(weight / twirls) ** 2 for weight in self.zne.weights for _ in range(twirls)]
        return [
            replace(estimate, shot_variances=tuple(square * v for square in squares for v in estimate.shot_variances))
            for estimate in estimates
        ]


UNMITIGATED = Mitigation()
