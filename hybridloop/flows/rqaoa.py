"""Prefect flow of recursive QAOA."""

from __future__ import annotations

from hybridloop.descriptions.rqaoa import RQAOA
from hybridloop.flows.lifecycle.run import algorithm_flow

rqaoa = algorithm_flow(RQAOA)
