"""FCIDUMP as other programs write it: odd ones are read, and wrong ones are refused by their cause."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.data import load_table
from hybridloop.errors import ProblemError
from hybridloop.inputs.formats.fcidump import fcidump_text, read_fcidump

NAMES = ("h2", "lih-frozen-core", "h4", "h2o", "hubbard-4")


def molecule(name: str) -> Molecule:
    return read_fcidump(load_table("problems")[name]["fcidump"], name)


def text_of(one: NDArray[np.float64], two: NDArray[np.float64], core: float, electrons: int, *, is_all: bool) -> str:
    """Write integrals; each of the two-electron ones, or the first of those that are equal in physicists' order."""
    size, lines, seen = len(one), [f"&FCI NORB={len(one)},NELEC={electrons},MS2=0,", "&END"], set[tuple[int, ...]]()
    for p, q, r, s in product(range(size), repeat=4):
        same = {(p, q, r, s), (q, p, s, r), (r, s, p, q), (s, r, q, p), (r, q, p, s), (p, s, r, q)}
        if abs(two[p, q, r, s]) > 1e-12 and (is_all or not same & seen):
            seen.add((p, q, r, s))
            lines.append(f"{two[p, q, r, s]!r} {p + 1} {q + 1} {r + 1} {s + 1}".replace("np.float64", ""))
    lines += [f"{float(one[p, q])!r} {p + 1} {q + 1} 0 0" for p in range(size) for q in range(p + 1) if one[p, q]]
    return "\n".join([*lines, f"{core!r} 0 0 0 0", ""]).replace("(", "").replace(")", "")


@pytest.mark.parametrize("name", NAMES[:4])
@pytest.mark.parametrize("is_all", [False, True])
def test_integrals_in_the_order_of_physicists_are_refused(name: str, *, is_all: bool) -> None:
    found = molecule(name)
    swapped = found.two_body.transpose(0, 2, 1, 3)
    text = text_of(found.one_body, swapped, found.core_energy, sum(found.electrons), is_all=is_all)
    with pytest.raises(ProblemError, match="physicists' order"):
        read_fcidump(text, name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_alternating", [False, True])
def test_integrals_over_spin_orbitals_are_refused(name: str, *, is_alternating: bool) -> None:
    found = molecule(name)
    spins = (np.eye(found.norb), np.eye(2)) if is_alternating else (np.eye(2), np.eye(found.norb))
    spatial = np.arange(2 * found.norb) // 2 if is_alternating else np.arange(2 * found.norb) % found.norb
    spin = np.arange(2 * found.norb) % 2 if is_alternating else np.arange(2 * found.norb) // found.norb
    assert len(np.kron(*spins)) == len(spatial)
    same = spin[:, None] == spin[None, :]
    one = found.one_body[np.ix_(spatial, spatial)] * same
    two = found.two_body[np.ix_(spatial, spatial, spatial, spatial)] * same[:, :, None, None] * same[None, None]
    doubled = Molecule(one, two, found.electrons, found.core_energy, name)
    with pytest.raises(ProblemError, match=f"over {2 * found.norb} spin orbitals.*over {found.norb} spatial"):
        read_fcidump(fcidump_text(doubled), name)


def test_orbitals_without_integrals_are_refused() -> None:
    text = fcidump_text(molecule("h2")).replace("NORB=2", "NORB=4")
    with pytest.raises(ProblemError, match="no integral has orbital 3, 4 of NORB=4"):
        read_fcidump(text, "h2")


@pytest.mark.parametrize(
    "end", ["/", "&END", "/ written by a program", "&END ! of the header", "/  \t# 1", "$END NORB was 2", "&end, "]
)
def test_what_follows_the_headers_end_is_ignored(end: str) -> None:
    found = molecule("h2")
    again = read_fcidump(fcidump_text(found).replace("&END", end), "h2")
    assert (again.one_body == found.one_body).all()
    assert (again.two_body == found.two_body).all()


@pytest.mark.parametrize("integral", ["0.5 1 1 1 1", "-.5D0 1 1 0 0", "(0.5,0.0) 1 1 1 1"])
def test_integrals_behind_the_headers_end_are_refused(integral: str) -> None:
    with pytest.raises(ProblemError, match="follows the header's end"):
        read_fcidump(fcidump_text(molecule("h2")).replace("&END", f"/ {integral}"), "h2")


@given(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0), st.sampled_from([1.0, -1.0]))
def test_a_model_is_read_whatever_its_sites_do(onsite: float, nearest: float, sign: float) -> None:
    one, two = np.zeros((4, 4)), np.zeros((4, 4, 4, 4))
    for p in range(4):
        one[p, (p + 1) % 4] = one[(p + 1) % 4, p] = sign
        two[p, p, p, p] = onsite
        two[p, p, (p + 1) % 4, (p + 1) % 4] = two[(p + 1) % 4, (p + 1) % 4, p, p] = nearest
    model = Molecule(one, two, (2, 2), 0.5, "ring")
    assert (read_fcidump(fcidump_text(model), "ring").two_body == two).all()
