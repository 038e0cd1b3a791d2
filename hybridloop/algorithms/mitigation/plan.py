"""Which mitigations a run takes, what they cost in jobs, and where each applies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.evaluation import Evaluation
from hybridloop.algorithms.mitigation.folding import Folding, extrapolated
from hybridloop.algorithms.mitigation.reading import Symmetry, read_with
from hybridloop.algorithms.mitigation.readout import CALIBRATION_JOBS, measure_readout_errors
from hybridloop.errors import InputError


@dataclass(frozen=True, slots=True)
class Mitigation:
    """What is done about a machine's errors; nothing, as it stands.

    Readout errors are measured in one round of its own, of two circuits with `readout_shots` each (0: not), before all
    else. They and `symmetries` serve search and answer; `folding`, the answer alone: under noise a longer circuit's
    energy has other frequencies than a search may count on, and its shots are dear.
    """

    readout_shots: int = 0
    symmetries: tuple[Symmetry, ...] = ()
    folding: Folding | None = None

    def __post_init__(self) -> None:
        if self.readout_shots < 0:
            problem = f"{self.readout_shots} shots are below 0"
            raise InputError("readout_shots", problem, "Give 1 or more for each circuit, 0 for no such correction.")

    @property
    def calibration_circuits(self) -> int:
        """Jobs before the search, in a round of their own."""
        return CALIBRATION_JOBS if self.readout_shots else 0

    def for_search(self, evaluation: Evaluation) -> Evaluation:
        """The evaluation that the search goes by; measures the readout errors where they are wanted."""
        if not self.readout_shots and not self.symmetries:
            return evaluation
        qubits, run_round = evaluation.observable.num_qubits, evaluation.run_round
        errors = measure_readout_errors(qubits, run_round, shots=self.readout_shots) if self.readout_shots else None
        return read_with(evaluation, errors=errors, symmetries=self.symmetries)

    def for_answer(self, searched: Evaluation, ansatz: Ansatz) -> Evaluation:
        """The evaluation that the answer comes from."""
        return searched if self.folding is None else extrapolated(searched, ansatz, self.folding)

    def as_answers(self, estimates: Sequence[Estimate]) -> list[Estimate]:
        """The search's estimates with the variances of one shot that the answer's circuits will have, to plan by.

        Each factor's are taken for those of the bare circuit, times its weight squared.
        """
        if self.folding is None:
            return list(estimates)
        squares = [weight**2 for weight in self.folding.weights]
        return [
            replace(each, shot_variances=tuple(square * v for square in squares for v in each.shot_variances))
            for each in estimates
        ]


UNMITIGATED = Mitigation()
