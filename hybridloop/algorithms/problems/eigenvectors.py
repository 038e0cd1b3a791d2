"""Eigenvectors of a real symmetric matrix with reproducible signs and order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SAME_EIGENVALUE = 1e-7  # relative to the largest
PIVOT_DECIMALS = 6  # digits that another machine's rounding may change are cut off


def pivoted_eigenvectors(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ascending eigenvalues and their eigenvectors as columns, those of equal eigenvalues by pivots.

    The pivot is the largest diagonal element of the projector on what is left of their space, the first of equal ones,
    and a vector is positive there. A vector has few elements then, so that a rotation to it takes few gates and keeps
    the molecule's symmetry.
    """
    values, vectors = np.linalg.eigh(matrix)
    bound = SAME_EIGENVALUE * max(1e-3, float(np.abs(values).max(initial=0.0)))
    begins = [0, *(np.flatnonzero(np.diff(values) > bound) + 1).tolist(), len(values)]
    for begin, end in pairwise(begins):
        space = vectors[:, begin:end].copy()
        for place in range(begin, end):
            pivot = int(np.argmax(np.round((space**2).sum(axis=1), PIVOT_DECIMALS)))
            vector = space @ space[pivot]
            vectors[:, place] = vector / np.linalg.norm(vector)
            rest = space - np.outer(vectors[:, place], vectors[:, place] @ space)
            space = np.linalg.svd(rest, full_matrices=False)[0][:, : end - place - 1]
    return values, vectors
