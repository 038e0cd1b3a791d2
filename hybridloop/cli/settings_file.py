"""Settings from a YAML file, from `--set name=value`, and from options, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hybridloop.errors import InputError
from hybridloop.sessions.policy import FailurePolicy

MAX_BYTES = 64 * 1024


def settings_of(config: Path | None, sets: Sequence[str], named: Mapping[str, Any]) -> dict[str, Any]:
    """All settings by name, the file's first, then each `--set`, then the options. Raises InputError."""
    settings = {} if config is None else _read(config)
    for each in sets:
        name, equals, text = each.partition("=")
        if not equals or not name.strip():
            raise InputError("--set", f"{each!r} is no name=value", "Give such as --set shots=2000.")
        _put(settings, name.strip(), _parsed(text, f"--set {name.strip()}"))
    for name, value in named.items():
        _put(settings, f"failure.{name}" if name in FailurePolicy.model_fields else name, value)
    return settings


def _read(path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError("--config", f"{path} has {size:,} bytes", f"Give at most {MAX_BYTES:,}.")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError("--config", f"{path} is no text", "Give a YAML file in UTF-8.") from error
    except OSError as error:
        raise InputError("--config", f"{path} can't be read ({error.strerror})", "Check the path.") from error
    found = _parsed(text, f"--config {path}")
    if not isinstance(found, dict):
        raise InputError("--config", f"{path} holds no settings by name", "Write one setting a line, as `shots: 2000`.")
    return found


def _put(settings: dict[str, Any], name: str, value: object) -> None:
    """Set a setting by its name, an inner one as `failure.retries`."""
    *outer, last = name.split(".")
    for part in outer:
        inner = settings.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InputError(name, f"{part} is {inner!r} already", f"Give {part} or what is in it, not both.")
        settings = inner
    settings[last] = value


def _parsed(text: str, of: str) -> Any:
    try:
        return yaml.load(text, Loader=_Plain)  # a SafeLoader: plain values only
    except yaml.YAMLError as error:
        raise InputError(of, " ".join(str(error).split()), "Write plain YAML: names, numbers, texts.") from error
    except RecursionError as error:
        raise InputError(of, "it is nested too deeply", "Write plain YAML: names, numbers, texts.") from error


class _Plain(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Plain values: no alias, which may unfold without end, and no name given twice, of which one would be lost."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not taken", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002  # PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)
