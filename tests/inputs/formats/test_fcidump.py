"""FCIDUMP: valid files are read, malformed ones are refused with their line."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.errors import ProblemError
from hybridloop.inputs.formats.fcidump import read_fcidump
from tests.algorithms.reference_helpers import MOLECULES
from tests.long_form import long_form, short_or_long

H2 = """ &FCI NORB=   2,NELEC= 2,MS2=0,
  ORBSYM=1,1,
  ISYM=1,
 &END
 0.6757101548035163    1    1    1    1
 0.1809311997842314    2    1    2    1
 0.6645817302552965    2    2    1    1
 0.6985737227320178    2    2    2    2
 -1.25633907300325    1    1  0  0
 -0.4718960072811418    2    2  0  0
 0.7199689944489797  0  0  0  0
"""


def same(one: Molecule, other: Molecule) -> bool:
    return (
        np.array_equal(one.one_body, other.one_body)
        and np.array_equal(one.two_body, other.two_body)
        and one.electrons == other.electrons
        and one.core_energy == other.core_energy
    )


def test_reads_electrons_energies_and_symmetric_integrals() -> None:
    for name, known in MOLECULES.items():
        molecule = read_fcidump(known["fcidump"], name)
        assert list(molecule.electrons) == known["nelec"]
        assert molecule.core_energy == pytest.approx(known["core_energy"], abs=1e-12)
        assert molecule.hartree_fock_energy == pytest.approx(known["hf_energy"], abs=1e-10)
        assert molecule.source == name
        for axes in ((1, 0, 2, 3), (0, 1, 3, 2), (2, 3, 0, 1)):
            assert np.array_equal(molecule.two_body, molecule.two_body.transpose(axes))


@long_form
@settings(max_examples=short_or_long(12, 100))
@given(st.randoms(use_true_random=False), st.sampled_from(["H4_1", "LiH_1.595_cas(2,3)"]))
def test_order_of_lines_and_of_equivalent_indices_does_not_matter(rng: random.Random, name: str) -> None:
    text = MOLECULES[name]["fcidump"]
    header, _, body = text.partition("&END\n")
    lines = [line.split() for line in body.splitlines()]
    rng.shuffle(lines)
    permuted = []
    for value, *indices in lines:
        halves = [indices[:2], indices[2:]]
        if indices[2] != "0":
            rng.shuffle(halves)
            rng.shuffle(halves[1])
        rng.shuffle(halves[0])
        permuted.append(" ".join([value, *halves[0], *halves[1]]))
    shuffled = f"{header}&END\n" + "\n".join(permuted)
    assert same(read_fcidump(shuffled, "shuffled"), read_fcidump(text, "plain"))


@pytest.mark.parametrize("name", ["H4_1", "LiH_1.595_cas(2,3)"])
@pytest.mark.parametrize("place", ["first", "before h"])
def test_a_text_that_is_cut_after_an_early_core_energy_is_refused(place: str, name: str) -> None:
    header, _, body = MOLECULES[name]["fcidump"].partition("&END\n")
    *lines, core = body.splitlines()
    start = 0 if place == "first" else next(i for i, line in enumerate(lines) if line.split()[3] == "0")
    early = [*lines[:start], core, *lines[start:]]
    whole = f"{header}&END\n" + "\n".join(early) + "\n"
    assert same(read_fcidump(whole, "whole"), read_fcidump(MOLECULES[name]["fcidump"], "plain"))
    for count in range(len(early)):
        with pytest.raises(ProblemError, match=r"truncated|no one-electron integral"):
            read_fcidump(f"{header}&END\n" + "\n".join(early[:count]) + "\n", "cut")


@pytest.mark.parametrize(
    "header",
    [
        "&fci norb=2, nelec=2, ms2=0 /",
        "&FCI MS2=0\n ISYM=1\n NELEC=2\n NORB=2\n ORBSYM=1,1\n/",
        "$FCI NORB=2,NELEC=2,UHF=.FALSE.,\n$END",
        "&FCI NORB=2 NELEC=2 IUHF=0 &end",
    ],
)
def test_all_usual_headers_are_read(header: str) -> None:
    assert same(read_fcidump(header + H2.partition("&END")[2], "header"), read_fcidump(H2, "plain"))


def test_a_very_long_word_in_the_header_is_parsed_in_linear_time() -> None:
    # in quadratic time this would take minutes
    noted = H2.replace("ISYM=1,", f"NOTE={'x' * 200_000}, ISYM=1,")
    assert same(read_fcidump(noted, "noted"), read_fcidump(H2, "plain"))


def test_fortran_exponents_are_read_and_orbital_energies_skipped() -> None:
    text = H2.replace("0.7199689944489797  0", "-0.578 1 0 0 0\n 7.199689944489797D-01  0")
    assert same(read_fcidump(text, "fortran"), read_fcidump(H2, "plain"))


def test_ms2_sets_the_electrons_of_each_spin() -> None:
    triplet = read_fcidump(H2.replace("MS2=0", "MS2=2"), "triplet")
    assert triplet.electrons == (2, 0)
    # both orbitals filled by one spin: h_11 + h_22 + (11|22) - (12|12) + core
    expected = -1.25633907300325 - 0.4718960072811418 + 0.6645817302552965 - 0.1809311997842314 + 0.7199689944489797
    assert triplet.hartree_fock_energy == pytest.approx(expected, abs=1e-12)


def test_a_text_truncated_anywhere_is_refused() -> None:
    for end in range(len(H2.rstrip())):
        with pytest.raises(ProblemError):
            read_fcidump(H2[:end], "cut.fcidump")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("0.6645817302552965", "NaN", 7, "NaN"),
        ("0.6645817302552965", "-inf", 7, "-inf"),
        ("0.6645817302552965", "1e999", 7, "1e999"),
        ("0.6645817302552965", "0x1p3", 7, "not a number"),
        ("0.6645817302552965", "(0.66,0.1)", 7, "complex"),
        ("2    2    1    1", "2    3    1    1", 7, "NORB=2"),
        ("2    2    1    1", "2    0    1    1", 7, "name no integral"),
        ("2    2    1    1", "2    2    1", 7, "four orbital indices"),
        ("2    2    1    1", "2    2    1    -1", 7, "four orbital indices"),
        ("2    2    1    1", "2    2    1    ²", 7, "four orbital indices"),
        ("2    2    1    1", f"2    2    1    {'1' * 5000}", 7, "four orbital indices"),
        ("2    2    1    1", "1    2    1    2", 7, "contradicts line 6"),
        ("NORB=   2", "NORB= 0", None, "NORB=0"),
        ("NORB=   2", "NORB= 1000000", None, "active space"),
        ("NORB=   2", "NORB= two", None, "whole number"),
        ("NORB=   2", f"NORB= {'2' * 5000}", None, "whole number"),
        ("NORB=   2,", "", None, "does not state NORB"),
        ("NELEC= 2", "NELEC= 3", None, "MS2=0"),
        ("NELEC= 2", "NELEC= 6", None, "3 electrons of one spin in NORB=2"),
        ("NELEC= 2", "NELEC= -2", None, "NELEC=-2"),
        ("MS2=0", "MS2=4", None, "MS2=4"),
        ("ISYM=1", "IUHF=1", None, "UHF"),
        ("ISYM=1", "UHF=.TRUE.", None, "UHF"),
        (" &END", "", None, "truncated"),
        (" &END\n", " &END 0.1", 4, "follows the header"),
        (" &FCI", " FCI", 1, "not FCIDUMP"),
    ],
)
def test_malformed_text_is_refused_with_source_and_line(old: str, new: str, line: int | None, words: str) -> None:
    assert old in H2
    with pytest.raises(ProblemError) as caught:
        read_fcidump(H2.replace(old, new, 1), "broken.fcidump")
    assert caught.value.source == "broken.fcidump"
    assert caught.value.line == line
    assert words in str(caught.value)
    assert "broken.fcidump" in str(caught.value)


def test_a_text_without_one_electron_integrals_is_refused() -> None:
    lines = [line for line in H2.splitlines() if "0  0" not in line or line.endswith("0  0  0  0")]
    with pytest.raises(ProblemError, match="one-electron"):
        read_fcidump("\n".join(lines), "half.fcidump")


def test_invalid_arrays_are_refused_as_a_molecule() -> None:
    one, two = np.diag([-1.0, -0.5]), np.zeros((2, 2, 2, 2))
    skewed = two.copy()
    skewed[0, 1, 0, 0] = 0.1
    refused: list[tuple[NDArray[Any], NDArray[np.float64], tuple[int, int], float]] = [
        (one[:1], two, (1, 1), 0.0),
        (one, two, (3, 1), 0.0),
        (one, two, (-1, 1), 0.0),
        (one * np.nan, two, (1, 1), 0.0),
        (one + 1j * (np.ones((2, 2)) - np.eye(2)), two, (1, 1), 0.0),
        (one, two, (1, 1), float("inf")),
        (one, skewed, (1, 1), 0.0),
    ]
    for one_body, two_body, electrons, core in refused:
        with pytest.raises(ProblemError):
            Molecule(one_body, two_body, electrons, core, "bad")


def test_a_molecule_copies_its_integrals_and_makes_them_read_only() -> None:
    one, two = np.diag([-1.0, -0.5]), np.zeros((2, 2, 2, 2))
    molecule = Molecule(one, two, (1, 1), 0.0, "kept")
    one[0, 0] = two[0, 0, 0, 0] = 7.0
    assert molecule.hartree_fock_energy == -2.0
    with pytest.raises(ValueError, match="read-only"):
        molecule.one_body[0, 0] = 7.0
