"""hybridloop: durable hybrid quantum algorithms on Azure Quantum sessions, run as Prefect flows."""

from __future__ import annotations

__version__ = "0.1.0"
