"""Settings from a YAML file, from `--set name=value`, and from options, in the order in which they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridloop.defaults import CALL, Layer
from hybridloop.errors import InputError
from hybridloop.flows.settings import put_setting
from hybridloop.plain_yaml import parse_yaml, read_yaml
from hybridloop.sessions.policy import FailurePolicy


def layers_of(config: Path | None, sets: Sequence[str], named: Mapping[str, Any]) -> list[Layer]:
    """The file's settings, then those of each `--set`, then the options; later ones go first. Raises InputError."""
    layers = [] if config is None else [Layer(f"--config {config}", read_yaml(config, "--config"))]
    typed: dict[str, Any] = {}  # all of the command, which is not to contradict itself
    for each in sets:
        name, equals, text = each.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InputError("--set", f"{each!r} is no name=value", "Give such as --set shots=2000.")
        value = parse_yaml(text, f"--set {name}")
        _put(typed, name, value)
        layers.append(Layer(f"--set {name}", _put({}, name, value)))
    options: dict[str, Any] = {}
    for name, value in named.items():
        full = f"failure.{name}" if name in FailurePolicy.model_fields else name
        _put(typed, full, value)
        _put(options, full, value)
    return [*layers, Layer(CALL, options)]


def _put(settings: dict[str, Any], name: str, value: object) -> dict[str, Any]:
    try:
        put_setting(settings, name, value)
    except ValueError as error:
        raise InputError(name, str(error), "Name each setting once.") from error
    return settings
