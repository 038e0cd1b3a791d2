"""A settings file with all settings of an algorithm, written from their models."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hybridloop.settings import SETTINGS

_WIDTH = 100


def settings_text(algorithm: str) -> str:
    """YAML that says what each setting is for and loads back to the defaults; those that are unset are comments."""
    head = (
        f"# Settings for `hybridloop run {algorithm} PROBLEM --config FILE`; this is what holds without a file.\n"
        "# What is not set stands as a comment, with an example where there is one.\n"
    )
    return head + "".join(_lines(SETTINGS[algorithm], SETTINGS[algorithm]().model_dump(mode="json"), ""))


def _lines(model: type[BaseModel], values: dict[str, Any], indent: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"\n{_comment(field, indent)}"
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield f"{indent}{name}:\n"
            yield from _lines(inner, values[name], indent + "  ")
        elif values[name] is None:
            yield f"{indent}# {name}: {_written(field.examples[0])}\n" if field.examples else f"{indent}# {name}:\n"
        else:
            yield f"{indent}{name}: {_written(values[name])}\n"


def _comment(field: FieldInfo, indent: str) -> str:
    words = textwrap.wrap(field.description or "", _WIDTH - len(indent))
    return "".join(f"{indent}# {line}\n" for line in words)


def _written(value: object) -> str:
    """One value on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
