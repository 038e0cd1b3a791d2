"""Facts that a UCCSD circuit has shown: a minimum of the circuit, and no gain left for operators outside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulated_start import FLAT, MIN_REFERENCE_WEIGHT
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit
from hybridloop.algorithms.optimizers.base import Optimizer, Stop
from hybridloop.algorithms.optimizers.corrected_model import CorrectedModel
from hybridloop.algorithms.outcome import Fact
from hybridloop.algorithms.outside_operators import measure_outside_gain, predicted_outside_gain
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.rounds import RunRound

# hartree: half of chemical accuracy, as operators outside the circuit are known to second order only
OUTSIDE_TOLERANCE = 0.8e-3


def examine_circuit(
    problem: ElectronicProblem,
    ansatz: Ansatz,
    point: NDArray[np.float64],
    simulation: SimulatedCircuit,
    stop: Stop,
    optimizer: Optimizer,
    run_round: RunRound,
    *,
    shots: int,
) -> tuple[tuple[Fact, ...], int]:
    """Examine a UCCSD circuit at the point (n,) in radians where a search stopped; return facts and rounds measured.

    Operators outside the circuit are measured only where that can show something, with `shots` for each circuit: not
    where single and double excitations reach every state of the electrons (F. A. Evangelista, G. K.-L. Chan and
    G. E. Scuseria, J. Chem. Phys. 151 (2019) 244112), where the Hartree-Fock determinant has most of the weight, or
    where the simulation expects a gain already. Raises JobFailed where a circuit has no result.
    """
    local = _local_optimality(simulation, point, stop, optimizer)
    name = "no_operator_outside"
    if max_excitation_rank(problem.molecule) <= 2:
        reason = "single and double excitations reach every state of these electrons"
        return (local, Fact(name, shown=True, reason=reason)), 0
    if (weight := simulation.reference_weight(point)) >= MIN_REFERENCE_WEIGHT:
        reason = (
            f"Hartree-Fock has {weight:.0%} of the state's weight, so that triple excitations and above hardly count"
        )
        return (local, Fact(name, shown=True, reason=reason)), 0
    what = f"Hartree-Fock has {weight:.0%} of the weight"
    if not local.shown:
        return (local, Fact(name, shown=None, reason=f"{what}; not measured, as no minimum is shown")), 0
    if (expected := predicted_outside_gain(problem, simulation, point)) > OUTSIDE_TOLERANCE:
        reason = f"{what}, and the simulation expects a gain of {1e3 * expected:.1f} mHa; not measured"
        return (local, Fact(name, shown=False, reason=reason)), 0
    gain = measure_outside_gain(problem, ansatz, point, simulation, run_round, shots=shots, tolerance=OUTSIDE_TOLERANCE)
    reason = (
        f"{what}; {gain.operators} operators outside the circuit are expected to gain {1e3 * gain.gain:.2g} mHa, shot "
        f"noise may hide {1e3 * gain.noise:.2g} mHa ({gain.shots:.1e} shots)"
    )
    shown = max(gain.gain, gain.noise) <= OUTSIDE_TOLERANCE
    return (local, Fact(name, shown=shown, reason=reason)), gain.rounds


def max_excitation_rank(molecule: Molecule) -> int:
    """Return how many electrons can be excited at once from the Hartree-Fock determinant."""
    return sum(min(count, molecule.norb - count) for count in molecule.electrons)


def _local_optimality(
    simulation: SimulatedCircuit, point: NDArray[np.float64], stop: Stop, optimizer: Optimizer
) -> Fact:
    """Judge by the search's own end, and the softest curvature: measured, or simulated with other optimizers."""
    if isinstance(optimizer, CorrectedModel) and optimizer.softest is not None:
        softest = optimizer.softest
        curvature = f"softest curvature {softest.curvature:.2g} ± {softest.standard_error:.1g} hartree/rad² (measured)"
        return Fact("locally_optimal", stop.converged and softest.is_minimum, f"{stop.reason}, {curvature}")
    simulated = float(np.linalg.eigvalsh(simulation.hessian(point)).min(initial=np.inf))
    reason = f"{stop.reason}, softest curvature {simulated:.2g} hartree/rad² (simulated)"
    return Fact("locally_optimal", stop.converged and simulated > -FLAT, reason)
