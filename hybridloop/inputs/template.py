"""Template of a settings file: all settings of an algorithm with their defaults, written from their models."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from hybridloop.descriptions import ALGORITHMS

_WIDTH = 100


def settings_template(algorithm: str) -> str:
    """Return YAML that describes each setting and loads to the defaults; settings without a default are comments."""
    head = (
        f"# Settings for `hybridloop run {algorithm} PROBLEM --config FILE`, with their defaults.\n"
        "# A setting without a default is a comment, with an example if there is one.\n"
    )
    model = ALGORITHMS[algorithm].settings
    return head + "".join(_lines(model, model().model_dump(mode="json"), ""))


def _lines(model: type[BaseModel], values: dict[str, Any], indent: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        description = textwrap.wrap(field.description or "", _WIDTH - len(indent), break_on_hyphens=False)
        yield "\n" + "".join(f"{indent}# {line}\n" for line in description)
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield f"{indent}{name}:\n"
            yield from _lines(inner, values[name], indent + "  ")
        elif values[name] is None:
            yield f"{indent}# {name}: {_on_one_line(field.examples[0])}\n" if field.examples else f"{indent}# {name}:\n"
        else:
            yield f"{indent}{name}: {_on_one_line(values[name])}\n"


def _on_one_line(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
