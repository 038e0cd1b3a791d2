"""Operators that a caller names beside the energy, as the text that settings keep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridloop.inputs.problems import is_file
from hybridloop.inputs.text_files import read_text
from hybridloop.settings.parsing import MAX_CIRCUIT_BYTES

_KIND = "a Pauli sum"


def operator_texts(value: object) -> object:
    """Return observables with files and objects as text: names and NAME=FILE, or a mapping from names.

    Values of a mapping may be None for a known operator, a file, a text, or an operator of Qiskit, OpenFermion or
    PennyLane. Other values are returned unchanged. Raises InputError.
    """
    if isinstance(value, Mapping):
        return {str(name): _text_of(operator) for name, operator in value.items()}
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not any(isinstance(word, str) and "=" in word for word in words):
        return value
    pairs = [str(word).partition("=") for word in words]
    if len({name.strip() for name, _, _ in pairs}) < len(pairs):
        return value  # which is refused
    return {name.strip(): _text_of(given.strip()) if is_own else None for name, is_own, given in pairs}


def _text_of(given: Any) -> str | None:
    from hybridloop.inputs.problem_objects import problem_from_object

    if given is None or given is True:
        return None
    if isinstance(given, Path) or (isinstance(given, str) and is_file(Path(given))):
        return read_text(Path(given), "observables", _KIND, MAX_CIRCUIT_BYTES)
    return given if isinstance(given, str) else problem_from_object(given).text
