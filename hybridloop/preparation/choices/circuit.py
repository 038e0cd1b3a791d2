"""Circuit of a search: UCCSD for a molecule, else a circuit of layers or a custom one, with its initial point."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hybridloop.algorithms.choices import Rotations
from hybridloop.algorithms.circuits.ansatz import (
    Ansatz,
    draw_initial_point,
    hardware_efficient,
    hardware_efficient_reference,
)
from hybridloop.algorithms.circuits.simulated_start import simulated_start_near
from hybridloop.algorithms.circuits.statevector import StatevectorModel
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError, ProblemError
from hybridloop.preparation.choices.initial_point import InitialPoint, Start, choose_start, find_simulated
from hybridloop.preparation.problem import EnergyProblem, num_qubits_of
from hybridloop.runtime.leaves import leaf
from hybridloop.settings import AnsatzName, EntanglementName, OptimizerName, SearchName, StartName

if TYPE_CHECKING:
    from hybridloop.algorithms.circuits import custom, hamiltonian_variational
    from hybridloop.compiler.languages import ansatz as ansatz_languages
    from hybridloop.compiler.languages import qsharp_ansatz
else:
    custom = leaf("hybridloop.algorithms.circuits.custom")
    hamiltonian_variational = leaf("hybridloop.algorithms.circuits.hamiltonian_variational")
    ansatz_languages = leaf("hybridloop.compiler.languages.ansatz")
    qsharp_ansatz = leaf("hybridloop.compiler.languages.qsharp_ansatz")

FEW_QUBITS = 2  # any state of them is within one layer of complex rotations, in angles few enough for global fits


def choose_circuit(
    resolved: EnergyProblem, settings: VqeSettings, seed: int, *, is_free: bool = True
) -> tuple[Start, str | None]:
    """Choose the ansatz at its initial point; the second value is the reason for one that was chosen among several.

    Where the settings leave the search open, angles are simulated if that is affordable: their test takes no more than
    the final measurement of a search. Where jobs are free (`is_free`), a single angle is measured: its fit is global.
    Raises InputError for settings that the ansatz does not have, and for a simulated search without a simulation.
    """
    name: AnsatzName | str = settings.ansatz
    reason: str | None = None
    if name is AnsatzName.AUTO:
        name, reason = _ansatz_of(resolved)
    check_shape(name, settings)
    fewest = fewest_simulated(settings, is_free=is_free, name=name, resolved=resolved)
    if name == AnsatzName.UCCSD:
        began = choose_start(resolved, settings.initial_point, seed, fewest)
        return simulated_or_refused(began, settings.search), None
    start = _Start(settings.initial_point, np.random.default_rng(seed))
    if name == AnsatzName.HAMILTONIAN_VARIATIONAL:
        ansatz = _hamiltonian_variational(resolved, settings.layers, start)
    elif name == AnsatzName.HARDWARE_EFFICIENT:
        ansatz = _hardware_efficient(resolved, settings, start)
    else:
        ansatz = _custom(name, num_qubits_of(resolved), start)
    began = Start(ansatz) if fewest is None else _simulated(ansatz, resolved, fewest)
    return simulated_or_refused(began, settings.search), None if reason is None else f"{ansatz.name}, as {reason}"


_MEASURE = "Leave search out, or give search=measured."


def fewest_simulated(
    settings: VqeSettings,
    *,
    is_free: bool,
    name: AnsatzName | str = AnsatzName.UCCSD,
    resolved: EnergyProblem | None = None,
) -> int | None:
    """Return the fewest angles of a circuit that is simulated; None where a setting excludes a simulation.

    They are two where jobs are free and the search is left open. Raises InputError where the settings exclude a
    simulation and ask for one.
    """
    excluded = None
    if settings.optimizer is not OptimizerName.AUTO:
        excluded = "simulated angles need no optimizer, and one is given"
    elif settings.initial_point is not StartName.AUTO:
        excluded = "a simulated search chooses the initial point, and one is given"
    elif not isinstance(name, AnsatzName):
        excluded = (
            "a Q# operation is not simulated: its gates change with its angles"
            if qsharp_ansatz.is_qsharp_ansatz(name)
            else None
        )
    elif name != AnsatzName.UCCSD and not isinstance(resolved, PauliProblem):
        excluded = f"of our circuits for a molecule only uccsd, puccd and grown are simulated, not {name.value}"
    if excluded is not None and settings.search is SearchName.SIMULATED:
        raise InputError("search", excluded, _MEASURE)
    if excluded is not None or settings.search is SearchName.MEASURED:
        return None
    return 2 if settings.search is SearchName.AUTO and is_free else 1


def simulated_or_refused(start: Start, search: SearchName) -> Start:
    """Return the start. Raises InputError for a circuit that the settings want simulated and that is too large."""
    if search is SearchName.SIMULATED and start.ansatz.model is None:
        raise InputError("search", "the circuit is too large for a classical simulation", _MEASURE)
    return start


def _simulated(ansatz: Ansatz, resolved: EnergyProblem, fewest: int) -> Start:
    """Return the start at the lowest minimum of the circuit's simulation; its own if that is not affordable."""
    circuit, hamiltonian = ansatz.circuit, resolved.hamiltonian
    model = StatevectorModel.of(circuit, hamiltonian)
    if model is None or ansatz.num_parameters < fewest:
        return Start(ansatz)
    gates = [
        (gate.name, [circuit.find_bit(qubit).index for qubit in gate.qubits], [str(angle) for angle in gate.params])
        for gate in circuit.data
    ]
    terms = list(zip(hamiltonian.paulis.to_labels(), hamiltonian.coeffs.tolist(), strict=True))
    minimize = partial(simulated_start_near, model, ansatz.initial_point)
    start = find_simulated((gates, terms, ansatz.initial_point.tolist()), minimize, ansatz.num_parameters)
    if start is None:
        return Start(ansatz)
    minima = f"the lowest of {start.searches} minima of the circuit's classical simulation"
    reason = f"{minima} ({start.operations:.1e} operations)"
    return Start(replace(ansatz, initial_point=start.point, is_near=True, is_ramp=False, model=model), reason)


