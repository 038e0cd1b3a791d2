"""The circuit that a search varies, and where it starts: as it was asked, or by a rule that says why."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybridloop.algorithms.circuits.ansatz import Ansatz, hardware_efficient, hardware_efficient_reference
from hybridloop.algorithms.circuits.custom import circuit_ansatz, read_qasm3
from hybridloop.algorithms.circuits.initial_point import NewtonStart, newton_start
from hybridloop.algorithms.circuits.uccsd import symmetry_allowed_excitations, uccsd
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.errors import InputError, ProblemError
from hybridloop.preparation.problem import Subject, num_qubits_of
from hybridloop.settings import AnsatzName, StartName, VqeSettings

TRUSTED = 0.1  # of the gain: where two models differ by less, what both leave out is smaller still


@dataclass(frozen=True, slots=True)
class Start:
    """The circuit with its initial point, and a clause that says why it is this one; None where it was asked for."""

    ansatz: Ansatz
    why: str | None


def choose_start(subject: Subject, settings: VqeSettings, seed: int) -> Start:
    """The circuit of the settings at its start. Raises InputError where there is no such start."""
    if settings.ansatz is AnsatzName.UCCSD:
        return _uccsd(subject, settings.initial_point, np.random.default_rng(seed))
    return _free(subject, settings, np.random.default_rng(seed))


def _uccsd(subject: Subject, asked: StartName | tuple[float, ...], generator: np.random.Generator) -> Start:
    if isinstance(subject, PauliProblem):
        what = f"uccsd starts from a molecule's Hartree-Fock state, and {subject.source} is a Pauli sum"
        raise InputError("ansatz", what, "Give hardware-efficient, or a circuit of your own.")
    ansatz = uccsd(subject)
    if not isinstance(asked, StartName):
        return Start(_at(ansatz, asked), None)
    match asked:
        case StartName.HF:
            return Start(ansatz, None)
        case StartName.RANDOM:
            return Start(_at(ansatz, generator.uniform(-math.pi, math.pi, ansatz.num_parameters)), None)
        case StartName.NEWTON:
            found = newton_start(subject, symmetry_allowed_excitations(subject))
            if found.gain <= 0.0:
                what = f"at Hartree-Fock of {subject.molecule.source} the model has no minimum near by to start from"
                raise InputError("initial_point", what, "Give hf, or leave it out.")
            return Start(replace(_at(ansatz, found.point), is_near=True), None)
        case StartName.AUTO:
            return _near_hartree_fock(ansatz, subject)


def _near_hartree_fock(ansatz: Ansatz, problem: ElectronicProblem) -> Start:
    """Newton's point where its model can be trusted; one angle needs none, as its fit is global."""
    if ansatz.num_parameters == 1:
        return Start(ansatz, None)
    found = newton_start(problem, symmetry_allowed_excitations(problem))
    if found.gain > 0.0 and found.gain_uncertainty <= TRUSTED * found.gain:
        return Start(replace(_at(ansatz, found.point), is_near=True), f"newton, {_trust(found)}")
    said = "its derivatives have no minimum near by" if found.gain <= 0.0 else _trust(found)
    return Start(ansatz, f"hf, as {said}")


def _trust(found: NewtonStart) -> str:
    return f"of whose gain of {1e3 * found.gain:.3g} mHa the models doubt {1e3 * found.gain_uncertainty:.2g}"


def _free(subject: Subject, settings: VqeSettings, generator: np.random.Generator) -> Start:
    """A circuit that knows of no electrons: drawn, unless a point or Hartree-Fock is asked for."""
    asked, qubits = settings.initial_point, num_qubits_of(subject)
    if asked is StartName.NEWTON:
        raise InputError("initial_point", "newton's point is uccsd's alone", "Give uccsd, or another start.")
    if asked is StartName.HF:
        return Start(_at_hartree_fock(subject, settings), None)
    initial = generator if isinstance(asked, StartName) else np.array(asked)
    if settings.ansatz is AnsatzName.HARDWARE_EFFICIENT:
        return Start(hardware_efficient(qubits, initial), None)
    try:
        circuit = read_qasm3(settings.ansatz, "circuit")
    except ProblemError as error:
        place = "ansatz" if error.line is None else f"ansatz, line {error.line}"
        raise InputError(place, error.problem, error.remedy) from error
    if circuit.num_qubits != qubits:
        what = f"the circuit has {circuit.num_qubits} qubit(s), the problem {qubits}"
        raise InputError("ansatz", what, "Give one with the problem's number of qubits.")
    if not circuit.num_parameters:
        raise InputError("ansatz", "the circuit has no parameter to vary", "Declare one: input float[64] theta;")
    return Start(circuit_ansatz(circuit, initial), None)


def _at_hartree_fock(subject: Subject, settings: VqeSettings) -> Ansatz:
    if isinstance(subject, PauliProblem):
        raise InputError("initial_point", "a Pauli sum has no Hartree-Fock state", "Give random, or angles.")
    if settings.ansatz is not AnsatzName.HARDWARE_EFFICIENT:
        raise InputError("initial_point", "where a circuit of yours has Hartree-Fock is not known", "Give its angles.")
    qubits = subject.encoding.num_qubits
    point = hardware_efficient_reference(qubits, subject.reference_state)
    return replace(hardware_efficient(qubits, point), is_near=True)


def _at(ansatz: Ansatz, point: ArrayLike) -> Ansatz:
    found: NDArray[np.float64] = np.array(point, dtype=float)
    return replace(ansatz, initial_point=found)
