"""Errors about settings, with the setting shown as its option of the command line."""

from __future__ import annotations

from functools import cache

from hybridloop.descriptions import ALGORITHMS
from hybridloop.errors import HybridloopError, InputError
from hybridloop.tasks.failure_policy import FailurePolicy

_PASSED_TOO = frozenset({"run_key", "workspace"})  # not settings, but keywords in Python and options


def with_option(error: HybridloopError) -> HybridloopError:
    """Return the error with its setting as an option; the name of a setting of a file or a variable is kept."""
    if not isinstance(error, InputError):
        return error
    name, _, inner = error.field.removeprefix("failure.").partition(".")
    if name == "provider_options":
        return error.at(f"--provider-option {inner}".rstrip())
    return error.at(f"--{name.replace('_', '-')}") if name in _settings() | _PASSED_TOO else error


@cache
def _settings() -> frozenset[str]:
    names = {name for each in ALGORITHMS.values() for name in each.settings.model_fields}
    return frozenset(names | FailurePolicy.model_fields.keys()) - {"failure"}