def _ansatz_of(resolved: EnergyProblem) -> tuple[AnsatzName, str | None]:
    """Choose an ansatz for a problem, for a Pauli sum with the reason as a clause: see the guide, "Pauli sums"."""
    if not isinstance(resolved, PauliProblem):
        return AnsatzName.UCCSD, None
    hamiltonian = resolved.hamiltonian
    if resolved.num_qubits <= FEW_QUBITS:
        return AnsatzName.HARDWARE_EFFICIENT, f"it makes any state of {FEW_QUBITS} qubits or fewer"
    if not hamiltonian_variational.is_spin_model(hamiltonian):
        return AnsatzName.HARDWARE_EFFICIENT, "a term acts on three qubits or more"
    parts = hamiltonian_variational.commuting_parts(hamiltonian)
    if len(parts) < 2:
        return AnsatzName.HARDWARE_EFFICIENT, "all terms commute"
    return AnsatzName.HAMILTONIAN_VARIATIONAL, "every term acts on one or two qubits"


_REMEDY = "Leave it out, or choose the hardware-efficient ansatz."


def check_shape(name: AnsatzName | str, settings: VqeSettings) -> None:
    """Raise InputError for settings of layers that the ansatz does not have."""
    if name != AnsatzName.HARDWARE_EFFICIENT:
        for field in ("rotations", "entanglement"):
            if getattr(settings, field) is not None:
                raise InputError(field, "only hardware-efficient circuits have it", _REMEDY)
    if settings.layers is not None and name not in (
        AnsatzName.HARDWARE_EFFICIENT,
        AnsatzName.HAMILTONIAN_VARIATIONAL,
    ):
        problem = "only hardware-efficient and hamiltonian-variational circuits have it"
        raise InputError("layers", problem, _REMEDY)


@dataclass(frozen=True, slots=True)
class _Start:
    """The initial point of the settings, and the generator for a random one."""

    given: InitialPoint
    generator: np.random.Generator

    @property
    def angles(self) -> np.random.Generator | tuple[float, ...]:
        """The angles given, or the generator. Raises InputError for the Newton start."""
        if self.given is StartName.NEWTON:
            raise InputError("initial_point", "only uccsd has a Newton start", "Give uccsd, or another initial point.")
        return self.generator if isinstance(self.given, StartName) else self.given


