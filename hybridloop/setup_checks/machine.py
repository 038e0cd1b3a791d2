"""Checks of this machine: Python, packages, the hybridloop folder, disk space and settings."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hybridloop.errors import InputError
from hybridloop.journal.storage.migrate import location_of
from hybridloop.runtime.paths import home
from hybridloop.setup_checks.check_result import CheckResult, ok, warning, wrong

_PACKAGE = "hybridloop"
_WRONG_BELOW_BYTES, _WARNING_BELOW_BYTES = 50 << 20, 1 << 30


def check_python() -> CheckResult:
    """Check the running Python against the version that the installed package requires."""
    running = platform.python_version()
    try:
        required = str(metadata(_PACKAGE).json.get("requires_python", ""))
    except PackageNotFoundError:
        return warning("python", f"{running}; hybridloop is imported but not installed", "pip install hybridloop")
    if SpecifierSet(required).contains(running, prereleases=True):
        return ok("python", running)
    return wrong("python", f"{running}; hybridloop needs {required}", "Create an environment with such a Python.")


def check_packages() -> CheckResult:
    """Check the installed versions of the package's requirements."""
    try:
        requirements = [Requirement(text) for text in requires(_PACKAGE) or []]
    except PackageNotFoundError:
        return warning("packages", "requirements unknown: hybridloop is not installed", "pip install hybridloop")
    requirements = [item for item in requirements if item.marker is None or item.marker.evaluate({"extra": ""})]
    problems = {item: problem for item in requirements if (problem := _version_problem(item))}
    if not problems:
        return ok("packages", f"{len(requirements)} requirements of hybridloop {version(_PACKAGE)} are met")
    missing = " ".join(f"'{item.name}{item.specifier}'" for item in problems)
    return wrong("packages", "; ".join(problems.values()), f"pip install {missing}")


def _version_problem(requirement: Requirement) -> str:
    """Return the problem of the installed version; empty if there is none."""
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing"
    is_right = requirement.specifier.contains(installed, prereleases=True)
    return "" if is_right else f"{requirement.name} {installed} is not {requirement.specifier}"


def check_places(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    """Check folder and disk of the state, and of the journal where that is a file elsewhere."""
    folder = home(environ)
    yield _check_folder("folder", folder, "HYBRIDLOOP_HOME")
    yield _check_disk("disk", folder, "HYBRIDLOOP_HOME")
    with suppress(InputError):  # which the check of the journal shows
        journal = location_of(environ).path
        if journal is not None and journal.parent != Path(os.path.abspath(folder)):
            yield _check_folder("journal folder", journal.parent, "HYBRIDLOOP_JOURNAL")
            yield _check_disk("journal disk", journal.parent, "HYBRIDLOOP_JOURNAL")


def _check_folder(check: str, folder: Path, variable: str) -> CheckResult:
    """Check that a folder can be written to, or created."""
    nearest = _nearest_existing(folder)
    remedy = f"Set {variable} to a place that you can write to."
    if not nearest.is_dir():
        return wrong(check, f"{folder} can't be created: {nearest} is not a folder", remedy)
    if nearest != folder:
        if os.access(nearest, os.W_OK | os.X_OK) and not _write_problem(nearest):
            return ok(check, f"{folder} will be created")
        return wrong(check, f"{folder} can't be created: {nearest} is not writable", remedy)
    if problem := _write_problem(folder):
        return wrong(check, f"{folder} is not writable ({problem})", remedy)
    return ok(check, str(folder))


def _check_disk(check: str, folder: Path, variable: str) -> CheckResult:
    """Check the free disk space at a folder; the journal of a run takes a few MB."""
    path = _nearest_existing(folder)
    try:
        free = shutil.disk_usage(path).free
    except OSError as error:
        return wrong(check, f"the free space at {path} is unknown ({error.strerror})", "Check the disk.")
    found = f"{free / 2**20:,.0f} MiB free at {path}"
    if free < _WRONG_BELOW_BYTES:
        return wrong(check, found, f"Free some space, or set {variable} to another disk.")
    if free < _WARNING_BELOW_BYTES:
        return warning(check, found, "`hybridloop runs prune` deletes old runs.")
    return ok(check, found)


def check_settings(environ: Mapping[str, str]) -> CheckResult:
    """Check that the user's settings file and environment variables are valid."""
    from hybridloop.descriptions import ALGORITHMS
    from hybridloop.inputs.sources import DEFAULT, overview, unknown_variables

    try:
        rows = overview([each.name for each in ALGORITHMS.known], environ)
    except InputError as error:
        return wrong("settings", error.happened, error.remedy or "`hybridloop config` lists all settings.")
    if unknown := unknown_variables(environ):
        verb = "is no setting and has" if len(unknown) == 1 else "are no settings and have"
        return warning("settings", f"{', '.join(unknown)} {verb} no effect", "`hybridloop config` lists the settings.")
    sources = sorted({row["source"] for row in rows} - {DEFAULT})
    return ok("settings", f"from {', '.join(sources)}" if sources else "all defaults")


def _nearest_existing(path: Path) -> Path:
    """Return the path, or the nearest of its parents that exists."""
    for candidate in (path, *path.parents):
        try:
            if candidate.exists():
                return candidate
        except OSError:  # a parent can't be searched
            continue
    return path


def _write_problem(folder: Path) -> str:
    """Return the reason why the folder is not writable, else ""; tested with an unnamed file, which leaves no trace."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)
