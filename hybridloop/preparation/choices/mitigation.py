"""Error mitigation of a run: the methods that its settings name, where problem, circuit and target allow them."""

from __future__ import annotations

import numpy as np

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.basis import to_basis, two_qubit_gates
from hybridloop.algorithms.estimation.observable import Observable
from hybridloop.algorithms.mitigation.mitigation import Mitigation
from hybridloop.algorithms.mitigation.readout import CALIBRATION_SHOTS, Symmetry, spin_parity_symmetries
from hybridloop.algorithms.mitigation.zne import ZeroNoiseExtrapolation, ZneModel, draw_paulis, fold_gates
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.compiler.circuit_structure import extract_structure
from hybridloop.compiler.point_gate import has_unbound_program
from hybridloop.compiler.qir_template import placeholder_qir
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.preparation.checks import check_mitigation
from hybridloop.preparation.problem import EnergyProblem
from hybridloop.settings import MitigationName
from hybridloop.targets import Target

MAX_PROJECTED_QUBITS = 12  # a projector on a number of ones has 2^qubits terms
_MODELS = {
    MitigationName.ZNE_LINEAR: ZneModel.LINEAR,
    MitigationName.ZNE_EXPONENTIAL: ZneModel.EXPONENTIAL,
}


def mitigation_of(
    settings: VqeSettings, problem: EnergyProblem, ansatz: Ansatz, measured: Observable, target: Target
) -> Mitigation:
    """Return the mitigation of the settings. Raises InputError, ProgramError where one of them can't work."""
    methods = settings.mitigation or ()
    symmetries = _symmetries(settings, problem) if MitigationName.SYMMETRY in methods else ()
    extrapolations = [ZeroNoiseExtrapolation(model) for name, model in _MODELS.items() if name in methods]
    for zne in extrapolations:  # one at most
        check_mitigation(target, settings)
        _check_scales(zne, measured, ansatz, target)
    shots = CALIBRATION_SHOTS if MitigationName.READOUT in methods else 0
    qubits = measured.num_qubits
    if shots and qubits > MAX_PROJECTED_QUBITS and any(group.ones is not None for group in measured.groups):
        what = f"readout errors of pairs are corrected on {MAX_PROJECTED_QUBITS} qubits at most, and these are {qubits}"
        raise InputError("mitigation", what, "Leave readout out, or give uccsd.")
    return Mitigation(shots, symmetries, extrapolations[0] if extrapolations else None)


def _symmetries(settings: VqeSettings, problem: EnergyProblem) -> tuple[Symmetry, ...]:
    if not isinstance(problem, ElectronicProblem):
        raise InputError("mitigation", "a Pauli sum has no electrons to select by", "Leave symmetry out.")
    if not (symmetries := spin_parity_symmetries(problem)):
        what = f"under {settings.mapping.value} no qubits hold a spin's parity of electrons"
        raise InputError("mitigation", what, "Leave symmetry out, or choose jordan-wigner.")
    return symmetries


def _check_scales(zne: ZeroNoiseExtrapolation, energy: Observable, ansatz: Ansatz, target: Target) -> None:
    """Compile a group's circuit at each scale as it is submitted. Raises InputError, ProgramError if one is not met."""
    if has_unbound_program(ansatz.circuit):
        problem = "the circuit's gates change with its angles, and zero-noise extrapolation repeats gates that it knows"
        raise InputError("mitigation", problem, "Leave zne out; readout corrects the errors of measurements.")
    circuit = to_basis(energy.groups[0].measurement_circuit(ansatz.circuit))
    if not two_qubit_gates(circuit):
        problem = "the circuit has no gate on two qubits, whose noise zero-noise extrapolation amplifies"
        raise InputError("mitigation", problem, "Leave zne out; readout corrects the errors of measurements.")
    paulis = draw_paulis(circuit, np.random.default_rng(0))
    for scale in zne.scales:
        placeholder_qir(extract_structure(fold_gates(circuit, scale, paulis, 0))[0], target.profile)
