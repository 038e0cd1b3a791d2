"""Prefect flow of scans."""

from __future__ import annotations

from hybridloop.descriptions.scan import SCAN
from hybridloop.flows.lifecycle.run import algorithm_flow

scan = algorithm_flow(SCAN)
