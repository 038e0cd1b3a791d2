"""What a run's answer and bill may depend on beside its settings: versions, the code's revision, the prices' date."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from hybridloop.data import load

PACKAGES = ("hybridloop", "azure-quantum", "qdk", "qiskit", "numpy", "scipy")
REVISION, PRICES = "revision", "prices"  # beside the packages; the revision only where the code is a checkout
_PACKAGE = Path(__file__).parents[1]
_GIT_S = 5.0


def versions() -> dict[str, str]:
    """By name; a new run keeps them."""
    import platform
    from importlib.metadata import version

    known = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    known[PRICES] = load("prices")["dated"]
    found = revision()
    return known if found is None else known | {REVISION: found}


def changed(then: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What is another one now, by name: (then, now); what only one of the two knows says nothing."""
    return {name: (then[name], now[name]) for name in then if name in now and then[name] != now[name]}


@cache
def revision() -> str | None:
    """The commit that the code is of, with `-modified` where files differ from it; None where it was installed."""
    if not (_PACKAGE.parent / ".git").exists():
        return None
    asked = ["git", "-C", str(_PACKAGE.parent), "describe", "--always", "--abbrev=40", "--exclude=*"]
    try:
        said = subprocess.run(
            [*asked, "--dirty=-modified"],
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):  # no git here, or another user's checkout, which it refuses
        return None
    return said.stdout.strip() or None
