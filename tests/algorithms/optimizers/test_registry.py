"""Registry: each optimizer follows its supported settings, refuses others, and implements Optimizer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.estimation.estimates import Estimate
from hybridloop.algorithms.optimizers.base import Optimizer
from hybridloop.algorithms.optimizers.registry import OPTIMIZERS, TERMINATION_SETTINGS, OptimizerSpec, SearchSettings
from hybridloop.errors import InputError
from hybridloop.settings import OptimizerName
from hybridloop.settings.optimizer_plugins import SCIPY_METHODS

SETTINGS = {"tolerance": 0.05, "gradient_norm": 0.3}


@pytest.fixture
def ansatz() -> Ansatz:
    return hardware_efficient(2, [0.9, -0.4, 0.5, 0.2])


def settings_of(ansatz: Ansatz, **settings: Any) -> SearchSettings:
    return SearchSettings(ansatz, is_near=False, seed=3, max_rounds=300, **settings)


def rounds_of(optimizer: Optimizer, limit: int = 300, variance: float = 1e-8) -> int:
    """Rounds until it stops, on a sum of waves with a curvature of 1 along each angle."""
    for number in itertools.count():
        points = optimizer.ask()
        if not len(points) or number == limit:
            return number
        optimizer.tell(points, [Estimate(float(-np.cos(point - 0.3).sum()), variance, 100) for point in points])
    raise AssertionError


def test_the_settings_have_the_names_of_all_optimizers() -> None:
    assert {*OPTIMIZERS, "auto"} == {*(each.value for each in OptimizerName), *SCIPY_METHODS}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("setting", TERMINATION_SETTINGS)
def test_a_termination_setting_is_followed_or_refused_by_its_name(name: str, setting: str, ansatz: Ansatz) -> None:
    spec = OPTIMIZERS[name]
    settings = settings_of(ansatz, **{setting: SETTINGS[setting]})
    if setting not in spec.honours:
        with pytest.raises(InputError, match=name) as caught:
            spec.create(name, settings)
        assert caught.value.field == setting
        return
    with_it, without = rounds_of(spec.create(name, settings)), rounds_of(spec.create(name, settings_of(ansatz)))
    if name == "scipy:nelder-mead":
        assert with_it >= without  # its energies have to agree besides
    else:
        assert with_it <= without


@pytest.mark.parametrize("name", ["trust-region", "rotosolve", "scipy:l-bfgs-b"])
def test_a_larger_tolerance_ends_the_search_sooner(name: str, ansatz: Ansatz) -> None:
    setting = "gradient_norm" if name == "scipy:l-bfgs-b" else "tolerance"
    optimizers = (OPTIMIZERS[name].create(name, settings_of(ansatz, **{setting: each})) for each in (0.5, 1e-6))
    lax, strict = (rounds_of(optimizer, limit=30, variance=1e-5) for optimizer in optimizers)
    assert lax < strict


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_limit_of_rounds_is_not_enforced_by_the_optimizer(name: str, ansatz: Ansatz) -> None:
    settings = SearchSettings(ansatz, is_near=True, seed=3, max_rounds=1)
    optimizer = OPTIMIZERS[name].create(name, settings)
    assert rounds_of(optimizer, limit=1) == 1
    assert optimizer.stop is None or optimizer.stop.converged


def test_an_incomplete_optimizer_is_refused_with_its_missing_members(ansatz: Ansatz) -> None:
    class Half:
        def ask(self) -> None: ...

    make: Callable[[SearchSettings], Any] = lambda _: Half()  # noqa: E731  # typed as a spec's
    with pytest.raises(InputError, match=r"a Half without can_skip, tell, best, stop"):
        OptimizerSpec(make).create("half", settings_of(ansatz))