def _hamiltonian_variational(resolved: EnergyProblem, layers: int | None, start: _Start) -> Ansatz:
    if not isinstance(resolved, PauliProblem):
        problem = f"hamiltonian-variational takes a Pauli sum, and {resolved.molecule.source} is a molecule"
        raise InputError("ansatz", problem, "Give uccsd, or leave the ansatz out.")
    if start.given is StartName.HF:
        raise _no_hartree_fock()
    # a transverse-field Ising chain with open ends needs one for each site; a ring and Heisenberg chains need half
    ansatz = hamiltonian_variational.hamiltonian_variational(
        resolved.hamiltonian, resolved.num_qubits if layers is None else layers
    )
    angles = start.angles
    if start.given is StartName.AUTO:
        return ansatz
    return replace(ansatz, initial_point=draw_initial_point(angles, ansatz.num_parameters), is_ramp=False)


def _hardware_efficient(resolved: EnergyProblem, settings: VqeSettings, start: _Start) -> Ansatz:
    qubits, is_sum = num_qubits_of(resolved), isinstance(resolved, PauliProblem)
    layers = (qubits - 1 if is_sum else 1) if settings.layers is None else settings.layers
    rotations = settings.rotations or (
        Rotations.REAL if hamiltonian_variational.is_real(resolved.hamiltonian) else Rotations.COMPLEX
    )
    entanglement = settings.entanglement or EntanglementName.LINEAR
    if start.given is not StartName.HF:
        return hardware_efficient(qubits, start.angles, reps=layers, rotations=rotations, entanglement=entanglement)
    if isinstance(resolved, PauliProblem):
        raise _no_hartree_fock()
    point = hardware_efficient_reference(qubits, resolved.reference_state, reps=layers, rotations=rotations)
    ansatz = hardware_efficient(qubits, point, reps=layers, rotations=rotations, entanglement=entanglement)
    return replace(ansatz, is_near=True)


def own_circuit(text: str, resolved: EnergyProblem, given: InitialPoint, seed: int) -> Ansatz:
    """Return a user's circuit that is sampled at its angles; a circuit without any needs none. Raises InputError."""
    ansatz = _custom(text, num_qubits_of(resolved), _Start(given, np.random.default_rng(seed)), is_searched=False)
    if given is StartName.AUTO and ansatz.num_parameters:
        what = "the angles of an own circuit are not searched for"
        raise InputError("initial_point", what, "Give its angles in radians, separated by commas.")
    return ansatz


def _custom(text: str, qubits: int, start: _Start, *, is_searched: bool = True) -> Ansatz:
    """Return the circuit of an OpenQASM 3 or Q# text, at random angles unless others are given."""
    if start.given is StartName.HF:
        raise InputError("initial_point", "the Hartree-Fock angles of a custom circuit are unknown", "Give its angles.")
    angles = start.angles
    if qsharp_ansatz.is_qsharp_ansatz(text):  # its gates change with the angles: others are stored as OpenQASM
        operation = qsharp_ansatz.QsharpAnsatz.from_text(text)
        _check_qubits(operation.num_qubits, qubits)
        point = draw_initial_point(angles, operation.num_angles)
        circuit = ansatz_languages.point_circuit(operation, operation.num_angles)
        return Ansatz(operation.operation, circuit, point, ((),) * operation.num_angles)
    try:
        circuit = custom.read_qasm3(text, "circuit")
    except ProblemError as error:
        field = "ansatz" if error.line is None else f"ansatz, line {error.line}"
        raise InputError(field, error.problem, error.remedy) from error
    _check_qubits(circuit.num_qubits, qubits)
    if is_searched and not circuit.num_parameters:
        raise InputError("ansatz", "the circuit has no parameter to vary", "Declare one: input float[64] theta;")
    return custom.circuit_ansatz(circuit, angles)


def _check_qubits(given: int, needed: int) -> None:
    if given != needed:
        problem = f"the circuit has {given} qubit(s), the problem {needed}"
        raise InputError("ansatz", problem, "Give a circuit with the problem's number of qubits.")


def _no_hartree_fock() -> InputError:
    return InputError("initial_point", "a Pauli sum has no Hartree-Fock state", "Give random, or angles.")
