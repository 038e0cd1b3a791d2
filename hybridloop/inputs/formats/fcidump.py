"""FCIDUMP reader and writer (P. J. Knowles and N. C. Handy, Comput. Phys. Commun. 54 (1989) 75)."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.problems.molecule import MAX_INTEGRAL, SYMMETRY_TOLERANCE, Molecule
from hybridloop.algorithms.problems.numbers import parse_decimal
from hybridloop.errors import ProblemError

MAX_ORBITALS = 40  # the full array of two-electron integrals then takes 20 MB; simulators hold far fewer

_HEADER_END = re.compile(r"&END\b|\$END\b|/", re.IGNORECASE)
_KEY = re.compile(r"\b([A-Za-z]\w*)\s*=")
_COMMENTS = ("!", "#")
_COMPLEX = re.compile(r"\(\s*([^\s,()]+)\s*,\s*([^\s,()]+)\s*\)")  # as Fortran writes it
_NUMBER = re.compile(r"[-+(.]*\d")
_WHOLE = re.compile(r"[+-]?\d{1,9}", re.ASCII)
_INDEX = re.compile(r"\d{1,9}", re.ASCII)
_NAMES = ("NORB", "NELEC", "MS2", "UHF", "IUHF")  # of the header's keys, those that are read
_SIMILAR = 0.75  # a key this similar to one of these is a misspelt one; programs write further keys


def read_fcidump(text: str, source: str) -> Molecule:
    """Read a molecule from FCIDUMP text; `source` names it in errors and results.

    Accepts either end of the header (`&END`, `/`), keys in any order and case, Fortran's D exponents, and any
    symmetry-equivalent order of an integral's indices. Orbital energies (`value i 0 0 0`) are skipped, as are comments
    (`!`, `#`). Raises ProblemError for malformed lines, for unrestricted (UHF) or complex integrals, and for a text
    without core energy (`value 0 0 0 0`): it has been truncated, unless it has all integrals of a lattice model, whose
    core energy is 0. The core energy is the last line by convention; before others it is taken only in a text that
    lacks no integral of a molecule. Integrals in physicists' order and over spin orbitals are refused, as are orbitals
    without any integral.
    """
    norb, electrons, lines = _read_header(text, source)
    integrals = _Integrals(norb, source)
    for number, line in enumerate(text.splitlines()[lines:], start=lines + 1):
        if line.strip() and not line.lstrip().startswith(_COMMENTS):
            integrals.add(number, line)
    return integrals.molecule(electrons)


def _read_header(text: str, source: str) -> tuple[int, tuple[int, int], int]:
    """Return the number of orbitals, the (alpha, beta) electrons and the number of the header's lines."""
    # the header, from &FCI to its end
    start = re.match(r"\s*(?:[!#][^\n]*\n\s*)*[&$]FCI\b", text, re.IGNORECASE)
    if start is None:
        remedy = "Give FCIDUMP text, or a Pauli sum as JSON."
        raise ProblemError(source, 1, "this is not FCIDUMP: it does not begin with &FCI", remedy)
    end = _HEADER_END.search(text, start.end())
    if end is None:
        problem = "the header has no end (&END or /): the text was truncated"
        raise ProblemError(source, None, problem, "Export the FCIDUMP file again.")
    # its keys; before the first one stands nothing of use
    _, *words = _KEY.split(text[start.end() : end.start()])
    keys: dict[str, str] = {}
    for key, value in zip(map(str.upper, words[::2]), words[1::2], strict=True):
        if key in keys:
            raise ProblemError(source, None, f"the header gives {key} twice", "Give it once.")
        if key not in _NAMES and (similar := difflib.get_close_matches(key[:80], _NAMES, n=1, cutoff=_SIMILAR)):
            raise ProblemError(source, None, f"there is no key {key!r} in the header", f"Did you mean {similar[0]!r}?")
        keys[key] = value.strip(" ,\n\r\t")
    for key in ("UHF", "IUHF"):
        if keys.get(key, "0").strip(".").upper() not in ("0", "F", "FALSE"):
            problem = f"these are unrestricted (UHF) integrals ({key} is set), with one set of orbitals per spin"
            raise ProblemError(source, None, problem, "Export the integrals of a restricted (RHF or ROHF) calculation.")
    norb = _count(keys, "NORB", None, source)
    if not 1 <= norb <= MAX_ORBITALS:
        raise ProblemError(
            source, None, f"NORB={norb}", f"Export integrals over 1 to {MAX_ORBITALS} orbitals, as of an active space."
        )
    # integrals begin on a new line
    lines = text.count("\n", 0, end.end()) + 1
    rest = text[end.end() :].split("\n", 1)[0].strip()
    if _NUMBER.match(rest):  # Fortran ignores all else on this line
        problem = f"{rest!r} follows the header's end"
        raise ProblemError(source, lines, problem, "Begin integrals on a new line.")
    return norb, _electrons(keys, norb, source), lines


