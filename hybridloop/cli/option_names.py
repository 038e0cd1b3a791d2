"""Error messages with the names of settings as options of the command line."""

from __future__ import annotations

import re
import sys
from functools import cache

from hybridloop.errors import HybridloopError, InputError
from hybridloop.settings import SETTINGS
from hybridloop.tasks.failure_policy import FailurePolicy

# a setting in a message, alone or with a value: `active_space`, `mitigation=readout`, `failure.on_target_down=wait`
_NAMED = re.compile(r"(?<![\w'.-])(?<!--set )(?:failure\.)?([a-z][a-z_]*)(?:=([\w.,-]*\w))?(?![\w'])")
_PASSED_TOO = frozenset({"run_key", "workspace"})  # not settings, but keywords in Python and options
_SYNONYMS = {"workspace": ("--workspace", "--resource-id")}


def as_typed(error: HybridloopError) -> str:
    """Return the message with a setting named as its option, and as in Python where that differs.

    A setting of a file or a variable keeps its name, for that is what was typed.
    """
    if not isinstance(error, InputError):
        return str(error)
    text = str(error)
    head, rest = error.field, text.removeprefix(error.field)
    name = head.removeprefix("failure.").partition(".")[0]
    if name in _settings() | _PASSED_TOO:
        inner = head.removeprefix("provider_options").lstrip(".")
        option = f"--provider-option {inner}".strip() if name == "provider_options" else _option(name)
        head = option if option == f"--{head}" else f"{option}, in Python {head}"
    elif head not in ("settings", "problem"):
        return text
    return head + _NAMED.sub(_rename, rest)


@cache
def _settings() -> frozenset[str]:
    names = {name for model in SETTINGS.values() for name in model.model_fields}
    return frozenset(names | FailurePolicy.model_fields.keys()) - {"failure"}


def _option(name: str) -> str:
    """Return the option of a setting; of synonyms the one that was typed last."""
    typed = [argument.partition("=")[0] for argument in reversed(sys.argv)]
    if (synonym := next((option for option in typed if option in _SYNONYMS.get(name, ())), None)) is not None:
        return synonym
    return f"--{name.replace('_', '-')}".removesuffix("s" if name == "provider_options" else "")


def _rename(match: re.Match[str]) -> str:
    """Rename a setting; a word such as `shots` only with a value, as it may be a word of the sentence."""
    name, value = match.groups()
    if name not in _settings() or ("_" not in name and value is None):
        return match[0]
    return _option(name) if value is None else f"{_option(name)} {value}"
