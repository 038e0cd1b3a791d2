"""Plain YAML: names, numbers and text; aliases, tags and duplicate names are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hybridloop.errors import InputError
from hybridloop.inputs.text_files import read_text

MAX_BYTES = 64 * 1024
MAX_DEPTH = 20  # levels of lists and mappings
MAX_NUMBER_LENGTH = 64  # characters
_PLAIN = "Write plain YAML: names, numbers and text."


def read_yaml(path: Path, of: str, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Return the mapping in a file; `of` names the option that gave the file. Raises InputError."""
    values = parse_yaml(read_text(path, of, "a YAML file", max_bytes), f"{of} {path}")
    if not isinstance(values, dict):
        raise InputError(of, f"{path} holds no settings by name", "Write one setting per line, as `shots: 2000`.")
    return values


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
    """Loader of names, numbers and text.

    It refuses aliases, which may expand without bound, duplicate names, of which one would be lost, tags, names that
    are no text, deep nesting, and long numbers. Dates are read as text.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's attribute
        letter: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases are not taken", event)
        if event.tag is not None:
            raise _refusal(f"the tag {event.tag} is not taken", event)
        if self._depth >= MAX_DEPTH:
            raise _refusal("it is nested too deeply", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002  # PyYAML's signature
        is_text = not isinstance(node, yaml.ScalarNode) or node.tag.endswith(":str")
        if not is_text and len(node.value) > MAX_NUMBER_LENGTH:
            raise _refusal(f"{node.value[:40]}… has more than {MAX_NUMBER_LENGTH} characters", node)
        try:
            value = super().construct_object(node, deep=deep)
            if isinstance(value, str):
                value.encode()  # half a surrogate pair is no text
        except (ValueError, OverflowError):
            raise _refusal(f"{node.value!a:.40} is neither a number nor text", node) from None
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002  # PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or not key.tag.endswith(":str"):
                given = f"{key.value!r:.40}" if isinstance(key, yaml.ScalarNode) else f"a {key.id}"
                raise _refusal(f"{given} is no name", key)
            if key.value in seen:
                raise _refusal(f"{key.value!r} is there twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _refusal(problem: str, place: Any) -> yaml.YAMLError:
    """Return the error of an event or node, with its line."""
    return yaml.constructor.ConstructorError(None, None, problem, place.start_mark)
