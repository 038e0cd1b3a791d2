"""Preparation: from settings and a problem to an algorithm that lacks only a session. Nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybridloop.preparation.checks import check_request
from hybridloop.settings import ProblemText

if TYPE_CHECKING:
    from hybridloop.preparation.prepared import PreparedRun


def prepare(algorithm: str, problem: ProblemText, settings: Any, seed: int) -> PreparedRun:
    """Check a request and build its algorithm, both once for a run; `settings` are those of the algorithm.

    Raises InputError for anything that no run can use: first what can be told without a compiler.
    """
    target = check_request(algorithm, problem, settings)
    # the numerics and the compiler take a second to import
    from hybridloop.preparation.adapt import prepare_adapt
    from hybridloop.preparation.prepared import PreparedRun
    from hybridloop.preparation.qaoa import prepare_qaoa, prepare_rqaoa
    from hybridloop.preparation.scan import prepare_scan
    from hybridloop.preparation.vqd import prepare_vqd
    from hybridloop.preparation.vqe import prepare_vqe

    build: Any = {
        "vqe": prepare_vqe,
        "adapt": prepare_adapt,
        "vqd": prepare_vqd,
        "scan": prepare_scan,
        "qaoa": prepare_qaoa,
        "rqaoa": prepare_rqaoa,
    }[algorithm]
    return PreparedRun(target, seed, build(problem, settings, seed, target))
