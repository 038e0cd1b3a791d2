"""Operators that a caller names beside the energy, as the text that settings keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridloop.errors import InputError
from hybridloop.inputs.problems import is_file
from hybridloop.inputs.text_files import read_text
from hybridloop.settings.parsing import MAX_PROBLEM_BYTES

_KIND = "a Pauli sum, or an operator of electrons"


def operator_texts(value: object) -> object:
    """Return observables with files and objects as text: names and NAME=FILE, or a mapping from names.

    Values of a mapping may be None for a known operator, a file, a text, or an operator of Qiskit, OpenFermion or
    PennyLane; of electrons a FermionOperator, matrices (n, n) or (k, n, n) of one electron, or these with a constant as
    `{"one_body": matrices, "constant": …}`. Other values are returned unchanged. Raises InputError.
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
        return read_text(Path(given), "observables", _KIND, MAX_PROBLEM_BYTES)
    if isinstance(given, Mapping) and "one_body" in given:
        return json.dumps({str(name): _plain(value) for name, value in given.items()})
    if type(given).__module__.startswith("numpy"):
        return json.dumps({"one_body": _plain(given)})
    if type(given).__name__ == "FermionOperator":
        return json.dumps({"fermions": [[list(product), _real(value)] for product, value in given.terms.items()]})
    return given if isinstance(given, str) else problem_from_object(given).text


def _plain(value: Any) -> Any:
    """Return numbers of an array or of lists of arrays as lists."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _real(value: Any) -> float:
    if abs(complex(value).imag) > 0.0:
        raise InputError("observables", f"the coefficient {value} is not real", "Give a Hermitian operator.")
    return complex(value).real
