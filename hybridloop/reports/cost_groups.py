"""Columns to sum the costs of runs by; imports nothing heavy, for the command line's help."""

from __future__ import annotations

import enum


class CostGroup(enum.StrEnum):
    """A column to sum costs by."""

    RUN = "run"
    TARGET = "target"
    ALGORITHM = "algorithm"
    PROBLEM = "problem"
    TAG = "tag"
    DEPLOYMENT = "deployment"
    DAY = "day"
    MONTH = "month"
