"""Prefect flow of energy levels."""

from __future__ import annotations

from hybridloop.descriptions.levels import LEVELS
from hybridloop.flows.lifecycle.run import algorithm_flow

levels = algorithm_flow(LEVELS)
