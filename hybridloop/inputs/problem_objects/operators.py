"""Operators of Qiskit, OpenFermion and PennyLane as a Pauli sum in JSON; qubit 0 is the rightmost letter."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hybridloop.errors import InputError
from hybridloop.inputs.problem_objects import not_a_problem

_NAME = "operator"
_REAL = 1e-10  # of the largest coefficient: a smaller imaginary part is rounding


def qiskit_operator(operator: Any) -> tuple[str, str]:
    """Return the name and text of a Qiskit SparsePauliOp, Pauli, SparseObservable or Operator."""
    from qiskit import QuantumCircuit
    from qiskit.exceptions import QiskitError
    from qiskit.quantum_info import Operator, Pauli, SparseObservable, SparsePauliOp

    if isinstance(operator, QuantumCircuit):
        problem = "a circuit is given, and an operator or a molecule is needed"
        raise InputError("problem", problem, "Give the circuit beside it: ansatz=circuit.")
    if isinstance(operator, SparseObservable):
        operator = SparsePauliOp.from_sparse_observable(operator)
    elif isinstance(operator, Operator):
        try:
            operator = SparsePauliOp.from_operator(operator)
        except QiskitError as error:
            raise InputError("problem", f"the operator acts on no qubits: {error}", "Give a SparsePauliOp.") from error
    elif isinstance(operator, Pauli):
        operator = SparsePauliOp(operator)
    if not isinstance(operator, SparsePauliOp):
        raise not_a_problem(operator, "Give a SparsePauliOp.")
    if operator.parameters:
        named = ", ".join(parameter.name for parameter in operator.parameters)
        raise InputError("problem", f"the operator has parameters: {named}", "Assign them: assign_parameters(…).")
    return _NAME, pauli_text(operator.to_list())


def openfermion_operator(operator: Any) -> tuple[str, str]:
    """Return the name and text of an OpenFermion QubitOperator, or of a fermionic one after Jordan-Wigner.

    A fermionic operator states no number of electrons, so its lowest eigenvalue is that of any number.
    """
    import openfermion

    if not isinstance(operator, openfermion.QubitOperator):
        try:
            operator = openfermion.jordan_wigner(operator)
        except (TypeError, AttributeError) as error:
            raise not_a_problem(operator, "Give a QubitOperator or a FermionOperator.") from error
    words = [({qubit: letter for qubit, letter in word}, value) for word, value in operator.terms.items()]
    qubits = 1 + max((qubit for word, _ in words for qubit in word), default=0)
    return _NAME, pauli_text(_labels(words, range(qubits)))


def pennylane_operator(operator: Any) -> tuple[str, str]:
    """Return the name and text of a PennyLane Hamiltonian; wire k of n numbered ones is qubit k."""
    sentence = getattr(operator, "pauli_rep", None)
    if sentence is None and isinstance(operator, Mapping) and hasattr(operator, "wires"):
        sentence = operator  # a PauliSentence
    if not sentence or any(not isinstance(word, Mapping) for word in sentence):
        raise not_a_problem(operator, "Give a sum of Pauli words: qml.Hamiltonian, or qml.jordan_wigner(operator).")
    wires = list(operator.wires)
    if all(isinstance(wire, int) for wire in wires):
        wires.sort()
    return _NAME, pauli_text(_labels([(dict(word), value) for word, value in sentence.items()], wires))


def pauli_text(terms: Iterable[tuple[str, Any]]) -> str:
    """Return JSON of a Pauli sum. Raises InputError for coefficients that are not real."""
    listed = [(label, _complex(label, value)) for label, value in terms]
    limit = _REAL * max((abs(value) for _, value in listed), default=0.0)
    for label, value in listed:
        if abs(value.imag) > limit:
            problem = f"the coefficient of {label} is {value:g}, so the operator is not Hermitian"
            raise InputError("problem", problem, "Give real coefficients.")
    return json.dumps({"terms": [[label, value.real] for label, value in listed]})


def _labels(words: Iterable[tuple[Mapping[Any, str], Any]], qubits: Iterable[Any]) -> list[tuple[str, Any]]:
    order = list(qubits) or [0]  # the identity alone acts on no wire
    return [("".join(word.get(qubit, "I") for qubit in reversed(order)), value) for word, value in words]


def _complex(label: str, value: Any) -> complex:
    try:
        return complex(value)
    except (TypeError, ValueError) as error:
        problem = f"the coefficient of {label} is no number: {str(value)[:80]}"
        raise InputError("problem", problem, "Assign values to its symbols.") from error
