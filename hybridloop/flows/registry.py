"""The flow of each algorithm, under the name that its runs have in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridloop.flows.adapt import adapt
from hybridloop.flows.qaoa import qaoa, rqaoa
from hybridloop.flows.scan import scan
from hybridloop.flows.vqd import vqd
from hybridloop.flows.vqe import vqe

FLOWS: Mapping[str, Any] = {"vqe": vqe, "adapt": adapt, "vqd": vqd, "scan": scan, "qaoa": qaoa, "rqaoa": rqaoa}
