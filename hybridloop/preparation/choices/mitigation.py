"""Error mitigation of a run: the methods that its settings name, where problem, circuit and target allow them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.basis import to_basis, two_qubit_gates
from hybridloop.algorithms.estimation.observable import Observable
from hybridloop.algorithms.estimation.symmetry import (
    Symmetry,
    electrons_kept_by,
    electrons_of_each_spin,
    ones_kept_by,
)
from hybridloop.algorithms.mitigation.mitigation import Mitigation
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.compiler.circuit_structure import extract_structure
from hybridloop.compiler.point_gate import has_unbound_program
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.preparation.checks import BOTH, check_mitigation
from hybridloop.preparation.problem import EnergyProblem
from hybridloop.runtime.leaves import leaf
from hybridloop.settings import AnsatzName, MitigationName
from hybridloop.targets import Target
from hybridloop.targets.error_rates import error_rates

if TYPE_CHECKING:
    from hybridloop.algorithms.mitigation import folding, readout
    from hybridloop.algorithms.mitigation import forecast as forecasts
    from hybridloop.algorithms.mitigation import zne as extrapolating
    from hybridloop.compiler import qir_template
else:
    folding = leaf("hybridloop.algorithms.mitigation.folding")
    forecasts = leaf("hybridloop.algorithms.mitigation.forecast")
    readout = leaf("hybridloop.algorithms.mitigation.readout")
    extrapolating = leaf("hybridloop.algorithms.mitigation.zne")
    qir_template = leaf("hybridloop.compiler.qir_template")

_MODELS = {MitigationName.ZNE_LINEAR: "LINEAR", MitigationName.ZNE_EXPONENTIAL: "EXPONENTIAL"}


def mitigation_of(
    settings: VqeSettings, problem: EnergyProblem, ansatz: Ansatz, measured: Observable, target: Target
) -> Mitigation:
    """Return the mitigation of the settings. Raises InputError, ProgramError where one of them can't work."""
    methods = settings.mitigation or ()
    symmetries = symmetries_of(problem, ansatz) if discards_by(settings) else ()
    models = [model for name, model in _MODELS.items() if name in methods]
    zne = extrapolating.ZeroNoiseExtrapolation(extrapolating.ZneModel[models[0]]) if models else None
    twirl = MitigationName.TWIRL in methods
    if zne is not None or twirl:
        check_mitigation(target, settings)
        _check_scales((1,) if zne is None else zne.scales, measured, ansatz, target)
    shots = readout.CALIBRATION_SHOTS if MitigationName.READOUT in methods else 0
    if shots and any(group.ones is not None for group in measured.groups):
        qubits, most = measured.num_qubits, readout.MAX_PROJECTED_BITS
        if qubits > most:
            what = f"readout errors of pairs are corrected on {most} qubits at most, and these are {qubits}"
            raise InputError("mitigation", what, "Leave readout out, or give uccsd.")
    return Mitigation(shots, symmetries, zne, twirl)


def symmetries_of(problem: EnergyProblem, ansatz: Ansatz) -> tuple[Symmetry, ...]:
    """Return what a circuit's outcomes have at all angles: its electrons of each spin, its number of ones, or parities.

    Those of a circuit of pairs are known to its groups.
    """
    if ansatz.name == AnsatzName.PUCCD or has_unbound_program(ansatz.circuit):
        return ()
    if not isinstance(problem, ElectronicProblem):
        return ones_kept_by(ansatz.circuit)
    if ansatz.conserves_electrons:
        return electrons_of_each_spin(problem.encoding)
    return electrons_kept_by(ansatz.circuit, problem.encoding)


def shifts(
    problem: EnergyProblem, ansatz: Ansatz, measured: Observable, value: float, target: Target, settings: VqeSettings
) -> dict[str, float]:
    """Return the shift that a target's published rates are expected to give a value, by mitigation ("": by default)."""
    if has_unbound_program(ansatz.circuit) or not measured.groups:
        return {}
    rates, compiled = error_rates(target, settings.options), to_basis(ansatz.circuit)
    groups = list[forecasts.NoisyGroup]()
    entangling = two_qubit_gates(compiled)
    for group in measured.groups:
        two = entangling + group.two_qubit_gates
        one = compiled.size() - entangling + group.one_qubit_gates
        sound = (1.0 - rates.two_qubit) ** two * (1.0 - rates.one_qubit) ** one
        groups.append(forecasts.NoisyGroup(group, sound, (1.0 - rates.readout) ** measured.num_qubits))
    forecast = forecasts.NoiseForecast(measured, groups, symmetries_of(problem, ansatz), value)
    found = {MitigationName.NONE.value: forecast.shift(selects=False), "": forecast.shift()}
    found[MitigationName.READOUT.value] = forecast.shift(reads=True)
    if target.keeps_gates and entangling:
        found[BOTH] = forecast.shift(reads=True, extrapolates=True)
    return found


def discards_by(settings: VqeSettings) -> bool:
    """Return whether outcomes that a circuit can't have are discarded."""
    return MitigationName.NONE not in (settings.mitigation or ())


def counted_by(settings: VqeSettings, ansatz: Ansatz, mitigation: Mitigation, *, has_noise: bool) -> str:
    """Return what the outcomes of a run have, if those with another one are counted; else nothing.

    Those of inverted readout errors are not: the inverse takes part of each outcome away.
    """
    if mitigation.readout_shots or not discards_by(settings):
        return ""
    if ansatz.name == AnsatzName.PUCCD:
        return "number of electron pairs"
    if not mitigation.symmetries or not has_noise:
        return ""
    if len(mitigation.symmetries) > 1:
        return "number of electrons of a spin"
    return "parity of ones" if len(mitigation.symmetries[0].parities) == 1 else "number of ones"


def _check_scales(scales: tuple[int, ...], energy: Observable, ansatz: Ansatz, target: Target) -> None:
    """Compile a group's circuit at each scale as it is submitted. Raises InputError, ProgramError if one is not met."""
    if has_unbound_program(ansatz.circuit):
        problem = "the circuit's gates change with its angles, and zne and twirl need gates that are known before"
        raise InputError("mitigation", problem, "Leave them out; readout corrects the errors of measurements.")
    if not energy.groups:  # nothing is measured
        return
    circuit = to_basis(energy.groups[0].measurement_circuit(ansatz.circuit))
    if not two_qubit_gates(circuit):
        problem = "the circuit has no gate on two qubits, whose noise zne and twirl are for"
        raise InputError("mitigation", problem, "Leave them out; readout corrects the errors of measurements.")
    paulis = folding.draw_paulis(circuit, np.random.default_rng(0))
    for scale in scales:
        qir_template.placeholder_qir(
            extract_structure(folding.fold_gates(circuit, scale, paulis, 0))[0], target.profile
        )
