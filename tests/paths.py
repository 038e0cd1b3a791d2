"""Folders of the checkout that tests read from, and other versions of Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
DOCS = ROOT / "docs"


def installed_python(version: str) -> str | None:
    """Return the path of an installed Python of this version; pyenv's command of a Python that is not chosen fails."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *sorted(map(str, root.glob(f"{version}.*/bin/python")))]
    return next(
        (each for each in found if each and not subprocess.run([each, "-V"], capture_output=True).returncode), None
    )