def _count(keys: dict[str, str], key: str, default: int | None, source: str) -> int:
    if key not in keys:
        if default is None:
            raise ProblemError(source, None, f"the header does not state {key}", "Export the FCIDUMP file again.")
        return default
    if _WHOLE.fullmatch(word := keys[key]) is None:
        problem = f"{key}={word[:40]!r} is not a whole number of at most nine digits"
        raise ProblemError(source, None, problem, "Correct the header.")
    return int(word)


def _electrons(keys: dict[str, str], norb: int, source: str) -> tuple[int, int]:
    """Return (alpha, beta) electrons from NELEC and MS2, which is twice the spin projection: alpha minus beta."""
    nelec = _count(keys, "NELEC", None, source)
    ms2 = _count(keys, "MS2", 0, source)
    alpha, beta = (nelec + ms2) // 2, (nelec - ms2) // 2
    if (nelec + ms2) % 2 or min(nelec, alpha, beta) < 0:
        problem = f"NELEC={nelec} electrons can't have MS2={ms2} (alpha minus beta electrons)"
        raise ProblemError(source, None, problem, "Correct NELEC or MS2: both even or both odd, and |MS2| ≤ NELEC.")
    if max(alpha, beta) > norb:
        problem = f"NELEC={nelec}, MS2={ms2} put {max(alpha, beta)} electrons of one spin in NORB={norb} orbital(s)"
        remedy = "Correct NELEC, MS2 or NORB: an orbital holds one electron of each spin."
        raise ProblemError(source, None, problem, remedy)
    return alpha, beta


