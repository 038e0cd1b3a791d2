"""Custom ansatz: a user's parameterized circuit, from Qiskit or OpenQASM 3."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.exceptions import QiskitError

from hybridloop.algorithms.circuits.ansatz import BASIS_GATES, Ansatz, Frequencies, draw_initial_point
from hybridloop.algorithms.circuits.basis import without_idle_bits
from hybridloop.algorithms.circuits.openqasm_size import expanded_size
from hybridloop.errors import InputError, ProblemError

MAX_FREQUENCY = 64  # a fit along one angle takes 2 × frequency + 1 points
INTEGER_TOLERANCE = 1e-9
QASM_REMEDY = (
    "Correct the text: use gates of stdgates.inc, and declare angles as `input float[64] name;` or "
    "`input array[float[64], 2] name;`, and constants as `const float name = 0.5;`."
)
_FROM_VERSION_2 = "OpenQASM 2 has no angles to vary: write it as OpenQASM 3, with `input float[64] name;` for each."
MAX_GATES = 10_000  # after gates defined in the text are expanded
MAX_NESTING = 50  # levels of parentheses: the parser takes seconds for hundreds
MAX_INTEGER = 1_000_000  # in the text: a range, for example
MAX_QUBITS = 100  # of a register, or the number of a physical qubit; the reader takes half a minute for a million

_REGISTER = re.compile(  # `qubit[n] name`, `qreg name[n]`, and the same of bits
    r"\b(?:qu)?bit\s*\[(?P<size>[^\]]*+)(?:\]|\Z)\s*(?P<name>\w*)"
    r"|\b[qc]reg\s++(?P<old_name>\w++)\s*+\[(?P<old_size>[^\]]*+)(?:\]|\Z)"
)
_WHOLE_CONSTANT = re.compile(r"\bconst\s++u?int(?:\s*+\[\s*+\d++\s*+\])?\s++(\w++)\s*+=\s*+(\d++)\s*+;", re.ASCII)
_ALIAS = re.compile(r"\blet\s+(\w+)")
_SIZE = re.compile(r"0[xX][0-9a-fA-F]{1,99}|0[oO][0-7]{1,99}|0[bB][01]{1,99}|[0-9][0-9_]{0,99}", re.ASCII)
_PHYSICAL_QUBIT = re.compile(r"\$(\d+)", re.ASCII)
_INTEGER = re.compile(r"(?<![\w.])\d[\d_]*(?![\w.])")
_VERSION_2 = re.compile(r"\bOPENQASM\s+2\b")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)


def circuit_ansatz(circuit: QuantumCircuit, initial: ArrayLike | np.random.Generator) -> Ansatz:
    """Make an ansatz of a circuit by translating it into `BASIS_GATES`.

    `initial` is the initial point (n,), in the order of `circuit.parameters`, or a generator that draws it uniformly
    from [−π, π). Each parameter must enter rotation angles in multiples: θ, −θ, 2θ, θ + 0.3, θ + φ. Controlled
    rotations translate to rotations by half the angle. A rotation by c θ has eigenvalues ± c / 2 along θ, so the energy
    has the frequencies 1 … Σ |c|; they are unknown, (), where a multiple is not whole. The circuit is not assumed to
    conserve electrons. Raises InputError for a circuit that measures or cannot be translated.
    """
    if circuit.num_qubits < 1:
        raise InputError("ansatz", "the circuit has no qubit", "Give one with the problem's number of qubits.")
    bare = without_idle_bits(circuit)
    if bare is None or any(instruction.name in ("measure", "reset") for instruction in circuit.data):
        problem = "the circuit measures, resets or uses classical bits"
        raise InputError("ansatz", problem, "Give unitary gates only: the algorithm adds the measurements.")
    translated = _translate(bare)
    frequencies = tuple(_frequencies(translated, parameter) for parameter in circuit.parameters)
    start = draw_initial_point(initial, circuit.num_parameters)
    return Ansatz(circuit.name or "circuit", translated, start, frequencies)


def read_qasm3(text: str, source: str) -> QuantumCircuit:
    """Read a circuit from OpenQASM 3 text; its `input float` and `input angle` variables become the parameters.

    Raises ProblemError, with the line where known, for text that is invalid or too large.
    """
    if not _COMMENT.sub("", text).strip():
        raise ProblemError(source, None, "the text has no statement", QASM_REMEDY)
    sizes = _check_size(_COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), text), source)
    from hybridloop.algorithms.circuits.openqasm import InvalidOpenQasm, parse_openqasm  # its import takes long

    try:
        circuit = parse_openqasm(text, source)
    except InvalidOpenQasm as error:
        remedy = _FROM_VERSION_2 if _VERSION_2.search(text) else QASM_REMEDY
        raise ProblemError(source, error.line, f"this is not a circuit: {error.reason}", remedy) from error
    if sum(sizes.get(item.name, 1) for item in circuit.data) > MAX_GATES:  # of loops too
        raise _too_large(source)
    circuit.name = source
    return circuit


def _too_large(source: str) -> ProblemError:
    return ProblemError(source, None, f"the circuit has more than {MAX_GATES:,} gates", "Give a smaller circuit.")


def _check_size(text: str, source: str) -> dict[str, int]:
    """Return the number of gates in each gate that the text defines, by name.

    Raises ProblemError for a short text of a huge circuit: nested gate definitions, large registers and ranges.
    """
    _check_depth(text, source)
    registers = _check_registers(text, source)
    most, sizes = expanded_size(text, registers)
    if most > MAX_GATES:
        raise _too_large(source)
    for match in _INTEGER.finditer(text):
        digits = match[0].replace("_", "")
        if len(digits) > len(str(MAX_INTEGER)) or int(digits) > MAX_INTEGER:
            line = text.count("\n", 0, match.start()) + 1
            problem = f"the number {digits[:20]} is above {MAX_INTEGER:,}"
            raise ProblemError(source, line, problem, "Give smaller registers and ranges.")
    return sizes


def _check_registers(text: str, source: str) -> dict[str, int]:
    """Return the size of each register by name. Raises ProblemError for one that is too large, or no plain number."""
    registers: dict[str, int] = {}
    remedy = "Give the problem's number of qubits."
    constants = dict(_WHOLE_CONSTANT.findall(text))
    for match in _REGISTER.finditer(text):
        size = (match["size"] or match["old_size"] or "").strip()
        size = constants.get(size, size)
        line, register = text.count("\n", 0, match.start()) + 1, f"the register's size {size[:20]}"
        if _SIZE.fullmatch(size) is None:
            raise ProblemError(source, line, f"{register} is not a plain number", remedy)
        number = int(size.replace("_", ""), 0 if size[1:2].isalpha() else 10)
        if number > MAX_QUBITS:
            raise ProblemError(source, line, f"{register} is above {MAX_QUBITS}", remedy)
        registers[match["name"] or match["old_name"] or ""] = number
    for match in _PHYSICAL_QUBIT.finditer(text):
        if len(match[1]) > len(str(MAX_QUBITS)) or int(match[1]) > MAX_QUBITS:
            line, problem = text.count("\n", 0, match.start()) + 1, f"the qubit {match[0][:20]} is above {MAX_QUBITS}"
            raise ProblemError(source, line, problem, "Number the qubits from 0.")
    return registers | dict.fromkeys(_ALIAS.findall(text), max(registers.values(), default=1))


def _check_depth(text: str, source: str) -> None:
    depth = 0
    for position, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth > MAX_NESTING:
            line = text.count("\n", 0, position) + 1
            raise ProblemError(source, line, "the text is nested too deeply", "Write it with fewer parentheses.")


def _translate(circuit: QuantumCircuit) -> QuantumCircuit:
    """Translate a circuit into `BASIS_GATES`, without barriers and global phase.

    Optimization level 0 only rewrites gates: merged rotations would make the circuit's structure depend on the angles.
    """
    try:
        translated: QuantumCircuit = transpile(circuit, basis_gates=list(BASIS_GATES), optimization_level=0)
    except QiskitError as error:
        problem = (
            f"the circuit can't be translated to {' '.join(BASIS_GATES)}: {str(error).splitlines()[0].strip(chr(34))}"
        )
        raise InputError("ansatz", problem, "Give unitary gates without conditions.") from error
    if unsupported := {instruction.name for instruction in translated.data} - {*BASIS_GATES, "barrier"}:
        problem = f"the circuit has {', '.join(sorted(unsupported))}"
        raise InputError("ansatz", problem, "Give unitary gates without conditions.")
    bare = translated.copy_empty_like()
    bare.global_phase = 0.0  # no energy depends on it, and it may hold parameters
    for instruction in translated.data:
        if instruction.name != "barrier":
            bare.append(instruction)
    if set(bare.parameters) != set(circuit.parameters):
        problem = "a parameter has no effect: it only enters the global phase, or cancels"
        raise InputError("ansatz", problem, "Remove the parameter.")
    return bare


def _frequencies(circuit: QuantumCircuit, parameter: Parameter) -> Frequencies:
    angles = [angle for instruction in circuit.data for angle in instruction.operation.params]
    multiples = [_multiple(angle, parameter) for angle in angles]
    if any(abs(multiple - round(multiple)) > INTEGER_TOLERANCE for multiple in multiples):
        return ()
    highest = round(sum(map(abs, multiples)))
    if highest > MAX_FREQUENCY:
        problem = f"{parameter.name} enters rotations {highest} times, which gives the energy {highest} frequencies"
        raise InputError("ansatz", problem, f"Split it into parameters that enter at most {MAX_FREQUENCY} times.")
    return tuple(range(1, highest + 1))


def _multiple(angle: object, parameter: Parameter) -> float:
    """Return c if the angle is c θ + …; 0 if the parameter is not in it. Raises InputError if it is no multiple."""
    if not isinstance(angle, ParameterExpression) or parameter not in angle.parameters:
        return 0.0
    slope = angle.gradient(parameter)
    if isinstance(slope, ParameterExpression) and slope.parameters:
        problem = f"{parameter.name} enters an angle as {angle}, which is not a multiple of it"
        raise InputError("ansatz", problem, "Use multiples of each parameter as angles.")
    return float(complex(slope).real)
