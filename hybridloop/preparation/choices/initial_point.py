"""Initial point of UCCSD: as given in the settings, or chosen, with the reason of the choice."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy
from numpy.typing import ArrayLike

from hybridloop.algorithms.circuits.ansatz import Ansatz, validate_initial_point
from hybridloop.algorithms.circuits.simulated_start import SEARCH, OnGradient, SimulatedStart, simulated_start
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit
from hybridloop.algorithms.circuits.statevector import MAX_OPERATIONS
from hybridloop.algorithms.circuits.uccsd import mirrored_angles, symmetry_allowed_excitations, uccsd
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.errors import InputError
from hybridloop.preparation.problem import SAME_ENERGY, EnergyProblem
from hybridloop.runtime.json_cache import SIMULATIONS, keep, read_cached
from hybridloop.runtime.leaves import leaf
from hybridloop.runtime.run_events import SIMULATION_RUNNING, report
from hybridloop.runtime.stages import announce
from hybridloop.settings import StartName

if TYPE_CHECKING:
    from hybridloop.algorithms.circuits import initial_point as newton_points
else:
    newton_points = leaf("hybridloop.algorithms.circuits.initial_point")

TRUSTED = 0.1  # of the gain: if two models differ by less, the terms that both neglect are smaller still
MIN_KEPT = 100_000_000  # operations: half a second
FIRST_SHOWN_S, SHOWN_EVERY_S = 1.0, 5.0

InitialPoint = StartName | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """An ansatz at its initial point, and the reason for a point that was chosen here."""

    ansatz: Ansatz
    reason: str | None = None


def choose_start(
    resolved: EnergyProblem,
    initial_point: InitialPoint,
    seed: int,
    fewest: int | None = None,
) -> Start:
    """Choose the initial point of UCCSD.

    A small circuit with at least the `fewest` angles starts from a minimum of its classical simulation; with None, none
    is simulated.
    Raises InputError where there is no such initial point, and for a Pauli sum.
    """
    generator = np.random.default_rng(seed)
    if initial_point is StartName.AUTO and not isinstance(resolved, PauliProblem):
        simulated = None if fewest is None else _simulated_start(resolved, fewest)
        return simulated or _start_near_hartree_fock(resolved)
    return Start(_start_uccsd(resolved, initial_point, generator))


def _start_uccsd(resolved: EnergyProblem, initial_point: InitialPoint, generator: np.random.Generator) -> Ansatz:
    if isinstance(resolved, PauliProblem):
        problem = f"uccsd starts from a molecule's Hartree-Fock state, and {resolved.source} is a Pauli sum"
        raise InputError("ansatz", problem, "Leave the ansatz out, or give another.")
    ansatz = uccsd(resolved)
    match initial_point:
        case StartName.HF:
            return ansatz
        case StartName.RANDOM:
            return _at(ansatz, generator.uniform(-math.pi, math.pi, ansatz.num_parameters))
        case StartName.NEWTON:
            newton = newton_points.newton_start(resolved, symmetry_allowed_excitations(resolved))
            if newton.gain <= 0.0:
                problem = f"the model at Hartree-Fock of {resolved.molecule.source} has no minimum nearby"
                raise InputError("initial_point", problem, "Give hf, or leave it out.")
            return replace(_at(ansatz, newton.point), is_near=True)
    if len(initial_point) < ansatz.num_parameters:  # those of a result, whose mirrored excitations share angles
        tied = uccsd(resolved, is_tied=True)
        ansatz = tied if len(initial_point) == tied.num_parameters else ansatz
    return _at(ansatz, initial_point)


def _simulated_start(problem: ElectronicProblem, fewest: int) -> Start | None:
    """Return the start at a minimum of the simulated circuit; None where that takes too many operations."""
    ansatz = uccsd(problem, is_tied=True)
    selected = symmetry_allowed_excitations(problem)
    simulation = SimulatedCircuit.of(problem, selected, mirrored_angles(problem, selected))
    if simulation is None:
        return None
    if ansatz.num_parameters < fewest:
        return Start(ansatz)
    molecule = problem.molecule
    integrals = molecule.one_body.tolist(), molecule.two_body.tolist(), molecule.core_energy, molecule.electrons
    start = find_simulated((integrals, selected), partial(simulated_start, simulation), ansatz.num_parameters)
    if start is None:
        return None
    ansatz = replace(_at(ansatz, start.point), is_near=True, model=simulation)
    others = f", the lowest of {start.searches} minima" if start.spread > SAME_ENERGY else ""
    reason = f"a minimum of the circuit's classical simulation, {1e3 * start.gain:.1f} mHa below Hartree-Fock{others}"
    return Start(ansatz, f"{reason} ({start.operations:.1e} operations)")


def find_simulated(
    request: object, search: Callable[[OnGradient], SimulatedStart | None], angles: int
) -> SimulatedStart | None:
    """Return the start of so many angles that a search finds, or what an earlier process kept of the same request.

    The `repr` of a request, in plain values, has all that the result depends on beside the versions of the numerics.
    """
    versions = version("hybridloop"), np.__version__, scipy.__version__, SEARCH
    key = hashlib.sha256(repr((request, versions)).encode()).hexdigest()
    if (kept := read_cached(SIMULATIONS, key)) is not None:
        with suppress(InputError, TypeError, ValueError, KeyError):  # of another program
            return _read_start(kept, angles)
    progress = _Progress()
    start = search(progress)
    if progress.operations >= MIN_KEPT:
        keep(SIMULATIONS, key, {"start": None if start is None else asdict(start) | {"point": start.point.tolist()}})
    return start


def _read_start(kept: Any, angles: int) -> SimulatedStart | None:
    """Read a start that `find_simulated` kept; for another value, raise one of several errors."""
    if (start := kept["start"]) is None:
        return None
    point = validate_initial_point(start["point"], angles)
    numbers = float(start["gain"]), int(start["searches"]), float(start["spread"]), int(start["operations"])
    return SimulatedStart(point, *numbers)


class _Progress:
    """Announcement of a simulation that takes more than a second, and again every few seconds."""

    def __init__(self) -> None:
        self.operations = 0
        self._next_at = time.monotonic() + FIRST_SHOWN_S

    def __call__(self, searches: int, operations: int) -> None:
        self.operations = operations
        if (now := time.monotonic()) < self._next_at:
            return
        self._next_at = now + SHOWN_EVERY_S
        share = operations / MAX_OPERATIONS
        text = (
            f"simulating the circuit to find initial angles: search {searches + 1}, {share:.0%} of the most operations"
        )
        announce(text)
        report(SIMULATION_RUNNING, text, {"searches": searches, "operations": operations})


def _start_near_hartree_fock(problem: ElectronicProblem) -> Start:
    """Choose the Newton start if its models agree, else Hartree-Fock; one angle needs no choice, its fit is global.

    Mirrored excitations share an angle, so that a round has fewer points.
    Where the models disagree the minimum is far from Hartree-Fock.
    """
    ansatz, selected = uccsd(problem, is_tied=True), symmetry_allowed_excitations(problem)
    if ansatz.num_parameters == 1:
        return Start(ansatz)
    newton = newton_points.newton_start(problem, selected)
    if newton.gain > 0.0 and newton.gain_uncertainty <= TRUSTED * newton.gain:
        point = newton.point[np.unique(mirrored_angles(problem, selected), return_index=True)[1]]
        return Start(replace(_at(ansatz, point), is_near=True), f"Newton start: {_expected_gain(newton)}")
    reason = "Hartree-Fock: the model of a Newton start has no minimum nearby"
    if newton.gain > 0.0:
        reason = f"Hartree-Fock: a Newton start has {_expected_gain(newton)}"
    return Start(ansatz, reason)


def _expected_gain(newton: newton_points.NewtonStart) -> str:
    """Return the gain with its uncertainty to one digit, or both to one decimal, in mHa."""
    gain, uncertainty = 1e3 * newton.gain, 1e3 * newton.gain_uncertainty
    decimals = max(0, -math.floor(math.log10(uncertainty))) if uncertainty > 0.0 else 1
    return f"expected gain {gain:.{decimals}f} ± {uncertainty:.{decimals}f} mHa"


def _at(ansatz: Ansatz, point: ArrayLike) -> Ansatz:
    return replace(ansatz, initial_point=np.array(point, dtype=float))