@dataclass(slots=True)
class _Integrals:
    """The integrals read so far, each under its canonical indices, with its value and line."""

    norb: int
    source: str
    entries: dict[tuple[int, ...], tuple[float, int]] = field(default_factory=dict)

    def add(self, number: int, line: str) -> None:
        """Add one line, `value p q r s`, with orbitals counted from 1 and 0 for an unused index."""
        # parse the value and the four indices
        if (found := _COMPLEX.match(line.lstrip())) is not None:
            if self._value(number, found[2]):
                raise self._error(number, "complex integrals are not supported", "Export real orbitals.")
            line = f"{found[1]} {line.lstrip()[found.end() :]}"
        words = line.split()
        if len(words) != 5 or not all(_INDEX.fullmatch(word) for word in words[1:]):
            excerpt = line.strip()[:80]
            problem = f"{excerpt!r} is not a number and four orbital indices; the text may have been truncated here"
            raise self._error(number, problem, "Export the FCIDUMP file again.")
        value = self._value(number, words[0])
        indices = tuple(int(word) for word in words[1:])
        if max(indices) > self.norb:
            problem = f"orbital {max(indices)} is above NORB={self.norb}"
            raise self._error(number, problem, "Correct the line, or NORB in the header.")
        # tell the kind of integral by its nonzero indices
        present = tuple(index > 0 for index in indices)
        if present == (True, False, False, False):
            return  # an orbital energy, which is not needed
        if present not in ((True,) * 4, (True, True, False, False), (False,) * 4):
            problem = f"the indices {' '.join(words[1:])} name no integral"
            raise self._error(number, problem, "Give four orbitals, two orbitals and 0 0, or 0 0 0 0.")
        # store it under canonical indices; equivalent entries must agree
        pairs = sorted([tuple(sorted(indices[:2])), tuple(sorted(indices[2:]))])
        key = (*pairs[0], *pairs[1])
        earlier, earlier_line = self.entries.setdefault(key, (value, number))
        if abs(earlier - value) > SYMMETRY_TOLERANCE:
            problem = f"{value!r} contradicts line {earlier_line}, which gives {earlier!r} for the same integral"
            raise self._error(number, problem, "Remove one: neither unrestricted ones nor physicists' order are taken.")

    def molecule(self, electrons: tuple[int, int]) -> Molecule:
        """Return the molecule once all lines are added; integrals absent from the text are zero."""
        stated = ""
        if (0, 0, 0, 0) not in self.entries:
            if not self._is_whole_lattice():
                problem = "there is no core energy (value 0 0 0 0): the text was truncated"
                raise self._error(None, problem, "Export the file again; of a lattice model, add the line 0.0 0 0 0 0.")
            stated = "core energy 0, as the text of a lattice model states none"
        else:
            self._check_end()
        one: NDArray[np.float64] = np.zeros((self.norb,) * 2)
        two: NDArray[np.float64] = np.zeros((self.norb,) * 4)
        core = 0.0
        for (p, q, r, s), (value, _) in self.entries.items():
            if r == 0:
                core = value
            elif p == 0:  # pairs are sorted, so the empty one comes first
                one[r - 1, s - 1] = one[s - 1, r - 1] = value
            else:
                for i, j, k, m in ((p, q, r, s), (r, s, p, q)):
                    for left, right in ((i, j), (j, i)):
                        two[left - 1, right - 1, k - 1, m - 1] = two[left - 1, right - 1, m - 1, k - 1] = value
        if not one.any():
            raise self._error(None, "there is no one-electron integral (value p q 0 0)", "Export the file again.")
        self._check_use()
        self._check_order(two)
        self._check_spins(one, two)
        return Molecule(one, two, electrons, core, self.source, stated=stated)

    def _check_use(self) -> None:
        """Raise ProblemError for orbitals without any integral."""
        used = {index for key in self.entries for index in key}
        if unused := [number for number in range(1, self.norb + 1) if number not in used]:
            what = f"no integral has orbital {', '.join(map(str, unused[:5]))}{'…' * (len(unused) > 5)}"
            raise self._error(None, f"{what} of NORB={self.norb}", "Correct NORB, or export the file again.")

    def _check_order(self, two: NDArray[np.float64]) -> None:
        """Raise ProblemError for two-electron integrals in physicists' order, ⟨pq|rs⟩ = (pr|qs).

        Real orbitals have 0 ≤ (pq|pq) ≤ (pp|qq) (C. C. J. Roothaan, Rev. Mod. Phys. 23 (1951) 69). In the other order
        the two are exchanged. A model, such as of sites that attract each other, may have neither.
        """
        coulomb, exchange = np.einsum("ppqq->pq", two), np.einsum("pqpq->pq", two)
        above = exchange - coulomb
        if above.max() <= SYMMETRY_TOLERANCE or min(above.min(), coulomb.min()) < -SYMMETRY_TOLERANCE:
            return
        p, q = (int(index) + 1 for index in np.unravel_index(np.argmax(above), above.shape))
        what = f"({p} {q}|{p} {q}) is above ({p} {p}|{q} {q}), so the integrals are in physicists' order ⟨pq|rs⟩"
        raise self._error(None, what, "Write them in chemists' order, (pq|rs), as FCIDUMP has them.")

    def _check_spins(self, one: NDArray[np.float64], two: NDArray[np.float64]) -> None:
        """Raise ProblemError for integrals over spin orbitals, alternating or one spin after the other.

        Then both spins have equal integrals, also (αα|ββ) = (αα|αα), and none couples one with the other.
        """
        if self.norb % 2:
            return
        numbers = np.arange(self.norb)
        for alpha, beta in ((numbers[::2], numbers[1::2]), np.split(numbers, 2)):
            same, other = np.ix_(alpha, alpha), np.ix_(beta, beta)
            blocks = [two[np.ix_(*spins)] for spins in ((alpha,) * 4, (beta,) * 4, (alpha, alpha, beta, beta))]
            is_equal = all(np.allclose(blocks[0], each, rtol=0, atol=SYMMETRY_TOLERANCE) for each in blocks[1:])
            is_apart = not one[np.ix_(alpha, beta)].any() and not two[np.ix_(alpha, beta)].any()
            if is_equal and is_apart and blocks[0].any() and np.allclose(one[same], one[other], rtol=0, atol=1e-9):
                what = f"the integrals are over {self.norb} spin orbitals, equal for both spins"
                raise self._error(None, what, f"Export those over {self.norb // 2} spatial orbitals.")

    def _is_whole_lattice(self) -> bool:
        """Return whether the integrals are a lattice model's, none of them missing.

        A molecule has exchange integrals (pq|pq), a lattice has none. All its sites repel electrons, and each has as
        many neighbours, which connect all: of a text that was cut, some have fewer.
        """
        sites = range(1, self.norb + 1)
        neighbours: dict[int, set[int]] = {p: set() for p in sites}
        occurrences = dict.fromkeys(sites, 0)
        for p, q, r, s in self.entries:
            if p and (p != q or r != s):
                return False
            if p:
                occurrences[p] += 1
                occurrences[r] += 1
            elif r != s:
                neighbours[r].add(s)
                neighbours[s].add(r)
        diagonal = [(0, 0, p, p) in self.entries for p in sites]
        reached, pending = {1}, [1]
        while pending:
            new = neighbours[pending.pop()] - reached
            reached |= new
            pending += new
        return (
            self.norb > 1
            and all((p, p, p, p) in self.entries for p in sites)
            and len(set(occurrences.values())) == 1
            and len({len(found) for found in neighbours.values()}) == 1
            and (all(diagonal) or not any(diagonal))
            and len(reached) == self.norb
        )

    def _check_end(self) -> None:
        """Raise ProblemError for a text that may have been cut although it has a core energy.

        By convention that is the last line. If it is not, the integrals must be there that no molecule lacks: h_pp, and
        the Coulomb and exchange integrals (pp|qq) and (pq|pq), which are positive.
        """
        core_line = self.entries[0, 0, 0, 0][1]
        if core_line >= max(line for _, line in self.entries.values()):
            return
        orbitals = range(1, self.norb + 1)
        pairs = [(p, q) for q in orbitals for p in range(1, q + 1)]
        expected = [(0, 0, p, p) for p in orbitals] + [key for p, q in pairs for key in ((p, p, q, q), (p, q, p, q))]
        if missing := [key for key in expected if key not in self.entries]:
            p, q, r, s = missing[-1]
            name = f"{r} {s} 0 0" if p == 0 else f"{p} {q} {r} {s}"
            problem = f"integrals follow the core energy, and that of {name} is not there: the text was truncated"
            raise self._error(core_line, problem, "Export the file again, with the core energy (0 0 0 0) at its end.")

    def _value(self, number: int, word: str) -> float:
        try:
            value = parse_decimal(re.sub("[dD]", "E", word))
        except ValueError:
            raise self._error(number, f"{word[:80]!r} is not a number", "Correct the line.") from None
        if not abs(value) <= MAX_INTEGRAL:
            raise self._error(number, f"the integral is {word[:80]}", f"Give at most {MAX_INTEGRAL:g}, in hartree.")
        return value

    def _error(self, line: int | None, problem: str, remedy: str) -> ProblemError:
        return ProblemError(self.source, line, problem, remedy)


