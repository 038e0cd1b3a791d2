"""Operators of electrons in JSON: matrices of one electron, or products of ladder operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hybridloop.errors import ProblemError
from hybridloop.inputs.formats.json_text import read_json_object

MAX_LADDERS = 12  # of a product, which has up to 2^12 Pauli terms
_SYMMETRIC = 1e-8  # of the largest element
_FORMAT = (
    'Give {"one_body": matrix or matrices, "constant": number or numbers}, or {"fermions": [[[[2, 1], [0, 0]], 1.0]]} '
    "with products of spin orbitals, 1 to create and 0 to annihilate."
)

Ladder = tuple[Annotated[int, Field(ge=0, le=1000)], Annotated[int, Field(ge=0, le=1)]]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Matrix = list[list[_Number]]


@dataclass(frozen=True, slots=True, eq=False)
class OneElectronOperators:
    """Sums over electrons: of each the constant (k,), as of nuclei, and the symmetric matrix (k, n, n) of an electron.

    `is_list` tells several matrices from a single one.
    """

    constants: NDArray[np.float64]
    matrices: NDArray[np.float64]
    is_list: bool


@dataclass(frozen=True, slots=True)
class FermionTerms:
    """Products of ladder operators with their coefficients; spin orbitals 2p (alpha) and 2p + 1 (beta) of orbital p.

    A ladder operator is a spin orbital, and 1 to create or 0 to annihilate its electron, as in OpenFermion.
    """

    terms: Sequence[tuple[tuple[Ladder, ...], float]]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    one_body: _Matrix | list[_Matrix] | None = None
    constant: _Number | list[_Number] = 0.0
    fermions: list[tuple[Annotated[tuple[Ladder, ...], Field(max_length=MAX_LADDERS)], _Number]] | None = None


def is_electron_operator(text: str) -> bool:
    """Return whether a text is JSON of this format: no Pauli sum has these names."""
    return text.lstrip("\ufeff \t\r\n").startswith("{") and any(
        f'"{name}"' in text for name in ("one_body", "fermions")
    )


def read_electron_operator(text: str, source: str) -> OneElectronOperators | FermionTerms:
    """Read matrices of one electron, or products of ladder operators. Raises ProblemError.

    >>> read_electron_operator('{"one_body": [[1.0, 0.5], [0.5, 0.0]], "constant": 2}', "own").constants
    array([2.])
    """
    try:
        document = _Document.model_validate(read_json_object(text, source))
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        at = ".".join(map(str, first["loc"][:2]))
        raise ProblemError(source, None, f"{at}: {first['msg']}", _FORMAT) from error
    if (document.one_body is None) is (document.fermions is None):
        raise ProblemError(source, None, "it has matrices and products, or neither", _FORMAT)
    if document.fermions is not None:
        if document.constant != 0.0:
            raise ProblemError(source, None, "products have no constant beside them", "Give it as the product [].")
        return FermionTerms(document.fermions)
    try:
        matrices = np.array(document.one_body, float)
        is_list = matrices.ndim == 3
        matrices = matrices.reshape(-1, *matrices.shape[-2:])
        constants = np.broadcast_to(np.array(document.constant, float), len(matrices))
        is_square = matrices.ndim == 3 and matrices.shape[1] == matrices.shape[2] > 0
    except ValueError:
        is_square = False
    if not is_square:
        raise ProblemError(source, None, "the matrices are not square, or not as many as the constants", _FORMAT)
    skew = np.abs(matrices - matrices.transpose(0, 2, 1)).max()
    if skew > _SYMMETRIC * max(1.0, np.abs(matrices).max()):
        raise ProblemError(source, None, "a matrix is not symmetric", "Give real symmetric matrices.")
    return OneElectronOperators(constants, matrices, is_list)
