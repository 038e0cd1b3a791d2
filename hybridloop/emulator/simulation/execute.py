"""Execution of one job in a worker: parse the input bytes, simulate the programs, write the result bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hybridloop.emulator.formats.gates import IONQ_NATIVE_GATES, MAX_AER_QUBITS
from hybridloop.emulator.formats.ionq import parse_ionq_circuit
from hybridloop.emulator.formats.openqasm import parse_openqasm
from hybridloop.emulator.formats.qir import is_bitcode, parse_qir
from hybridloop.emulator.formats.quil import parse_quil
from hybridloop.emulator.formats.results import (
    RESULTS_V1,
    RESULTS_V2,
    RecordedOutput,
    Runs,
    ionq_histogram,
    ionq_results,
    openqasm_results,
    output_length,
    qir_histogram,
    qir_readout,
    qir_strings,
    quil_results,
    results_v1,
    results_v2,
)
from hybridloop.emulator.model.adaptive_program import AdaptiveProgram, Feature, OutputKind, ValueOutcomes
from hybridloop.emulator.model.billing import Usage, count_usage
from hybridloop.emulator.model.program import (
    BARRIER,
    MEASURE,
    RESET,
    JobInputError,
    Program,
    ShotOutcomes,
    has_only_final_measurements,
    remove_redundant_resets,
)
from hybridloop.emulator.model.targets import Target
from hybridloop.emulator.simulation.branching import has_clifford_gates, required_bytes, run_adaptive
from hybridloop.emulator.simulation.gate_compiler import optimize
from hybridloop.emulator.simulation.job_options import check_gates, check_options, check_qubits, check_stabilizer
from hybridloop.emulator.simulation.noise import Noise, select_noise
from hybridloop.emulator.simulation.protocol import (
    IONQ_CIRCUIT,
    IONQ_RESULTS,
    OPENQASM,
    OPENQASM_RESULTS,
    PULSES,
    QIR,
    QIR_RESULTS,
    QUIL,
    QUIL_RESULTS,
    SimulationTask,
)
from hybridloop.emulator.simulation.sampling import sampling_seed
from hybridloop.emulator.simulation.simulator import LruCache, Simulator

NO_USAGE = Usage(0, 0, 0, 0, 0, 0)
CACHED_INSTRUCTIONS = 200_000  # of parsed programs, 350 bytes each
INSTRUCTION_BYTES = 2400  # of a parsed instruction and of its copies for Qiskit and Aer, measured
BITCODE_BYTES = 5  # of the shortest instruction in bitcode
VALUE_BYTES = 60  # of a recorded value
SHOT_BYTES, OUTPUT_BYTES = 100, 10  # of a shot, and of each character of its output, in Python and as JSON
CONDITION_BYTES = 300  # of a condition, for each qubit and bit of the program, measured: Qiskit copies their lists
MAX_RESULT_BYTES = 64 * 2**20  # clients read no larger result
MAX_ANGLE_RAD = 1e300  # the sum of two larger angles, which some gates compute, could overflow


@dataclass(frozen=True, slots=True)
class InputFormat:
    """An input format: its parser, which returns one or more programs, and the writers of its output formats.

    `instruction_bytes` is the length of the shortest instruction as text.
    """

    instruction_bytes: int
    parse: Callable[[bytes, Mapping[str, Any]], Sequence[Program] | AdaptiveProgram]
    writers: Mapping[str, Callable[[Runs], bytes]]


def _parse_qir(data: bytes, params: Mapping[str, Any]) -> Sequence[Program] | AdaptiveProgram:
    program = parse_qir(data)
    return program if isinstance(program, AdaptiveProgram) else [program]


# of QIR: the first two are those of every target, the others those of targets that name them
QIR_WRITERS: Mapping[str, Callable[[RecordedOutput], bytes]] = {
    RESULTS_V2: results_v2,
    RESULTS_V1: results_v1,
    QIR_RESULTS: qir_strings,
    IONQ_RESULTS: qir_histogram,
    QUIL_RESULTS: qir_readout,
}


def _write_qir(runs: Runs, output: str) -> bytes:
    ((program, measured),) = runs
    return QIR_WRITERS[output](RecordedOutput.of_bits(program, measured))


def _parse_ionq(data: bytes, params: Mapping[str, Any]) -> Sequence[Program]:
    return [parse_ionq_circuit(data, params.get("gateset"))]


FORMATS = {
    QIR: InputFormat(40, _parse_qir, {name: partial(_write_qir, output=name) for name in QIR_WRITERS}),
    IONQ_CIRCUIT: InputFormat(23, _parse_ionq, {IONQ_RESULTS: ionq_results}),
    OPENQASM: InputFormat(4, lambda data, params: [parse_openqasm(data)], {OPENQASM_RESULTS: openqasm_results}),
    QUIL: InputFormat(4, parse_quil, {QUIL_RESULTS: quil_results}),
}


class JobRunner:
    """Executes jobs one after another; equal inputs are parsed once, and simulated once where that is possible."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._cache: LruCache[Sequence[Program] | AdaptiveProgram] = LruCache(CACHED_INSTRUCTIONS)

    def run(self, task: SimulationTask, data: bytes) -> tuple[bytes, Usage]:
        """Return the job's result, as the bytes of its output blob, and the usage that it is billed for.

        Raises JobInputError if the job cannot be executed.
        """
        if task.target.echoes:
            return data, NO_USAGE
        # check the job, and parse its input
        input_format = _input_format(task)
        check_options(task.target, task.params, is_qir=task.input_format == QIR)
        noise, noise_seed = select_noise(task.target, task.params)
        shots = requested_shots(task)
        key = _program_key(task, data)
        programs = self._programs(input_format, task, data, key)
        value = task.sampling_value if noise_seed is None else f"noise/{noise_seed}"
        if isinstance(programs, AdaptiveProgram):
            return self._run_adaptive(programs, task, shots, sampling_seed(task.service_seed, value), noise)
        first = _prepare(programs[0])  # the others differ in their angles only
        _check_target_limits(first, task)
        self._simulator.reserve_job(_job_bytes(first, shots * len(programs)))
        # a compiler in between leaves fewer gates to bill
        executed = optimize(first, task.optimization_level)
        usage = count_usage(executed if task.target.compiler else first, shots * len(programs))
        # simulate; IonQ's format has probabilities, so an exact target needs no shots
        if task.input_format == IONQ_CIRCUIT and task.target.exact and noise is None:
            return ionq_histogram(*self._simulator.distribution(first, key)), usage
        runs = []
        for number in range(len(programs)):
            # the job's first program is drawn under the job's own value
            seed = sampling_seed(task.service_seed, f"{value}/{number}" if number else value)
            program = optimize(_prepare(programs[number]), task.optimization_level) if number else executed
            program_key = _row_key(task.params["substitutions"], key, number) if len(programs) > 1 else key
            program_key += b"optimized%d" % task.optimization_level if task.optimization_level else b""
            if task.target.checks_only:
                outcomes = ShotOutcomes((0,), (shots,), (0,) * shots)
            else:
                exact = task.target.exact
                outcomes = self._simulator.run(
                    program, shots=shots, seed=seed, exact=exact, noise=noise, key=program_key
                )
            runs.append((first, outcomes))
        return _checked_size(input_format.writers[task.output_format](runs)), usage

    def _run_adaptive(
        self, program: AdaptiveProgram, task: SimulationTask, shots: int, seed: int, noise: Noise | None
    ) -> tuple[bytes, Usage]:
        """Run a program with control flow."""
        _check_adaptive(program, task.target, task.params)
        size = shots * (SHOT_BYTES + VALUE_BYTES * len(program.kinds) + OUTPUT_BYTES * output_length(program.output))
        size += INSTRUCTION_BYTES * program.num_operations
        self._simulator.reserve_job(size)
        if task.target.checks_only:
            zeros = tuple(_ZEROS[kind] for kind in program.kinds)
            recorded, usage = ValueOutcomes((zeros,), (shots,), (0,) * shots), NO_USAGE
        else:
            self._simulator.reserve_job(size + required_bytes(program, shots, noisy=noise is not None))
            recorded, usage = run_adaptive(program, shots=shots, seed=seed, noise=noise)
        return _checked_size(QIR_WRITERS[task.output_format](RecordedOutput.of_values(program, recorded))), usage

    def _programs(
        self, input_format: InputFormat, task: SimulationTask, data: bytes, key: bytes
    ) -> Sequence[Program] | AdaptiveProgram:
        programs = self._cache.get(key)
        if programs is None:
            fewest_bytes = BITCODE_BYTES if is_bitcode(data) else input_format.instruction_bytes
            self._simulator.reserve_job(len(data) // fewest_bytes * INSTRUCTION_BYTES)
            programs = _parse(input_format, data, task.params)
            if isinstance(programs, AdaptiveProgram):
                self._cache.put(key, programs, programs.num_operations)
            else:
                self._cache.put(key, programs, len(programs[0].instructions))
        return programs


def _checked_size(result: bytes) -> bytes:
    """Return the result. Raises JobInputError if it is larger than what clients read."""
    if len(result) > MAX_RESULT_BYTES:
        size, most = f"{len(result) / 2**20:.0f} MiB", f"{MAX_RESULT_BYTES >> 20} MiB"
        problem = f"the result has {size}, above {most}; take fewer shots, rows or bits"
        raise JobInputError("InvalidInputData", problem)
    return result


def _job_bytes(program: Program, shots: int) -> int:
    """Return the memory of a job's program and results, without that of its simulation."""
    return shots * (SHOT_BYTES + OUTPUT_BYTES * output_length(program.output)) + _program_bytes(program)


def _program_bytes(program: Program) -> int:
    """Return the memory of a program with its copies for Qiskit and Aer: gates that Aer lacks become matrices."""
    width = 20 + program.declared_qubits + program.num_results
    conditions = sum(len(instruction.conditions) for instruction in program.instructions)
    gates = (i for i in program.instructions if len(i.qubits) > MAX_AER_QUBITS)
    matrices = sum(16 << 2 * len(gate.qubits) for gate in gates)
    return INSTRUCTION_BYTES * len(program.instructions) + CONDITION_BYTES * width * conditions + matrices


def _parse(input_format: InputFormat, data: bytes, params: Mapping[str, Any]) -> Sequence[Program] | AdaptiveProgram:
    try:
        programs = input_format.parse(data, params)
    except (ValueError, OverflowError) as error:  # int() and float() of a number that is too long or too large
        raise JobInputError("InvalidInputData", f"a number of the input can't be read: {error}") from error
    if isinstance(programs, AdaptiveProgram):
        return programs
    return [_prepare(programs[0])] if len(programs) == 1 else programs


def _prepare(program: Program) -> Program:
    """Check the angles, and drop redundant resets: the provider's compiler removes those unbilled."""
    if not all(abs(angle) <= MAX_ANGLE_RAD for i in program.instructions for angle in i.angles):
        problem = f"an angle of the input is not finite, or above {MAX_ANGLE_RAD:g} radians"
        raise JobInputError("InvalidInputData", problem)
    return replace(program, instructions=remove_redundant_resets(program.instructions))


def _program_key(task: SimulationTask, data: bytes) -> bytes:
    """Return a digest of all that the job's programs depend on: input, format, gate set, and rows of parameters."""
    chosen = [task.input_format, task.params.get("substitutions"), task.params.get("gateset")]
    options = json.dumps(chosen, sort_keys=True)
    digest = hashlib.blake2b(options.encode("utf-8", "surrogatepass"), digest_size=24)
    digest.update(b"\0" + data)
    return digest.digest()


def _row_key(tables: Mapping[str, Sequence[object]], key: bytes, number: int) -> bytes:
    """Return the key of the program of one row of parameters; equal rows have the same."""
    row = json.dumps([(name, tables[name][number]) for name in sorted(tables)])
    return hashlib.blake2b(key + row.encode(), digest_size=24).digest()


def _input_format(task: SimulationTask) -> InputFormat:
    input_format = FORMATS.get(task.input_format)
    if task.input_format == PULSES and PULSES in task.target.input_formats:
        problem = f"{task.target.id} takes pulse sequences, and this service simulates gates alone"
        raise JobInputError("InvalidInputData", problem)
    if input_format is None or task.input_format not in task.target.input_formats:
        formats = ", ".join(task.target.input_formats) or "none that this service runs"
        problem = f"target {task.target.id} does not take input in the format {task.input_format!r}; it takes {formats}"
        raise JobInputError("CannotTranslateInputData", problem)
    of_qir = [RESULTS_V2, RESULTS_V1, *task.target.qir_outputs]
    outputs = of_qir if task.input_format == QIR else list(input_format.writers)
    if task.output_format not in outputs:
        names = " or ".join(map(repr, outputs))
        problem = f"input in the format {task.input_format!r} gives {names}, not {task.output_format!r}"
        raise JobInputError("CannotTranslateOutputData", problem)
    return input_format


def requested_shots(task: SimulationTask) -> int:
    """Return the job's shots: `shots`, else the older `count`, else the target's default.

    Raises JobInputError if the number is invalid or out of the target's range.
    """
    shots = task.params.get("shots", task.params.get("count", task.target.default_shots))
    if isinstance(shots, bool) or not isinstance(shots, int):
        raise JobInputError("InvalidProperty", f"the number of shots must be a whole number, not {shots!r}")
    if not 1 <= shots <= task.target.max_shots:
        limits = f"between 1 and {task.target.max_shots} on {task.target.id}"
        raise JobInputError("InvalidProperty", f"the number of shots must be {limits}, not {shots}")
    return shots


def _check_target_limits(program: Program, task: SimulationTask) -> None:
    """Refuse a program that the target can't run: qubits, QIR profile, native gates."""
    target = task.target
    check_qubits(program.declared_qubits, target, task.params)
    if not any(instruction.name == MEASURE for instruction in program.instructions):
        raise JobInputError("InvalidInputData", "the program measures nothing")
    check_gates(program, target, task.params)
    if task.input_format == QIR:
        _check_profile(program, target)
    native = {instruction.name for instruction in program.instructions} & IONQ_NATIVE_GATES.keys()
    if unsupported := native - set(target.native_gates):
        names, native_gates = ", ".join(sorted(unsupported)), ", ".join(target.native_gates)
        problem = f"{names} is not a native gate of {target.id}, which has {native_gates}"
        raise JobInputError("InvalidInputData", problem)


_ZEROS: Mapping[OutputKind, bool | int | float] = {
    OutputKind.RESULT: 0,
    OutputKind.BOOL: False,
    OutputKind.INT: 0,
    OutputKind.DOUBLE: 0.0,
}


def _check_adaptive(program: AdaptiveProgram, target: Target, params: Mapping[str, Any]) -> None:
    """Refuse a program with control flow that the target can't run: qubits, QIR profile.

    Adaptive_RI has integers and forward branches alone. Targets of a wider profile run all that QIR's adaptive profile
    offers, as Quantinuum documents for Helios.
    """
    if target.profile == "Base":
        problem = f"{target.id} runs the base profile: no branch, number or call can depend on a measurement"
        raise JobInputError("QIRPreProcessingFailed", problem)
    if target.profile == "Adaptive_RI" and program.features:
        names = ", ".join(feature for feature in Feature if feature in program.features)
        problem = f"{target.id} runs the profile Adaptive_RI, which has no {names}; compile the program for Adaptive_RI"
        raise JobInputError("QIRPreProcessingFailed", problem)
    check_qubits(program.declared_qubits, target, params)
    check_stabilizer(target, params, is_clifford=has_clifford_gates(program))
    if not any(each.name == MEASURE for each in program.quantum_operations):
        raise JobInputError("InvalidInputData", "the program measures nothing")


def _check_profile(program: Program, target: Target) -> None:
    if target.refuses_barriers and any(instruction.name == BARRIER for instruction in program.instructions):
        raise JobInputError("QATTransformationFailed", f"{target.id} takes no barriers in QIR; leave them out")
    if target.profile != "Base":
        return
    if any(instruction.conditions for instruction in program.instructions):
        problem = f"{target.id} runs the base profile: no branch can depend on a measurement"
        raise JobInputError("QIRPreProcessingFailed", problem)
    if not has_only_final_measurements(tuple(i for i in program.instructions if i.name != RESET)):
        problem = f"{target.id} runs the base profile: a qubit can't be used after its measurement"
        raise JobInputError("QIRPreProcessingFailed", problem)
