"""QIR as circuits: text, bitcode, and objects that give it (`_repr_qir_`)."""

from __future__ import annotations

from qiskit import QuantumCircuit

from hybridloop.compiler.languages.qir_program import QirProgram
from hybridloop.errors import InputError


def circuit_from_qir(payload: bytes, name: str, profile: str) -> QuantumCircuit:
    """Return QIR, text or bitcode, as the circuit of one instruction, which is sent as it is.

    Raises ProgramError for invalid QIR, InputError for what a target of the profile does not run.
    """
    program = QirProgram(payload, name)
    _check_profile(program, profile)
    return program.circuit()


def _check_profile(program: QirProgram, profile: str) -> None:
    """Raise InputError if the program needs more than the profile has."""
    entry = program.entry
    if profile == "Base" and not (entry.is_straight and program.layout.has_results_alone):
        needs = "an Adaptive profile: it branches, or computes with what it has measured"
    elif profile == "Adaptive_RI" and entry.computes_doubles:
        needs = "the profile Adaptive_RIF: it computes with doubles"
    elif profile != "Adaptive" and entry.has_loops:
        needs = "a target with loops: unroll them, as Q# does with a fixed number of turns"
    else:
        return
    remedy = "Choose a target with it (`hybridloop targets` lists profiles), or measure at the end of the program."
    raise InputError("circuits", f"{program.label} needs {needs}; the target's profile is {profile}", remedy)
