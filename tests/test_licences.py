"""Licences of all that an installation brings fit Apache-2.0."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

FITTING = re.compile(r"\b(MIT|ISCL?|0?BSD|Apache|PSF|Python Software Foundation|MPL|Mozilla|Zlib|CC0|CNRI)\b")
REASONS = {
    "psycopg": "LGPL-3.0, of the extra postgres: imported unchanged",
    "psycopg-binary": "LGPL-3.0, of the extra postgres: imported unchanged",
    "text-unidecode": "the Artistic License, of the two that it offers",
}


def test_the_licence_of_every_dependency_fits() -> None:
    found = _installed("hybridloop", frozenset({"postgres", "pyscf"}), {})
    assert len(found) > 100
    unfit = {name: licence for name, each in found.items() if not _fits(licence := _licence(each))}
    assert unfit.keys() == REASONS.keys() & found.keys(), unfit


def _fits(licence: str) -> bool:
    return "GPL" not in licence and bool(FITTING.search(licence))


def _licence(found: Distribution) -> str:
    """Return a distribution's licence: its expression, else its classifiers, else the first line of its text."""
    metadata = found.metadata
    if expressions := metadata.get_all("License-Expression"):
        return str(expressions[0])
    classifiers = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License")]
    return " ".join(classifiers) or " ".join(metadata.get_all("License") or []).strip().partition("\n")[0]


def _installed(name: str, extras: frozenset[str], found: dict[str, Distribution]) -> dict[str, Distribution]:
    """Return the installed distributions that a distribution and its extras need, by name."""
    try:
        here = distribution(name)
    except PackageNotFoundError:  # of another platform
        return found
    found[here.name.lower()] = here
    for requirement in map(Requirement, here.requires or []):
        marker = requirement.marker
        is_needed = marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})
        if is_needed and requirement.name.lower() not in found:
            _installed(requirement.name, frozenset(requirement.extras), found)
    return found
