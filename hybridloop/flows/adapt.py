"""Prefect flow of ADAPT-VQE."""

from __future__ import annotations

from hybridloop.descriptions.adapt import ADAPT
from hybridloop.flows.lifecycle.run import algorithm_flow

adapt = algorithm_flow(ADAPT)
