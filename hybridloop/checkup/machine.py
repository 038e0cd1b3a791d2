"""What is asked of this machine: Python, packages, a folder that can be written to, room, settings that can be read."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hybridloop.checkup.finding import Finding, ok, warning, wrong
from hybridloop.errors import InputError
from hybridloop.home import home

PACKAGE = "hybridloop"
_LEAST_BYTES, _FEW_BYTES = 50 << 20, 1 << 30


def python() -> Finding:
    """The Python that runs this, against what the installed package asks for."""
    running = platform.python_version()
    try:
        asked = str(metadata(PACKAGE).json.get("requires_python", ""))
    except PackageNotFoundError:
        return warning("python", f"{running}; the package is not installed, only found", "pip install hybridloop")
    if SpecifierSet(asked).contains(running, prereleases=True):
        return ok("python", running)
    return wrong("python", f"{running}; hybridloop needs {asked}", "Make an environment with a Python of that version.")


def packages() -> Finding:
    """The installed versions of what the package needs, against the bounds that it states."""
    try:
        needed = [Requirement(each) for each in requires(PACKAGE) or []]
    except PackageNotFoundError:
        return warning("packages", "what is needed is not known, as it is not installed", "pip install hybridloop")
    needed = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    off = {each: said for each in needed if (said := _off(each))}
    if not off:
        return ok("packages", f"{len(needed)} requirements of hybridloop {version(PACKAGE)} are met")
    wanted = " ".join(f"'{each.name}{each.specifier}'" for each in off)
    return wrong("packages", "; ".join(off.values()), f"pip install {wanted}")


def _off(needed: Requirement) -> str:
    """What is wrong with the installed version; empty where it is right."""
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        return f"{needed.name} is missing"
    is_right = needed.specifier.contains(found, prereleases=True)
    return "" if is_right else f"{needed.name} {found} is not {needed.specifier}"


def folder(environ: Mapping[str, str]) -> Finding:
    """Whether the folder of all state can be written to, or made."""
    at = home(environ)
    nearest = _nearest(at)
    remedy = "Set HYBRIDLOOP_HOME to a folder that you can write to."
    if not nearest.is_dir():
        return wrong("folder", f"{at} can't be made: {nearest} is no folder", remedy)
    if nearest != at:
        if os.access(nearest, os.W_OK | os.X_OK) and not _refuses(nearest):
            return ok("folder", f"{at} will be made")
        return wrong("folder", f"{at} can't be made: {nearest} takes no files", remedy)
    if why := _refuses(at):
        return wrong("folder", f"{at} takes no files ({why})", remedy)
    return ok("folder", str(at))


def disk(environ: Mapping[str, str]) -> Finding:
    """Whether there is room for journal and state; a run's journal takes a few MB."""
    at = _nearest(home(environ))
    try:
        free = shutil.disk_usage(at).free
    except OSError as error:
        return wrong("disk", f"the room at {at} is not known ({error.strerror})", "Check the disk.")
    said = f"{free / 2**20:,.0f} MiB free at {at}"
    if free < _LEAST_BYTES:
        return wrong("disk", said, "Make room, or set HYBRIDLOOP_HOME to another disk.")
    if free < _FEW_BYTES:
        return warning("disk", said, "hybridloop runs prune forgets old runs.")
    return ok("disk", said)


def settings(environ: Mapping[str, str]) -> Finding:
    """Whether the user's file and variables can be read, and mean something."""
    from hybridloop.defaults import DEFAULT, overview, unknown_variables
    from hybridloop.flows.settings import SETTINGS

    try:
        rows = overview(SETTINGS, environ)
    except InputError as error:
        return wrong("settings", f"{error.field}: {error.problem}", error.remedy)
    if unknown := unknown_variables(environ):
        remedy = "`hybridloop config` lists what there is."
        return warning("settings", f"{', '.join(unknown)} steer{'s' * (len(unknown) == 1)} nothing", remedy)
    own = sorted({row["source"] for row in rows} - {DEFAULT})
    return ok("settings", f"from {', '.join(own)}" if own else "as by default")


def _nearest(path: Path) -> Path:
    """The path, or the nearest of those above it that is there."""
    for each in (path, *path.parents):
        try:
            if each.exists():
                return each
        except OSError:  # what is above it can't be looked into
            continue
    return path


def _refuses(at: Path) -> str:
    """Why the folder takes no file; empty where it does. A file without a name is made, which leaves nothing."""
    try:
        with tempfile.TemporaryFile(dir=at):
            return ""
    except OSError as error:
        return error.strerror or str(error)
