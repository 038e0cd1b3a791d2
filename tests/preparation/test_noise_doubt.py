"""The doubt about a noisy target names a remedy that the run's settings take."""

from __future__ import annotations

import pytest

from hybridloop.descriptions import ALGORITHMS
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.preparation.checks import doubt_of_noise
from hybridloop.targets import find_target

NOISY = find_target("quantinuum.sim.h2-1e")


@pytest.mark.parametrize(
    ("algorithm", "is_remedy"), [("vqe", True), ("scan", True), ("adapt", False), ("levels", False)]
)
def test_mitigation_is_advised_where_the_algorithm_takes_it(algorithm: str, is_remedy: bool) -> None:  # noqa: FBT001
    doubt = doubt_of_noise(NOISY, ALGORITHMS[algorithm].settings())
    assert doubt is not None
    assert ("--mitigation" in doubt.explanation) == is_remedy


def test_noise_that_is_corrected_and_a_target_without_noise_leave_no_doubt() -> None:
    corrected = VqeSettings(mitigation="readout,zne-linear")
    assert doubt_of_noise(NOISY, corrected) is None
    assert doubt_of_noise(NOISY, ALGORITHMS["qaoa"].settings()) is None
    assert doubt_of_noise(find_target("rigetti.sim.qvm"), ALGORITHMS["vqe"].settings()) is None