def fcidump_text(molecule: Molecule, note: str = "") -> str:
    """Write a molecule as FCIDUMP text that `read_fcidump` reads back unchanged; integrals that are 0 are omitted.

    A `note` stands behind an empty line at the end, where other programs no longer read.

    >>> fcidump_text(Molecule(np.array([[-1.0]]), np.array([[[[0.5]]]]), (1, 1), 0.7, "one orbital"))
    '&FCI NORB=1,NELEC=2,MS2=0,\\n&END\\n0.5 1 1 1 1\\n-1.0 1 1 0 0\\n0.7 0 0 0 0\\n'
    """
    alpha, beta = molecule.electrons
    pairs = [(p, q) for p in range(molecule.norb) for q in range(p + 1)]
    lines = [f"&FCI NORB={molecule.norb},NELEC={alpha + beta},MS2={alpha - beta},", "&END"]
    for number, (p, q) in enumerate(pairs):
        for r, s in pairs[: number + 1]:
            if value := float(molecule.two_body[p, q, r, s]):
                lines.append(f"{value!r} {p + 1} {q + 1} {r + 1} {s + 1}")
    lines += [f"{value!r} {p + 1} {q + 1} 0 0" for p, q in pairs if (value := float(molecule.one_body[p, q]))]
    lines.append(f"{float(molecule.core_energy)!r} 0 0 0 0")
    return "\n".join([*lines, *(["", f"! {note}"] if note else []), ""])
