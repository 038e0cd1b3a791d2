"""Versions of the rules that choose start, groups and optimizer where the settings leave them open.

A run keeps those it was started with, so that its resume asks for the same points. What each version brought:

2. exact energies of the molecule's own spin; an unstable Hartree-Fock reference is far from the minimum
3. simulated UCCSD and Pauli circuits; complex rotations; examined results; tied excitations and curvatures in ADAPT-VQE
4. simulated VQD and QAOA; spin of VQD's levels; zero-noise extrapolation by local folding; warnings of unseen noise
5. groups by their cost on the target; shares by a perturbed reference; SQD by determinants
6. rotated orbitals; reweighted shares; examined stops of ADAPT-VQE; shares by VQD's levels; SQD's checked circuits
7. fewer rotated groups; ADAPT-VQE in groups by cost; SQD's ranked determinants; natural orbitals by pivots
"""

from __future__ import annotations

from collections.abc import Mapping

SEARCH = "search rules"  # key among a run's recorded versions
SEARCH_RULES = 7
GROUPINGS = "measurement groups"  # key among them: how terms were grouped, where the settings left it open


def search_rules(recorded: Mapping[str, str]) -> int:
    """Return the search rules of a run by its recorded versions, so that a resumed run asks for the same points."""
    return int(recorded.get(SEARCH, "1"))


def recorded_groupings(recorded: Mapping[str, str]) -> tuple[str, ...]:
    """Return the groupings that were chosen for a run, one for each point of a scan; none if they were not recorded.

    The choice depends on tables of prices and error rates, which a later version may have brought up to date.
    """
    return tuple(recorded[GROUPINGS].split(", ")) if GROUPINGS in recorded else ()
