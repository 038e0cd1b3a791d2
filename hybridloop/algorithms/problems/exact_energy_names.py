"""Names of the exact and the correlation energy in texts: those of a molecule, or of a part of it."""

from __future__ import annotations

from collections.abc import Iterable

OF_SPACE = "the exact and the correlation energy are those of this space"  # ends the reason of a part's orbitals
ACTIVE_SPACE = "active space"


def name_of_exact_energy(notes: Iterable[str]) -> str:
    """Return the name of the exact energy, by the reasons of orbitals among a run's notes."""
    return f"exact energy of the {ACTIVE_SPACE}" if is_of_space(notes) else "exact energy"


def name_of_correlation_energy(notes: Iterable[str]) -> str:
    """Return the name of the correlation energy, as `name_of_exact_energy` does."""
    return f"correlation energy of the {ACTIVE_SPACE}" if is_of_space(notes) else "correlation energy"


def is_of_space(notes: Iterable[str]) -> bool:
    """Return whether the notes say that only a part of a molecule's electrons and orbitals is computed."""
    return any(OF_SPACE in note for note in notes)
