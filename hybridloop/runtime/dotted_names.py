"""Dotted names of values in nested mappings: `noise.model` is the value `model` in the mapping `noise`."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any


def flatten(values: Mapping[str, Any], group: str = "", *, whole: Container[str] = ()) -> dict[str, Any]:
    """Return nested values by dotted names; empty mappings, and those of the names in `whole`, stay as they are.

    >>> flatten({"noise": {"model": "aria-1"}, "no-opt": True})
    {'noise.model': 'aria-1', 'no-opt': True}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        is_group = isinstance(value, Mapping) and value and name not in whole
        flat |= flatten(value, f"{group}{name}.", whole=whole) if is_group else {f"{group}{name}": value}
    return flat


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted names as nested mappings: each dot of a name opens one. Mappings are copied.

    A later name adds to an earlier mapping, or replaces a value in it. Raises ValueError for a name that is both a
    value and a mapping.

    >>> nest({"noise": {"model": "ideal", "seed": 7}, "noise.model": "aria-1"})
    {'noise': {'model': 'aria-1', 'seed': 7}}
    """
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        inner = nested
        for group in groups:
            inner = _mapping_in(inner, group)
        _put(inner, last, value)
    return nested


def _put(inner: dict[str, Any], name: str, value: object) -> None:
    if isinstance(value, Mapping):
        group = _mapping_in(inner, name)
        for key, part in value.items():
            _put(group, key, part)
    elif isinstance(inner.get(name), dict):
        raise ValueError(f"{name} is given as {value!r}, and settings in it already: give one of them, not both")
    else:
        inner[name] = value


def _mapping_in(inner: dict[str, Any], name: str) -> dict[str, Any]:
    group = inner.setdefault(name, {})
    if not isinstance(group, dict):
        raise ValueError(f"{name} is given as {group!r} already: give {name} or a setting in it, not both")
    return group
