"""Basis sets of a geometry by element, and the effective core potentials that they come with."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from hybridloop.errors import InputError

NO_POTENTIAL = "none"
_NAME = re.compile(r"[A-Za-z0-9+*(),_@ -]{1,60}")  # PySCF would also read a file
_BETWEEN = re.compile(r",(?![^(]*\))")  # a comma outside of brackets, which Pople's names have
_LARGEST_VALENCE = 1.0  # times the square of the nuclear charge: each s function with a core's has more (STO-3G: 2.1)
_WITHOUT_CORE = 2  # electrons of hydrogen and helium, which no potential replaces
_FORM = "Give PySCF's name, such as cc-pvdz, or one for each element: Na=lanl2dz,H=6-31g."


def by_element(text: str, elements: Collection[str], option: str) -> dict[str, str]:
    """Return the name for each element: one for all, or `Na=lanl2dz,H=6-31g`, where one alone is that of all others.

    Elements that the text leaves out are not in it. Raises InputError.
    """
    if "=" not in text:
        return dict.fromkeys(elements, _checked(text, option))
    found, others = dict[str, str](), None
    for part in _BETWEEN.split(text):
        element, sign, name = (word.strip() for word in part.partition("="))
        if not sign and others is None:
            others = _checked(element, option)
        elif element.capitalize() not in elements or element.capitalize() in found:
            there = ", ".join(sorted(elements))
            raise InputError(option, f"{part.strip()[:60]!r} is no element of {there}, or a second one", _FORM)
        else:
            found[element.capitalize()] = _checked(name, option)
    return {element: name for element in elements if (name := found.get(element, others)) is not None}


def _checked(name: str, option: str) -> str:
    """Return a name that is one. Raises InputError for what PySCF would read as a file."""
    name = name.strip()
    if _NAME.fullmatch(name) is None:
        what = "a basis set" if option == "basis" else "a potential"
        raise InputError(option, f"{name[:80]!r} is no name of {what}", _FORM)
    path = name.partition("@")[0]
    if any(map(os.path.isfile, (path, re.sub("(?i)^unc", "", path)))):  # PySCF takes `unc` for uncontracted
        problem = f"this folder has a file of that name, which PySCF would read in place of the basis set {name!r}"
        raise InputError(option, problem, "Rename the file, or change to another folder.")
    return name


def potentials_of(bases: Mapping[str, str], given: str | None) -> dict[str, str]:
    """Return the name of each element's effective core potential: the given ones, by default those of the basis sets.

    An element that is not in it has none. Raises InputError for a potential that there is not.
    """
    from pyscf.gto import basis
    from pyscf.gto.mole import bse_predefined_ecp

    own = {element: bse_predefined_ecp(name, [element]) for element, name in bases.items()}
    found = {element: str(name) for element, (name, atoms) in own.items() if atoms}
    if given is None:
        return found
    is_each, asked = "=" in given, by_element(given, bases.keys(), "ecp")
    chosen = {element: name for element, name in asked.items() if name.lower() != NO_POTENTIAL}
    missing = {element for element, name in chosen.items() if not _has_potential(basis, name, element)}
    if missing and (is_each or len(missing) == len(asked)):
        problem = f"PySCF has no potential {given!r} for {', '.join(sorted(missing))}"
        raise InputError("ecp", problem, "Leave it out, or give another.")
    kept = found.keys() - asked.keys() if is_each else ()
    return {**{element: found[element] for element in kept}, **{each: chosen[each] for each in chosen.keys() - missing}}


def _has_potential(basis: Any, name: str, element: str) -> bool:
    with warnings.catch_warnings(action="ignore"):  # that another library may have it: it is refused
        try:
            return bool(basis.load_ecp(name, element))
        except Exception:  # PySCF raises RuntimeError, KeyError, AttributeError and its own
            return False


def check_cores(molecule: Any) -> None:
    """Raise InputError for a PySCF Mole with the electrons of a core, and neither functions nor a potential for them.

    The largest exponent of an s function is 2 Z² or more where a basis set describes the core of nuclear charge Z.
    """
    from pyscf.gto import basis, charge
    from pyscf.gto.mole import bse_predefined_ecp

    for number in range(molecule.natm):
        symbol, pure = molecule.atom_symbol(number), molecule.atom_pure_symbol(number)
        nuclear = charge(pure)
        shells = molecule._basis.get(symbol) or molecule._basis.get(pure) or ()
        if molecule.atom_nelec_core(number) or nuclear <= _WITHOUT_CORE or not molecule.atom_charge(number):
            continue
        name = molecule.basis if isinstance(molecule.basis, str) else None
        exponents = [row[0] for shell in shells if shell[0] == 0 for row in shell[1:] if not isinstance(row, int)]
        is_valence = bool(exponents) and max(exponents) < _LARGEST_VALENCE * nuclear**2
        if is_valence or (name is not None and bse_predefined_ecp(name, [pure])[1]):
            what = f"the basis set {name or 'given'} is for {pure} with an effective core potential, and it has none"
            families = (name or "", (name or "").partition("-")[0])
            known = next((each for each in families if each and _has_potential(basis, each, pure)), None)
            such = f", such as {known} (--ecp {known})" if known else " by PySCF's name (--ecp)"
            raise InputError("ecp", what, f"Give one{such}, or another basis set.")


def potential_text(molecule: Any) -> str:
    """Return which potentials a PySCF Mole has, such as "lanl2dz on Na (10 electrons)"; empty for none."""
    replaced = {*molecule._ecp, *getattr(molecule, "_pseudo", ())}  # also of hydrogen, where no electron is
    cores = {
        molecule.atom_pure_symbol(number): int(molecule.atom_nelec_core(number))
        for number in range(molecule.natm)
        if replaced & {molecule.atom_symbol(number), molecule.atom_pure_symbol(number)}
    }
    given = molecule.ecp or getattr(molecule, "pseudo", None)
    names = dict.fromkeys(cores, given) if isinstance(given, str) else dict(given or {})
    return ", ".join(
        f"{name if isinstance(name := names.get(element), str) else 'a potential of its own'} on {element} "
        f"({core} electrons)"
        for element, core in cores.items()
    )


def basis_text(basis: Any) -> str:
    """Return the name of a PySCF Mole's basis sets, as the option has it: one, or one for each element."""
    if isinstance(basis, str):
        return basis
    if isinstance(basis, Mapping) and basis and all(isinstance(name, str) for name in basis.values()):
        names = {str(name) for name in basis.values()}
        return names.pop() if len(names) == 1 else ",".join(f"{element}={name}" for element, name in basis.items())
    return "a basis set of its own"
