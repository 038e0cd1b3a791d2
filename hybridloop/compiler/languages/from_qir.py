"""QIR as circuits, text or bitcode: gate by gate where a circuit can be that, else as one instruction."""

from __future__ import annotations

from qiskit import QuantumCircuit
from qiskit.transpiler.passes import RemoveFinalReset

from hybridloop.compiler.languages.qir_circuit import circuit_from_qir
from hybridloop.compiler.languages.qir_output import OutputLayout
from hybridloop.compiler.languages.qir_program import QirProgram, program_of
from hybridloop.errors import InputError, ProgramError

_LAYOUT = "qir output"  # key of a circuit's metadata


def circuit_of_qir(payload: bytes, name: str, profile: str) -> QuantumCircuit:
    """Return the circuit of a program in QIR, with a classical register for each part of its output.

    A straight-line program that returns results alone is the circuit of its gates, without the resets at its end. Any
    other is a circuit of one instruction, and is sent as it is. Raises ProgramError for invalid QIR, InputError for
    what a target of the profile does not run.
    """
    program = QirProgram(payload, name)
    _check_profile(program, profile)
    if program.entry.is_straight and program.layout.has_results_alone:
        try:
            gates: QuantumCircuit = RemoveFinalReset()(circuit_from_qir(program.text, name))
        except ProgramError:  # a gate that Qiskit does not have, for example: the target may know it
            return program.circuit()
        circuit = QuantumCircuit(*gates.qregs, *program.registers(), name=name, metadata={_LAYOUT: program.layout})
        circuit.compose(gates, circuit.qubits, circuit.clbits, inplace=True)
        return circuit
    return program.circuit()


def output_of(circuit: QuantumCircuit) -> OutputLayout | None:
    """Return what the program of a circuit returns; None for a circuit that was not made of QIR."""
    program = program_of(circuit)
    if program is not None:
        return program.layout
    layout = (circuit.metadata or {}).get(_LAYOUT)
    return layout if isinstance(layout, OutputLayout) else None


def _check_profile(program: QirProgram, profile: str) -> None:
    """Raise InputError if the program needs more than the profile has."""
    entry = program.entry
    if not entry.is_bounded:
        problem = f"{program.label} has loops or functions, which no target's profile has"
        raise InputError("program", problem, "Unroll and inline them, as Q#'s compiler does.")
    if profile == "Base" and not (entry.is_straight and program.layout.has_results_alone):
        needs = "an Adaptive profile: it branches, computes with what it measured, or returns more than results"
    elif profile == "Adaptive_RI" and entry.computes_doubles:
        needs = "the profile Adaptive_RIF: it computes with doubles"
    else:
        return
    remedy = "Choose a target with it (`hybridloop targets` lists profiles), or measure at the end of the program."
    raise InputError("program", f"{program.label} needs {needs}; the target's profile is {profile}", remedy)
