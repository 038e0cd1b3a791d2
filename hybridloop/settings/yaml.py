"""Plain YAML: names, numbers and text; aliases and duplicate names are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hybridloop.errors import InputError

MAX_BYTES = 64 * 1024
_PLAIN = "Write plain YAML: names, numbers and text."


def read_yaml(path: Path, of: str, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Return the mapping in a file; `of` names the option that gave the file. Raises InputError."""
    values = parse_yaml(read_text(path, of, "a YAML file", max_bytes), f"{of} {path}")
    if not isinstance(values, dict):
        raise InputError(of, f"{path} holds no settings by name", "Write one setting per line, as `shots: 2000`.")
    return values


def read_text(path: Path, of: str, kind: str, max_bytes: int) -> str:
    """Return the text of a file. Raises InputError with the setting or option `of`, and the `kind` that is needed."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise InputError(of, f"{path} has {size:,} bytes", f"Give at most {max_bytes:,}.")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(of, f"{path} is no text", f"Give {kind} in UTF-8.") from error
    except OSError as error:
        raise InputError(of, f"{path} can't be read ({error.strerror})", "Check the path.") from error


def parse_yaml(text: str, of: str) -> Any:
    """Parse text to a plain value; `of` names its source. Raises InputError."""
    try:
        return yaml.load(text, Loader=_PlainLoader)  # a SafeLoader: plain values only
    except yaml.YAMLError as error:
        raise InputError(of, _error_message(error, text), _PLAIN) from error
    except RecursionError as error:
        raise InputError(of, "it is nested too deeply", _PLAIN) from error


def _error_message(error: yaml.YAMLError, text: str) -> str:
    """Return the error on one line, with its line number if the text has several lines."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    message = " ".join(f"{error.context or ''} {error.problem or ''}".split())
    is_one_line = error.problem_mark is None or "\n" not in text.rstrip("\n")
    return message if is_one_line else f"line {error.problem_mark.line + 1}: {message}"


class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """Loader that refuses aliases, which may expand without bound, and duplicate names, of which one would be lost."""

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
