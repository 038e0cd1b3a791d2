"""From a problem as it travels to what algorithms work on; what can't be used is refused here, before a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hybridloop.algorithms.allocation import Allocation
from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.choice import choose
from hybridloop.algorithms.doubts import strongly_correlated
from hybridloop.algorithms.electronic import ElectronicProblem
from hybridloop.algorithms.grouping import Grouped, choose_grouping, grouped
from hybridloop.algorithms.lost import FAIL, LostPoints, Penalize, Skip, check_lost_points
from hybridloop.algorithms.measurement import Grouping
from hybridloop.algorithms.mitigation.folding import Extrapolation, Folding
from hybridloop.algorithms.mitigation.plan import Mitigation
from hybridloop.algorithms.mitigation.reading import Symmetry, symmetries_of
from hybridloop.algorithms.mitigation.readout import CALIBRATION_SHOTS
from hybridloop.algorithms.optimizer import Optimizer
from hybridloop.algorithms.outcome import Outcome, Progress
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.searches import Outset
from hybridloop.algorithms.sector import check_sector
from hybridloop.algorithms.vqe import vqe
from hybridloop.errors import InputError
from hybridloop.flows.optimizers import find_search
from hybridloop.flows.settings import (
    AnsatzName,
    GroupingName,
    MitigationName,
    OptimizerName,
    ProblemText,
    VqeSettings,
)
from hybridloop.flows.starting import Start, started
from hybridloop.flows.subjects import OfSubject, Subject, subject_of
from hybridloop.sessions.policy import FailurePolicy, OnLostJob


class Prepared(Protocol):
    """All that a run needs but a session: what there is to hold its value against, and the algorithm itself."""

    @property
    def unit(self) -> str:
        """What values are in; empty for a number of its own."""
        ...

    @property
    def num_qubits(self) -> int:
        """Qubits of the widest circuit."""
        ...

    @property
    def exact(self) -> float | None:
        """What a perfect run would give, where that is known."""
        ...

    @property
    def reference(self) -> float:
        """What is had without any run."""
        ...

    @property
    def sense(self) -> int:
        """Whether a round's value is better the lower (-1) or the higher (1); 0: rounds are of different things."""
        ...

    def measured(self, run_round: RunRound, on_progress: Callable[[Progress], None], /) -> Outcome:
        """Run the algorithm, once."""
        ...


@dataclass(frozen=True, slots=True)
class PreparedVqe(OfSubject):
    """All that a VQE needs but a session."""

    start: Start
    optimizer: Optimizer
    on_lost: LostPoints
    settings: VqeSettings
    mitigation: Mitigation
    energy: Grouped

    @property
    def ansatz(self) -> Ansatz:
        """The circuit, with its initial point."""
        return self.start.ansatz

    def measured(self, run_round: RunRound, on_progress: Callable[[Progress], None], /) -> Outcome:
        """Find the energy; the optimizer serves once."""
        electronic = self.problem if isinstance(self.problem, ElectronicProblem) else None
        found = vqe(
            self.energy.observable,
            self.ansatz,
            self.optimizer,
            run_round,
            shots=self.settings.shots,
            precision=self.settings.precision,
            max_rounds=self.settings.max_rounds,
            on_lost=self.on_lost,
            allocation=Allocation(self.settings.allocation),
            mitigation=self.mitigation,
            on_progress=on_progress,
        )
        point = np.array(found.parameters)
        checked = None if electronic is None else check_sector(electronic, self.ansatz, point, run_round)
        warnings = [] if checked is None or checked.warning is None else [checked.warning]
        if electronic is not None and self.settings.ansatz == AnsatzName.UCCSD:
            beyond = strongly_correlated(electronic.molecule, point)
            warnings += [] if beyond is None else [beyond]
        return replace(
            found,
            converged=found.converged and not warnings,
            reason="; ".join([*(each.split(":")[0] for each in warnings), found.reason]),
            rounds=found.rounds + (checked is not None),
            warnings=tuple(warnings),
            choices=tuple(self._choices()),
        )

    def _choices(self) -> Iterator[str]:
        """What was not asked for by name, and why it is what it is."""
        if self.start.why is not None:
            yield f"start: {self.start.why}"
        if self.settings.optimizer == OptimizerName.AUTO:
            choice = choose(self.ansatz)
            yield f"search: {choice.name}, as {choice.why}"
        if self.settings.grouping is GroupingName.AUTO:
            yield f"groups: {self.energy.grouping}, as {self.energy.why}"


