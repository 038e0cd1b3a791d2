"""How each algorithm's run is prepared, under the name that its runs have in the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hybridloop.flows.binary import prepare_qaoa, prepare_rqaoa
from hybridloop.flows.growing import prepare_adapt
from hybridloop.flows.levels import prepare_vqd
from hybridloop.flows.problems import Prepared, prepare_vqe
from hybridloop.flows.scanning import prepare_scan
from hybridloop.flows.settings import ProblemText

# settings are those of the algorithm: `settings.SETTINGS` under the same name
PREPARE: Mapping[str, Callable[[ProblemText, Any, int], Prepared]] = {
    "vqe": prepare_vqe,
    "adapt": prepare_adapt,
    "vqd": prepare_vqd,
    "scan": prepare_scan,
    "qaoa": prepare_qaoa,
    "rqaoa": prepare_rqaoa,
}
