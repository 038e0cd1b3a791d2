"""Options of providers in a job's inputParams, apart from noise: optimization, stabilizer simulation, native gates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hybridloop.emulator.model.program import BARRIER, MEASURE, RESET, Instruction, JobInputError, Program
from hybridloop.emulator.model.targets import Target
from hybridloop.emulator.simulation.protocol import MAX_LEVEL, QUILC, TKET
from hybridloop.emulator.simulation.simulator import is_clifford

STATE_VECTOR, STABILIZER = "state-vector", "stabilizer"
# Rigetti's native gates, with RX at quarter turns: https://docs.rigetti.com/qcs/guides/native-gates
RIGETTI_NATIVE = frozenset(("rz", "cz", "iswap"))

NATIVE_GATE = "Rxxyyzz"  # general SU(4) gate of Quantinuum


def check_options(target: Target, params: Mapping[str, Any], *, is_qir: bool) -> None:
    """Raise JobInputError for an invalid value of an option of the target's provider."""
    if target.compiler == TKET:
        level = params.get("tket-opt-level", 0)
        if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= MAX_LEVEL:
            raise JobInputError("InvalidProperty", f"`tket-opt-level` must be 0, 1, 2 or 3, not {level!r}")
    for name, compiler in (("no-opt", TKET), ("noreduce", TKET), ("skipQuilc", QUILC)):
        value = params.get(name, False)
        if target.compiler == compiler and not isinstance(value, bool):
            raise JobInputError("InvalidProperty", f"`{name}` must be true or false, not {value!r}")
    native = params.get("nativetq", NATIVE_GATE)
    if target.compiler == TKET and native != NATIVE_GATE:
        raise JobInputError("InvalidProperty", f"`nativetq` must be {NATIVE_GATE}, not {native!r}")
    simulator = params.get("simulator", STATE_VECTOR)
    if target.stabilizer_qubits is not None and simulator not in (STATE_VECTOR, STABILIZER):
        choices = f"`simulator` must be {STATE_VECTOR} or {STABILIZER}, not {simulator!r}"
        raise JobInputError("InvalidProperty", choices)
    if target.native_gates and is_qir and params.get("gateset") == "native":
        problem = "a QIR program has no native gates; `gateset` native goes with input in ionq.circuit.v1"
        raise JobInputError("InvalidProperty", problem)


def check_qubits(needed: int, target: Target, params: Mapping[str, Any]) -> None:
    """Raise JobInputError for more qubits than the job may use."""
    if needed > (offered := _num_qubits(target, params)):
        options = "" if offered == target.num_qubits else " with these options"
        problem = f"the program needs {needed} qubits and {target.id} has {offered}{options}"
        raise JobInputError("InvalidInputData", problem)


def check_stabilizer(target: Target, params: Mapping[str, Any], *, is_clifford: bool) -> None:
    """Raise JobInputError if a program of other gates than Clifford's is to run on the stabilizer simulator."""
    if _stabilizer_qubits(target, params) is not None and not is_clifford:
        problem = "the stabilizer simulator runs Clifford circuits only, and the program has other gates"
        raise JobInputError("InvalidInputData", problem)


def _num_qubits(target: Target, params: Mapping[str, Any]) -> int:
    """Return the number of qubits that the job may use: some simulations are larger or smaller than the target."""
    noise = params.get("noise")
    model = noise.get("model") if isinstance(noise, Mapping) else None
    if isinstance(model, str) and model in target.noise_models:
        return min(target.num_qubits, target.noise_models[model])
    return _stabilizer_qubits(target, params) or target.num_qubits


def check_gates(program: Program, target: Target, params: Mapping[str, Any]) -> None:
    """Raise JobInputError for gates that the job's options do not allow: not Clifford, or not the machine's own."""
    if _stabilizer_qubits(target, params) is not None:
        wrong = next((each for each in program.instructions if not is_clifford(each)), None)
        if wrong is not None:
            problem = f"the stabilizer simulator runs Clifford circuits only, and {_described(wrong)} is none"
            raise JobInputError("InvalidInputData", problem)
    if target.compiler == QUILC and ".qpu." in target.id and params.get("skipQuilc") is True:
        wrong = next((each for each in program.instructions if not _is_native(each)), None)
        if wrong is not None:
            problem = (
                f"skipQuilc leaves out the compiler, and {_described(wrong)} is no gate of {target.id}, "
                "which has RX by quarter turns, RZ, CZ and ISWAP"
            )
            raise JobInputError("InvalidInputData", problem)


def _stabilizer_qubits(target: Target, params: Mapping[str, Any]) -> int | None:
    return target.stabilizer_qubits if params.get("simulator") == STABILIZER else None


def _is_native(instruction: Instruction) -> bool:
    if instruction.name == "rx":
        quarters = instruction.angles[0] / (math.pi / 2)
        return abs(quarters - round(quarters)) < 1e-9
    return instruction.name in RIGETTI_NATIVE or instruction.name in (MEASURE, RESET, BARRIER)


def _described(instruction: Instruction) -> str:
    angles = ", ".join(f"{angle:.6g}" for angle in instruction.angles)
    return f"{instruction.name}({angles})" if angles else instruction.name
