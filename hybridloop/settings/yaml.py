"""Plain YAML: names, numbers, texts, and nothing that unfolds or hides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hybridloop.errors import InputError

MAX_BYTES = 64 * 1024


def read_yaml(path: Path, of: str, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """What a file holds by name; `of` is what it was given as. Raises InputError."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise InputError(of, f"{path} has {size:,} bytes", f"Give at most {max_bytes:,}.")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(of, f"{path} is no text", "Give a YAML file in UTF-8.") from error
    except OSError as error:
        raise InputError(of, f"{path} can't be read ({error.strerror})", "Check the path.") from error
    found = parse_yaml(text, f"{of} {path}")
    if not isinstance(found, dict):
        raise InputError(of, f"{path} holds no settings by name", "Write one setting a line, as `shots: 2000`.")
    return found


def parse_yaml(text: str, of: str) -> Any:
    """The value of a text. Raises InputError."""
    try:
        return yaml.load(text, Loader=_Plain)  # a SafeLoader: plain values only
    except yaml.YAMLError as error:
        raise InputError(of, _in_words(error, text), "Write plain YAML: names, numbers, texts.") from error
    except RecursionError as error:
        raise InputError(of, "it is nested too deeply", "Write plain YAML: names, numbers, texts.") from error


def _in_words(error: yaml.YAMLError, text: str) -> str:
    """What is wrong with a text, and in which of its lines where it has several."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    said = " ".join(f"{error.context or ''} {error.problem or ''}".split())
    is_one = error.problem_mark is None or "\n" not in text.rstrip("\n")
    return said if is_one else f"line {error.problem_mark.line + 1}: {said}"


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
