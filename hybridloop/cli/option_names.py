"""Errors about settings, with the setting shown as its option of the command line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from hybridloop.errors import HybridloopError, InputError
from hybridloop.runtime.leaves import leaf

if TYPE_CHECKING:
    from hybridloop import descriptions
    from hybridloop.settings import failure_policy
else:
    descriptions = leaf("hybridloop.descriptions")
    failure_policy = leaf("hybridloop.settings.failure_policy")

_OTHER_FORMS: Mapping[str, tuple[str, ...]] = {"workspace": ("--resource-id",)}
_PASSED_TOO = frozenset({"run_key", "workspace"})  # not settings, but keywords in Python and options


def with_option(error: HybridloopError) -> HybridloopError:
    """Return the error with its setting as an option; the name of a setting of a file or a variable is kept."""
    if not isinstance(error, InputError):
        return error
    name, _, inner = error.field.removeprefix("failure.").partition(".")
    if name == "provider_options":
        return error.at(f"--provider-option {inner}".rstrip())
    return error.at(_as_given(name.replace("_", "-"))) if name in _settings() | _PASSED_TOO else error


def with_options_named(warning: str) -> str:
    """Return a plan's warning, in which the setting that a run would be refused for is shown as its option."""
    before, told, reason = warning.partition("would be refused: ")
    name, colon, rest = reason.partition(": ")
    return f"{before}{told}{_as_given(name.replace('_', '-'))}{colon}{rest}" if name in _settings() else warning


def _as_given(name: str) -> str:
    """Return the option of a setting in the form that this process was given, such as --no-debias."""
    forms: tuple[str, ...] = (f"--{name}", f"--no-{name}", *_OTHER_FORMS.get(name, ()))
    given = {argument.partition("=")[0] for argument in sys.argv[1:]}
    return next((form for form in forms if form in given), forms[0])


@cache
def _settings() -> frozenset[str]:
    names = {name for each in descriptions.ALGORITHMS.known for name in each.settings.model_fields}
    return frozenset(names | failure_policy.FailurePolicy.model_fields.keys()) - {"failure"}
