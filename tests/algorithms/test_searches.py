"""Searches by name: each goes by the settings that it says, refuses the others, and is an optimizer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hybridloop.algorithms.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.estimation import Estimate
from hybridloop.algorithms.optimizer import AsksOverlaps, Optimizer
from hybridloop.algorithms.searches import ENDINGS, SEARCHES, Outset, Search
from hybridloop.errors import InputError
from hybridloop.flows.settings import OptimizerName

SETTINGS = {"tolerance": 0.05, "patience": 4, "gradient_norm": 0.3}


@pytest.fixture
def ansatz() -> Ansatz:
    return hardware_efficient(2, [0.9, -0.4, 0.5, 0.2])


def outset(ansatz: Ansatz, **settings: Any) -> Outset:
    return Outset(ansatz, is_near=False, seed=3, max_rounds=300, **settings)


def rounds_of(optimizer: Optimizer, most: int = 300, variance: float = 1e-8) -> int:
    """Rounds until it stops, on a product of waves with a curvature of 1 along each angle."""
    for number in itertools.count():
        points = optimizer.ask()
        if not len(points) or number == most:
            return number
        if isinstance(optimizer, AsksOverlaps):
            pairs = optimizer.ask_overlaps()
            shares = (np.cos((pairs[:, 0] - pairs[:, 1]) / 2) ** 2).prod(axis=1)
            optimizer.tell_overlaps(pairs, [Estimate(float(each), 0.0, 100) for each in shares])
        optimizer.tell(points, [Estimate(float(-np.cos(each - 0.3).sum()), variance, 100) for each in points])
    raise AssertionError


def test_the_names_are_those_of_the_settings() -> None:
    assert {*SEARCHES, "auto"} == {each.value for each in OptimizerName}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("setting", ENDINGS)
def test_a_setting_is_gone_by_or_refused_with_its_name(name: str, setting: str, ansatz: Ansatz) -> None:
    search = SEARCHES[name]
    given = outset(ansatz, **{setting: SETTINGS[setting]})
    if setting not in search.honours:
        with pytest.raises(InputError, match=name) as caught:
            search.begun(name, given)
        assert caught.value.field == setting
        return
    with_it, without = rounds_of(search.begun(name, given)), rounds_of(search.begun(name, outset(ansatz)))
    if setting == "patience":
        assert with_it > without
    elif name == "nelder-mead":
        assert with_it >= without  # its energies have to agree besides
    else:
        assert with_it <= without


@pytest.mark.parametrize("name", ["pairs", "gradient", "spsa", "qn-spsa", "rotosolve", "l-bfgs-b"])
def test_a_laxer_end_comes_sooner(name: str, ansatz: Ansatz) -> None:
    setting = "gradient_norm" if name == "l-bfgs-b" else "tolerance"
    begun = (SEARCHES[name].begun(name, outset(ansatz, **{setting: each})) for each in (0.5, 1e-6))
    lax, strict = (rounds_of(each, most=30, variance=1e-5) for each in begun)
    assert lax < strict


@pytest.mark.parametrize("name", SEARCHES)
def test_an_end_by_the_limit_of_rounds_comes_from_outside(name: str, ansatz: Ansatz) -> None:
    given = Outset(ansatz, is_near=True, seed=3, max_rounds=1)
    optimizer = SEARCHES[name].begun(name, given)
    assert rounds_of(optimizer, most=1) == 1
    assert optimizer.stop is None or optimizer.stop.converged


def test_what_is_no_optimizer_is_refused_with_what_it_lacks(ansatz: Ansatz) -> None:
    class Half:
        def ask(self) -> None: ...

    make: Callable[[Outset], Any] = lambda _: Half()  # noqa: E731  # typed as a search's
    with pytest.raises(InputError, match=r"a Half, has no can_skip, tell, current, best, stop, state"):
        Search(make).begun("half", outset(ansatz))
