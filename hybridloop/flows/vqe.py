"""Prefect flow of VQE."""

from __future__ import annotations

from hybridloop.descriptions.vqe import VQE
from hybridloop.flows.lifecycle.run import algorithm_flow

vqe = algorithm_flow(VQE)
