"""Prefect flow of SQD."""

from __future__ import annotations

from hybridloop.descriptions.sqd import SQD
from hybridloop.flows.lifecycle.run import algorithm_flow

sqd = algorithm_flow(SQD)
