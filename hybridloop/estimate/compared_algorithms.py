"""Algorithms that a plan compares on one molecule: a variational search, and an upper bound from samples."""

from __future__ import annotations

from hybridloop.preparation.prepared import PreparedAlgorithm
from hybridloop.preparation.sqd import PreparedSqd
from hybridloop.settings import SETTINGS, AdaptSettings, RunSettings

VARIATIONAL = "vqe"
BOUND_FROM_SAMPLES = "sqd"


def has_one_energy(settings: RunSettings) -> bool:
    """Return whether the algorithm of these settings has one energy, so that it is compared; scans have many."""
    return type(settings) in (SETTINGS[VARIATIONAL], AdaptSettings, SETTINGS[BOUND_FROM_SAMPLES])


def bound_from_samples(prepared: PreparedAlgorithm) -> PreparedSqd | None:
    """Return an algorithm whose value is an upper bound from the samples of one round; None for any other."""
    return prepared if isinstance(prepared, PreparedSqd) else None
