"""Shell completion of names: quick, and silent if there is nothing to offer; suggestions for misspelt names."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Iterable
from pathlib import Path

from hybridloop.errors import HybridloopError

_MAX_KEYS = 200


def algorithms(incomplete: str) -> list[str]:
    """Complete an algorithm's name."""
    from hybridloop.descriptions import ALGORITHMS

    return _matching(incomplete, ALGORITHMS)


def targets(incomplete: str) -> list[str]:
    """Complete a known target's name, without a request to the workspace."""
    from hybridloop.data import load_table

    return _matching(incomplete, load_table("targets")["targets"])


def molecules(incomplete: str) -> list[str]:
    """Complete the name of a built-in molecule or Hubbard model, or a path."""
    return [*_built_in("problems", incomplete, having="fcidump"), *_files(incomplete)]


def energy_problems(incomplete: str) -> list[str]:
    """Complete the name of a built-in molecule, Hubbard model or spin model, or a path."""
    return [*_built_in("problems", incomplete), *_files(incomplete)]


def binary_problems(incomplete: str) -> list[str]:
    """Complete a built-in binary problem's name or a path."""
    return [*_built_in("binary_problems", incomplete), *_files(incomplete)]


def built_in_problems(incomplete: str) -> list[str]:
    """Complete the name of any built-in problem."""
    return [*_built_in("problems", incomplete), *_built_in("binary_problems", incomplete)]


def optimizers(incomplete: str) -> list[str]:
    """Complete an optimizer's name, including plug-ins."""
    from hybridloop.settings import OptimizerName
    from hybridloop.settings.optimizer_plugins import SCIPY_METHODS, optimizer_plugins

    return _matching(incomplete, [*OptimizerName, *SCIPY_METHODS, *optimizer_plugins()])


def ansatzes(incomplete: str) -> list[str]:
    """Complete an ansatz's name or a path."""
    from hybridloop.settings import AnsatzName

    return [*_matching(incomplete, AnsatzName), *_files(incomplete)]


def run_keys(incomplete: str) -> list[str]:
    """Complete the key of one of the newest runs; a missing journal is not created."""
    from hybridloop.journal import open_journal
    from hybridloop.runtime.paths import home

    if not os.environ.get("HYBRIDLOOP_JOURNAL") and not (home() / "journal.db").exists():
        return []
    try:
        with open_journal() as journal:
            return _matching(incomplete, [record.key for record in journal.runs(limit=_MAX_KEYS)])
    except HybridloopError:  # a message would break the line that the user types
        return []


def setting_names(incomplete: str) -> list[str]:
    """Complete a setting's name for `--set NAME=`."""
    from hybridloop.descriptions import ALGORITHMS
    from hybridloop.settings.failure_policy import FailurePolicy

    names = dict.fromkeys(name for each in ALGORITHMS.known for name in each.settings.model_fields if name != "failure")
    inner = [f"failure.{name}" for name in FailurePolicy.model_fields]
    return [f"{name}=" for name in _matching(incomplete, [*names, *inner])]


SETTING_COMPLETERS = {"target": targets, "optimizer": optimizers, "ansatz": ansatzes}


def _built_in(table: str, incomplete: str, having: str = "title") -> list[str]:
    """Complete a name of the table, of entries that have a field."""
    from hybridloop.data import load_table

    return _matching(incomplete, [name for name, entry in load_table(table).items() if having in entry])


def _files(incomplete: str) -> list[str]:
    paths = sorted(glob.glob(f"{glob.escape(incomplete)}*"))
    return [f"{path}{os.sep}" if Path(path).is_dir() else path for path in paths]


def _matching(incomplete: str, names: Iterable[str]) -> list[str]:
    return [str(name) for name in names if name.lower().startswith(incomplete.lower())]


def did_you_mean(name: str, names: Iterable[str], *, otherwise: str | None = None) -> str:
    """Return a question with the most similar name; if there is none, `otherwise` or the list of names."""
    known = list(names)
    if similar := difflib.get_close_matches(name.lower(), known, n=1):
        return f"Did you mean {similar[0]!r}?"
    return otherwise or f"There are: {', '.join(known)}."
