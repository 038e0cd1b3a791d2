"""Warnings of a sweep's points about their targets, each once: a point's own log is that of another process."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from hybridloop.azure.offered import find_offered_target
from hybridloop.errors import HybridloopError
from hybridloop.flows.sweep_execution.spec import Point
from hybridloop.settings.session_options import start_warnings
from hybridloop.targets import Target
from hybridloop.targets.provider_options import target_with_options


def target_warnings(points: Iterable[Point], workspace: Any) -> list[str]:
    """Return what runs of these points warn of at their start; the workspace is asked once for each unknown target.

    A target that is not found has no warning: its points end with that error.
    """
    targets: dict[str, Target | None] = {}
    warnings: dict[str, None] = {}
    for settings in (point.settings for point in points):
        if settings.target not in targets:
            targets[settings.target] = None
            with suppress(HybridloopError):
                targets[settings.target] = find_offered_target(settings.target, workspace)
        if (target := targets[settings.target]) is not None:
            target = target_with_options(target, settings.options)
            warnings |= dict.fromkeys(start_warnings(target, settings.caps))
    return list(warnings)
