"""Messages between a run and its worker processes: named NumPy arrays on a pipe, without pickles."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.sqd.full_space import SolvedSpace, Subspace
from hybridloop.algorithms.sqd.product_spaces import SubspaceState

_SIZE_BYTES = 8

Arrays = Mapping[str, NDArray[Any]]


def write_arrays(stream: IO[bytes], arrays: Arrays) -> None:
    """Write a message. Raises BrokenPipeError if its reader has ended."""
    body = io.BytesIO()
    np.savez(body, **arrays)  # type: ignore[arg-type]  # its flag allow_pickle shares the names' space
    data = body.getbuffer()
    stream.write(len(data).to_bytes(_SIZE_BYTES, "big"))
    stream.write(data)
    stream.flush()


def read_arrays(stream: IO[bytes]) -> dict[str, NDArray[Any]] | None:
    """Read a message; None at the end of the stream, also within a message."""
    size = stream.read(_SIZE_BYTES)
    number = int.from_bytes(size, "big")
    data = stream.read(number)
    if len(size) < _SIZE_BYTES or len(data) < number:
        return None
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def molecule_arrays(molecule: Molecule) -> Arrays:
    """Return the integrals and electrons of a molecule."""
    return {
        "one_body": molecule.one_body,
        "two_body": molecule.two_body,
        "electrons": np.array(molecule.electrons),
        "core_energy": np.array(molecule.core_energy),
    }


def molecule_of(arrays: Arrays) -> Molecule:
    """Return the molecule of `molecule_arrays`, bit for bit."""
    alpha, beta = (int(number) for number in arrays["electrons"])
    return Molecule(arrays["one_body"], arrays["two_body"], (alpha, beta), float(arrays["core_energy"]), "a run")


def space_arrays(space: Subspace) -> Arrays:
    """Return the strings of a subspace, and its choice of determinants with the guess."""
    named = {"alpha": space.alpha, "beta": space.beta, "chosen": space.chosen, "guess": space.guess}
    return {name: array for name, array in named.items() if array is not None}


def space_of(arrays: Arrays) -> Subspace:
    """Return the subspace of `space_arrays`."""
    return Subspace(arrays["alpha"], arrays["beta"], arrays.get("chosen"), arrays.get("guess"))


def solved_arrays(solved: SolvedSpace) -> Arrays:
    """Return the state of a subspace, and its variance."""
    state, variance = solved.state, solved.variance
    return {
        "alpha": state.alpha,
        "beta": state.beta,
        "amplitudes": state.amplitudes,
        "numbers": np.array([state.energy, state.spin_squared, np.nan if variance is None else variance]),
        "chosen": np.array(0 if state.chosen is None else state.chosen),
    }


def solved_of(arrays: Arrays) -> SolvedSpace:
    """Return the solved subspace of `solved_arrays`, bit for bit."""
    energy, spin_squared, variance = (float(number) for number in arrays["numbers"])
    chosen = int(arrays["chosen"]) or None
    state = SubspaceState(arrays["alpha"], arrays["beta"], arrays["amplitudes"], energy, spin_squared, chosen)
    return SolvedSpace(state, None if np.isnan(variance) else variance)
