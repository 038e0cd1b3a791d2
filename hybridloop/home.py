"""Where hybridloop keeps its state."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of all state: HYBRIDLOOP_HOME, else the platform's folder for user data."""
    if chosen := environ.get("HYBRIDLOOP_HOME"):
        return Path(chosen).expanduser().resolve()
    return platformdirs.user_data_path("hybridloop", appauthor=False)


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's own settings: in HYBRIDLOOP_HOME where that is set, else in the platform's folder for settings."""
    if environ.get("HYBRIDLOOP_HOME"):
        return home(environ) / "config.yaml"
    return platformdirs.user_config_path("hybridloop", appauthor=False) / "config.yaml"
