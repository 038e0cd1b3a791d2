"""Published error rates of targets: those of the local service, and the largest where none is published."""

from __future__ import annotations

import pytest

from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.simulation.noise import noise_models
from hybridloop.targets import find_target, known_targets
from hybridloop.targets.error_rates import error_rates
from hybridloop.targets.provider_options import target_with_options


def test_published_error_rates_are_those_of_the_local_service() -> None:
    catalogue, models = load_catalogue(), noise_models()
    noisy = [name for name, target in known_targets().items() if target.is_noisy]
    names = {name: emulated.noise for name in noisy if (emulated := catalogue.find(name)) is not None}
    known = {name: models[noise].two_qubit for name, noise in names.items() if noise is not None}
    assert {name: error_rates(find_target(name)).two_qubit for name in known} == pytest.approx(known)


def test_a_machine_without_published_errors_is_taken_to_have_the_largest_and_a_simulator_none() -> None:
    errors = {name: error_rates(target).two_qubit for name, target in known_targets().items()}
    assert errors["rigetti.qpu.cepheus-1-108q"] >= max(errors.values())
    assert 0.0 < errors["quantinuum.qpu.h2-1"] < errors["ionq.qpu.aria-1"]
    assert {error for name, error in errors.items() if not find_target(name).is_noisy} == {0.0}
    noise = {"noise": {"model": "forte-1"}}
    noisy = target_with_options(find_target("ionq.simulator"), noise)
    assert error_rates(noisy, noise).two_qubit == errors["ionq.qpu.forte-1"]
    unpublished = {"noise": {"model": "harmony"}}
    noisy = target_with_options(find_target("ionq.simulator"), unpublished)
    assert error_rates(noisy, unpublished).two_qubit == max(errors.values())
