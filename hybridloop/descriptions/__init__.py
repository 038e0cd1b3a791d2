"""The algorithms, each described in one module, and the table of all."""

from __future__ import annotations

from hybridloop.descriptions.description import Description, Subject, Value, load
from hybridloop.descriptions.table import ALGORITHMS

__all__ = ["ALGORITHMS", "Description", "Subject", "Value", "load"]
