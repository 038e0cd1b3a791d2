"""A user's own parametrized circuit as an ansatz: a Qiskit circuit, or one in OpenQASM 3."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit, qasm3, transpile
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.exceptions import QiskitError

from hybridloop.algorithms.ansatz import Ansatz
from hybridloop.algorithms.trigfit import Frequencies
from hybridloop.errors import InputError, ProblemError

GATES = ("x", "h", "s", "sdg", "cx", "rx", "ry", "rz")
LARGEST_FREQUENCY = 64  # a fit along one angle takes 2 Ω + 1 points
NEARLY_WHOLE = 1e-9
REMEDY = "Correct it there; gates are those of stdgates.inc, angles `input float[64] name;`."

MOST_GATES = 10_000  # once gates of the text's own are written out
DEEPEST = 50  # parentheses: the parser takes seconds for hundreds
LARGEST_WHOLE = 1_000_000  # a register, or a range

_GATE = re.compile(r"\bgate\s+(\w+)[^{]*\{([^}]*)\}")
_WORD = re.compile(r"[A-Za-z_]\w*")
_WHOLE = re.compile(r"(?<![\w.])\d[\d_]*(?![\w.])")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def circuit_ansatz(circuit: QuantumCircuit, initial: ArrayLike | np.random.Generator) -> Ansatz:
    """The circuit as an ansatz, translated into `x h s sdg cx rx ry rz`.

    `initial` is the point to start at (n,), in the order of `circuit.parameters`, or a generator to draw it from
    uniformly in [−π, π). Each angle must enter rotations in whole multiples: θ, −θ, 2θ, θ + 0.3, θ + φ; controlled
    rotations are made of ones by half the angle. A rotation by c θ has eigenvalues ± c / 2 along θ, so that the energy
    has the frequencies 1 … Σ |c|. Nothing is known of the electrons that such a circuit keeps.
    """
    if circuit.num_qubits < 1:
        raise InputError("ansatz", "the circuit has no qubit", "Give one with the problem's number of qubits.")
    if circuit.num_clbits or any(each.name in ("measure", "reset") for each in circuit.data):
        problem = "the circuit measures, resets or has classical bits"
        raise InputError("ansatz", problem, "Leave measuring to the search: give gates alone.")
    translated = _translated(circuit)
    frequencies = tuple(_frequencies(translated, each) for each in circuit.parameters)
    if isinstance(initial, np.random.Generator):
        start = initial.uniform(-math.pi, math.pi, circuit.num_parameters)
    else:
        start = np.array(initial, dtype=float)
    return Ansatz(circuit.name or "circuit", translated, start, frequencies)


def read_qasm3(text: str, source: str) -> QuantumCircuit:
    """The circuit of an OpenQASM 3 text, whose angles are its `input float` or `input angle` variables."""
    if not _COMMENT.sub("", text).strip():
        raise ProblemError(source, None, "there is no statement in it", REMEDY)
    _check_size(_COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), text), source)
    try:
        circuit = qasm3.loads(text)
    except QiskitError as error:
        place, _, words = error.message.partition(": ")  # the importer begins with `line,column: `
        line = place.partition(",")[0]
        known = line.isdigit()
        problem = f"this is no circuit: {words if known else error.message}".rstrip(".")
        raise ProblemError(source, int(line) if known else None, problem, REMEDY) from error
    except Exception as error:  # the parser's own say nothing; the importer falls over what is out of range
        token_line = _line_of_token(error)
        why = "it can't be parsed from there on" if token_line else f"{type(error).__name__} ({error})"
        raise ProblemError(source, token_line, f"this is no circuit: {why}", REMEDY) from error
    circuit.name = source
    return circuit


def _check_size(text: str, source: str) -> None:
    """Refuse what a few lines can blow up: gates made of gates made of gates, and registers without an end."""
    _check_depth(text, source)
    sizes: dict[str, int] = {}
    for name, body in _GATE.findall(text):  # each is made of those before it
        sizes[name] = _gates(body, sizes)
    if max(_gates(_GATE.sub("", text), sizes), *sizes.values(), 0) > MOST_GATES:
        raise ProblemError(source, None, f"it comes to more than {MOST_GATES:,} gates", "Give a smaller circuit.")
    for found in _WHOLE.finditer(text):
        digits = found[0].replace("_", "")
        if len(digits) > len(str(LARGEST_WHOLE)) or int(digits) > LARGEST_WHOLE:
            line = text.count("\n", 0, found.start()) + 1
            problem = f"{digits[:20]} is above {LARGEST_WHOLE:,}"
            raise ProblemError(source, line, problem, "Give smaller registers and ranges.")


def _check_depth(text: str, source: str) -> None:
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth > DEEPEST:
            line = text.count("\n", 0, place) + 1
            raise ProblemError(source, line, "it is nested too deeply", "Write it with fewer parentheses.")


def _gates(body: str, sizes: Mapping[str, int]) -> int:
    return sum(max((sizes.get(word, 1) for word in _WORD.findall(each)), default=0) for each in body.split(";"))


def _translated(circuit: QuantumCircuit) -> QuantumCircuit:
    """Level 0 only rewrites gates: merging rotations would change their structure with the angles."""
    try:
        translated: QuantumCircuit = transpile(circuit, basis_gates=list(GATES), optimization_level=0)
    except QiskitError as error:
        problem = f"it can't be written in {' '.join(GATES)}: {str(error).splitlines()[0].strip(chr(34))}"
        raise InputError("ansatz", problem, "Give unitary gates without conditions.") from error
    if foreign := {each.name for each in translated.data} - {*GATES, "barrier"}:
        raise InputError("ansatz", f"it has {', '.join(sorted(foreign))}", "Give unitary gates without conditions.")
    bare = translated.copy_empty_like()
    bare.global_phase = 0.0  # no energy knows of it, and it may hold parameters
    for each in translated.data:
        if each.name != "barrier":
            bare.append(each)
    if set(bare.parameters) != set(circuit.parameters):
        problem = "a parameter turns nothing: it only enters the global phase, or cancels"
        raise InputError("ansatz", problem, "Leave it out.")
    return bare


def _frequencies(circuit: QuantumCircuit, parameter: Parameter) -> Frequencies:
    multiples = [_multiple(angle, parameter) for each in circuit.data for angle in each.operation.params]
    highest = round(sum(abs(each) for each in multiples))
    if highest > LARGEST_FREQUENCY:
        problem = f"{parameter.name} turns gates {highest} times over, so that the energy has as many frequencies"
        raise InputError("ansatz", problem, f"Split it into parameters that stay at or below {LARGEST_FREQUENCY}.")
    return tuple(range(1, highest + 1))


def _multiple(angle: object, parameter: Parameter) -> float:
    """c where the angle is c θ + …; 0 where the parameter is not in it."""
    if not isinstance(angle, ParameterExpression) or parameter not in angle.parameters:
        return 0.0
    slope = angle.gradient(parameter)
    if isinstance(slope, ParameterExpression) and slope.parameters:
        problem = f"{parameter.name} enters an angle as {angle}, which is no multiple of it"
        raise InputError("ansatz", problem, "Let each parameter turn rotations by whole multiples of itself.")
    multiple = complex(slope)
    if multiple.imag or abs(multiple.real - round(multiple.real)) > NEARLY_WHOLE:
        problem = f"{parameter.name} enters an angle as {angle}, {multiple.real:g} times"
        raise InputError(
            "ansatz", problem, "Let it enter in whole multiples: as 2θ in controlled rotations, which halve it."
        )
    return float(round(multiple.real))


def _line_of_token(error: BaseException) -> int | None:
    """Where ANTLR gave up: its own error is the argument of the context's."""
    recognition = next(iter(getattr(error.__context__, "args", ())), None)
    return getattr(getattr(recognition, "offendingToken", None), "line", None)
