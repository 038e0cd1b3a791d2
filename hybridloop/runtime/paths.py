"""Paths of hybridloop's state folder and of the user's settings file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the state folder: HYBRIDLOOP_HOME, else the platform's folder for user data."""
    if folder := environ.get("HYBRIDLOOP_HOME"):
        return Path(folder).expanduser().resolve()
    return platformdirs.user_data_path("hybridloop", appauthor=False)


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, accessible to their owner only. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the user's settings file: in HYBRIDLOOP_HOME if that is set, else in the platform's settings folder."""
    if environ.get("HYBRIDLOOP_HOME"):
        return home(environ) / "config.yaml"
    return platformdirs.user_config_path("hybridloop", appauthor=False) / "config.yaml"
