"""Provenance of a run: versions of packages, the code's revision and the date of the price table.

They may change a run's result or bill as its settings do, so each run records them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from hybridloop.data import load_table
from hybridloop.runtime.waits import GIT_S

PACKAGES = ("hybridloop", "azure-quantum", "qdk", "qiskit", "numpy", "scipy")
CHOICES = "choices"  # key beside the packages: version of the choices that settings leave open
CHOICES_VERSION = "1"  # the choices of start, groups, optimizer and batches; another version can't resume the run
ARITHMETIC = "linear algebra"  # key beside the packages: the library for it, and its kernels for this processor
REVISION, PRICES = "revision", "prices"  # keys beside the packages; the revision only if the code is a checkout
_PACKAGE = Path(__file__).parents[1]


def versions() -> dict[str, str]:
    """Return the versions of Python, the packages, the price table and the code, by name."""
    import platform
    from importlib.metadata import version

    facts = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    facts |= {PRICES: load_table("prices")["dated"], CHOICES: CHOICES_VERSION, ARITHMETIC: arithmetic()}
    revision = code_revision()
    return facts if revision is None else facts | {REVISION: revision}


@cache
def arithmetic() -> str:
    """Return the library of NumPy's linear algebra with the kernels that it has chosen for this processor."""
    import numpy as np
    from threadpoolctl import threadpool_info

    found = [each for each in threadpool_info() if each["user_api"] == "blas"]
    own = [each for each in found if Path(np.__file__).parent.name in each["filepath"]] or found
    names = {f"{each['internal_api']} {each.get('architecture') or ''}".strip() for each in own}
    return ", ".join(sorted(names)) or "unknown"


def has_same_arithmetic(recorded: Mapping[str, str]) -> bool:
    """Return True if results have the recorded last digits: processor, NumPy and SciPy are the same."""
    return not changed_versions(recorded, versions()).keys() & {ARITHMETIC, "numpy", "scipy"}


def has_same_choices(recorded: Mapping[str, str]) -> bool:
    """Return True if the recorded versions have this version's choices."""
    return recorded.get(CHOICES) == CHOICES_VERSION


def changed_versions(then: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the versions that differ, by name, as (then, now); names that only one of the two has are left out."""
    return {name: (then[name], now[name]) for name in then if name in now and then[name] != now[name]}


@cache
def code_revision() -> str | None:
    """Return the commit of the code, with `-modified` if files differ from it; None if it is no Git checkout."""
    if not (_PACKAGE.parent / ".git").exists():
        return None
    command = ["git", "-C", str(_PACKAGE.parent), "describe", "--always", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(
            [*command, "--dirty=-modified"],
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):  # there is no Git, or it refuses another user's checkout
        return None
    return result.stdout.strip() or None