def prepare_vqe(problem: ProblemText, settings: VqeSettings, seed: int) -> PreparedVqe:
    """Read the problem and build the rest. Raises InputError for what can't be used; sends nothing."""
    subject = subject_of(problem, settings)
    start = started(subject, settings, seed)
    optimizer, on_lost = _optimizer(settings, start.ansatz, seed), lost_points(settings.failure)
    check_lost_points(on_lost, optimizer)
    mitigation, energy = _mitigation(settings, subject), _grouped(settings, subject, start.ansatz)
    return PreparedVqe(subject, start, optimizer, on_lost, settings, mitigation, energy)


def restarted(prepared: PreparedVqe, start: Start, seed: int) -> PreparedVqe:
    """The same from another start."""
    return replace(prepared, start=start, optimizer=_optimizer(prepared.settings, start.ansatz, seed))


def _grouped(settings: VqeSettings, problem: Subject, ansatz: Ansatz) -> Grouped:
    hamiltonian = problem.hamiltonian
    reference = problem.reference_state if isinstance(problem, ElectronicProblem) else None
    if settings.grouping is GroupingName.AUTO:
        return choose_grouping(hamiltonian, ansatz, reference, shots=settings.shots, precision=settings.precision)
    asked = Grouping(settings.grouping)
    return Grouped(grouped(hamiltonian, asked, reference), asked, "the settings name them")


def _mitigation(settings: VqeSettings, problem: Subject) -> Mitigation:
    chosen = settings.mitigation or ()
    symmetries: tuple[Symmetry, ...] = ()
    if MitigationName.SYMMETRY in chosen:
        if not isinstance(problem, ElectronicProblem):
            raise InputError("mitigation", "a Pauli sum has no electrons to select by", "Leave symmetry out.")
        symmetries = symmetries_of(problem)
    if MitigationName.SYMMETRY in chosen and not symmetries:
        what = f"under {settings.mapping.value} no qubits hold a spin's parity of electrons"
        raise InputError("mitigation", what, "Leave symmetry out, or choose jordan-wigner.")
    folding = None
    if MitigationName.ZNE_LINEAR in chosen:
        folding = Folding(Extrapolation.LINEAR)
    if MitigationName.ZNE_EXPONENTIAL in chosen:
        folding = Folding(Extrapolation.EXPONENTIAL)
    return Mitigation(CALIBRATION_SHOTS if MitigationName.READOUT in chosen else 0, symmetries, folding)


def _optimizer(settings: VqeSettings, ansatz: Ansatz, seed: int) -> Optimizer:
    name = choose(ansatz).name if settings.optimizer is OptimizerName.AUTO else str(settings.optimizer)
    outset = Outset(
        ansatz,
        is_near=ansatz.starts_near,
        seed=seed,
        max_rounds=settings.max_rounds,
        tolerance=settings.tolerance,
        patience=settings.patience,
        gradient_norm=settings.gradient_norm,
    )
    return find_search(name).begun(name, outset)


def lost_points(policy: FailurePolicy) -> LostPoints:
    """What a search is told of lost points, as the policy has it."""
    match policy.on_lost_job:
        case OnLostJob.FAIL:
            return FAIL
        case OnLostJob.SKIP:
            return Skip()
        case OnLostJob.PENALIZE:
            assert policy.penalty is not None  # the model holds it
            return Penalize(policy.penalty)
