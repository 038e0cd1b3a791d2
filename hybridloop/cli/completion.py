"""What a shell offers where a name is typed: cheap to find, and silent where there is nothing to be found.

What may have been meant by a name that there is not.
"""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from hybridloop.errors import HybridloopError

_MOST_KEYS = 200


def algorithms(incomplete: str) -> list[str]:
    """The algorithms."""
    from hybridloop.settings import SETTINGS

    return _beginning(incomplete, SETTINGS)


def targets(incomplete: str) -> list[str]:
    """The targets that are known; the workspace is not asked."""
    from hybridloop.data import load_table

    return _beginning(incomplete, load_table("targets")["targets"])


def molecules(incomplete: str) -> list[str]:
    """Built-in molecules, and files."""
    return [*_built_in("problems", incomplete), *_files(incomplete)]


def binary_problems(incomplete: str) -> list[str]:
    """Built-in binary problems, and files."""
    return [*_built_in("binary_problems", incomplete), *_files(incomplete)]


def optimizers(incomplete: str) -> list[str]:
    """The optimizers, plug-ins too."""
    from hybridloop.settings import OptimizerName
    from hybridloop.settings.optimizer_plugins import optimizer_plugins

    return _beginning(incomplete, [*(each.value for each in OptimizerName), *optimizer_plugins()])


def ansaetze(incomplete: str) -> list[str]:
    """Circuits by name, and files."""
    from hybridloop.settings import AnsatzName

    return [*_beginning(incomplete, [each.value for each in AnsatzName]), *_files(incomplete)]


def run_keys(incomplete: str) -> list[str]:
    """The keys of the newest runs; a journal that is not there is not made for this."""
    from hybridloop.journal import open_journal
    from hybridloop.runtime.paths import home

    if not os.environ.get("HYBRIDLOOP_JOURNAL") and not (home() / "journal.db").exists():
        return []
    try:
        with open_journal() as journal:
            return _beginning(incomplete, [record.key for record in journal.runs(limit=_MOST_KEYS)])
    except HybridloopError:  # a shell that asks what could be typed has no use for it
        return []


def setting_names(incomplete: str) -> list[str]:
    """The names of settings, for `--set name=`."""
    from hybridloop.settings import SETTINGS
    from hybridloop.tasks.failure_policy import FailurePolicy

    names = dict.fromkeys(name for model in SETTINGS.values() for name in model.model_fields if name != "failure")
    inner = [f"failure.{name}" for name in FailurePolicy.model_fields]
    return [f"{name}=" for name in _beginning(incomplete, [*names, *inner])]


# of options that are settings
OF_SETTINGS: Mapping[str, Callable[[str], list[str]]] = {
    "target": targets,
    "optimizer": optimizers,
    "ansatz": ansaetze,
}


def _built_in(table: str, incomplete: str) -> list[str]:
    from hybridloop.data import load_table

    return _beginning(incomplete, load_table(table))


def _files(incomplete: str) -> list[str]:
    found = sorted(glob.glob(f"{glob.escape(incomplete)}*"))
    return [f"{each}{os.sep}" if Path(each).is_dir() else each for each in found]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.lower().startswith(incomplete.lower())]


def did_you_mean(name: str, names: Iterable[str], *, otherwise: str | None = None) -> str:
    """The nearest name as a question; else `otherwise`, else all names."""
    there = list(names)
    near = difflib.get_close_matches(name.lower(), there, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return otherwise or f"There are: {', '.join(there)}."
