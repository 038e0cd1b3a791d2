"""Optimizer of a search: as the settings name it, or chosen for the ansatz, with its termination and lost points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.optimizers.base import Optimizer, RefinableOptimizer
from hybridloop.algorithms.optimizers.missing_points import FAIL, MissingPointPolicy, Penalize, Skip
from hybridloop.algorithms.optimizers.names import DEFAULT_TOLERANCE
from hybridloop.algorithms.optimizers.registry import SearchSettings, choose_optimizer
from hybridloop.algorithms.search import Search
from hybridloop.data.objects import OBJECT
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import NOTHING_SUBMITTED, InputError
from hybridloop.preparation.prepared import Accuracy
from hybridloop.settings import AutoResume, EnergySettings, OptimizerName, RunSettings, StartName
from hybridloop.settings.failure_policy import FailurePolicy, OnLostJob
from hybridloop.settings.optimizer_plugins import find_optimizer


@dataclass(frozen=True, slots=True, eq=False)
class SearchChoice:
    """A search that has not begun: the name of its optimizer and what that is made with; an optimizer serves one run.

    `tolerance` is that of the run's accuracy, for optimizers that support one. One that can be refined begins with the
    `first` tolerances of a run that is extended, in order.
    """

    name: OptimizerName | str
    settings: SearchSettings
    tolerance: float | None
    on_lost: MissingPointPolicy
    first: tuple[float, ...] = ()

    def make_optimizer(self) -> Optimizer:
        """Return a new optimizer. Raises InputError for settings that it does not support."""
        is_open = self.name is OptimizerName.AUTO
        name = choose_optimizer(self.settings.ansatz).name if is_open else str(self.name)
        spec, settings = find_optimizer(name), self.settings
        if "tolerance" in spec.honours:
            settings = replace(settings, tolerance=self.tolerance)
        optimizer = spec.create(name, settings)
        if self.first and isinstance(optimizer, RefinableOptimizer):
            return spec.create(name, replace(settings, tolerance=self.first[0]))
        return optimizer

    def make(self) -> Search:
        """Return a new search. Raises InputError where the optimizer can't do without lost points."""
        then = () if self.tolerance is None else (*self.first[1:], self.tolerance)
        return Search(self.make_optimizer(), self.settings.max_rounds, self.on_lost, then if self.first else ())

    def started_at(self, ansatz: Ansatz) -> SearchChoice:
        """Return the same search from the ansatz's initial point."""
        return replace(self, settings=replace(self.settings, ansatz=ansatz, is_near=ansatz.starts_near))


def choose_search(
    ansatz: Ansatz,
    settings: VqeSettings,
    seed: int,
    accuracy: Accuracy,
    least_shots: int,
    first: Sequence[float | None] = (),
    *,
    has_noise: bool,
) -> tuple[SearchChoice, str | None]:
    """Choose the optimizer; the second value is the reason for one that the settings left open, if it may be used.

    A round of a point takes `least_shots` or more, over all circuits. `first` are the tolerances to which a run that
    is extended has searched before. On a target that `has_noise` simulated angles are
    not searched for again. Raises InputError for settings that the optimizer does not support.
    """
    check_workers_can_import(settings.optimizer, settings)
    search = SearchSettings(
        ansatz,
        is_near=ansatz.starts_near or not isinstance(settings.initial_point, StartName),
        seed=seed,
        max_rounds=settings.max_rounds,
        tolerance=settings.tolerance,
        shots=settings.shots,
        gradient_norm=settings.gradient_norm,
    )
    search = replace(search, least_shots=max(search.least_shots, least_shots))
    on_lost = missing_point_policy(settings.failure)
    choice = SearchChoice(settings.optimizer, search, accuracy.tolerance, on_lost, smaller(first, accuracy.tolerance))
    choice.make()
    if settings.optimizer != OptimizerName.AUTO or (has_noise and ansatz.model):
        return choice, None
    named = choose_optimizer(ansatz)
    only = "" if ansatz.model is None else "if the measured energy is above the simulated one, "
    return choice, f"{only}{named.name}, as {named.reason}"


def check_workers_can_import(optimizer: str, settings: RunSettings) -> None:
    """Raise InputError for an optimizer that is an object, where workers are to resume the run."""
    if optimizer.startswith(OBJECT) and settings.resume_automatically not in (None, AutoResume.NEVER):
        reason = f"the optimizer {optimizer.removeprefix(OBJECT)} is an object: workers cannot import it"
        raise InputError("resume_automatically", reason, "Leave it out, or register the optimizer as an entry point.")


def smaller(first: Sequence[float | None], now: float | None) -> tuple[float, ...]:
    """Return the different tolerances before the one of now; None stands for the optimizer's own.

    Raises InputError unless each is smaller than the one before.
    """
    sizes = [DEFAULT_TOLERANCE if each is None else each for each in (*first, now)]
    different = [size for place, size in enumerate(sizes) if not place or size != sizes[place - 1]]
    if len(different) > 1 and different[-1] > different[-2]:
        problem = f"the run has searched to {different[-2]:g}, and {different[-1]:g} does not reach further"
        raise InputError("tolerance", problem, "Give a smaller one, or start a new run.", NOTHING_SUBMITTED)
    return tuple(different[:-1])


def search_near(settings: EnergySettings, least_shots: int, ansatz: Ansatz) -> Search:
    """Return the search that is chosen for an ansatz which starts near its minimum."""
    search = SearchSettings(
        ansatz, is_near=True, seed=0, max_rounds=settings.max_rounds, shots=settings.shots, least_shots=least_shots
    )
    return SearchChoice(OptimizerName.AUTO, search, None, missing_point_policy(settings.failure)).make()


def missing_point_policy(policy: FailurePolicy) -> MissingPointPolicy:
    """Return the optimizer's treatment of points without a result under a failure policy."""
    match policy.on_lost_job:
        case OnLostJob.FAIL:
            return FAIL
        case OnLostJob.SKIP:
            return Skip()
        case OnLostJob.PENALIZE:
            assert policy.penalty is not None  # checked by the model
            return Penalize(policy.penalty)
