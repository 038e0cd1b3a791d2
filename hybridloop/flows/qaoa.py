"""Prefect flow of QAOA."""

from __future__ import annotations

from hybridloop.descriptions.qaoa import QAOA
from hybridloop.flows.lifecycle.run import algorithm_flow

qaoa = algorithm_flow(QAOA)
