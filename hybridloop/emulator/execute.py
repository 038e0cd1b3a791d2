"""Runs one job from input bytes to result bytes; what can't be run raises Unrunnable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hybridloop.emulator.billing import Usage, usage_of
from hybridloop.emulator.gates import IONQ_NATIVE
from hybridloop.emulator.ionq import program_of_ionq
from hybridloop.emulator.noise import Noise, noise_of
from hybridloop.emulator.openqasm import program_of_openqasm
from hybridloop.emulator.program import (
    BARRIER,
    MEASURE,
    RESET,
    Measured,
    Program,
    Unrunnable,
    measures_only_at_the_end,
    without_idle_resets,
)
from hybridloop.emulator.qir import program_of_qir
from hybridloop.emulator.quil import programs_of_quil
from hybridloop.emulator.recent import Recent
from hybridloop.emulator.results import RESULTS_V2, ionq_histogram, openqasm_results, quil_results, results_v2
from hybridloop.emulator.sampling import sampling_seed
from hybridloop.emulator.simulate import Simulator
from hybridloop.emulator.targets import Target
from hybridloop.emulator.task import (
    IONQ_CIRCUIT,
    IONQ_RESULTS,
    OPENQASM,
    OPENQASM_RESULTS,
    QIR,
    QUIL,
    QUIL_RESULTS,
    Task,
)

NOTHING_USED = Usage(0, 0, 0, 0, 0, 0)
KEPT_BYTES = 4 * 2**20  # of inputs whose programs are kept, so that the same input is read once; they take some more
LARGEST_ANGLE = 1e300  # radians; gates that add two angles find no sum of larger ones

Runs = Sequence[tuple[Program, Measured]]


@dataclass(frozen=True, slots=True)
class Format:
    """An input format: how it is read into one or more programs, and how what they gave is written."""

    output: str
    read: Callable[[bytes, Mapping[str, Any]], list[Program]]
    write: Callable[[Runs], bytes]


def _one(read: Callable[[bytes], Program]) -> Callable[[bytes, Mapping[str, Any]], list[Program]]:
    return lambda data, params: [read(data)]


def _write_v2(runs: Runs) -> bytes:
    ((program, measured),) = runs
    return results_v2(program.output, measured)


def _write_ionq(runs: Runs) -> bytes:
    ((_, measured),) = runs
    shots = len(measured.shots)
    return ionq_histogram(measured.outcomes, [count / shots for count in measured.counts])


def _write_openqasm(runs: Runs) -> bytes:
    return openqasm_results(*runs[0])


FORMATS = {
    QIR: Format(RESULTS_V2, _one(program_of_qir), _write_v2),
    IONQ_CIRCUIT: Format(IONQ_RESULTS, _one(program_of_ionq), _write_ionq),
    OPENQASM: Format(OPENQASM_RESULTS, _one(program_of_openqasm), _write_openqasm),
    QUIL: Format(QUIL_RESULTS, programs_of_quil, quil_results),
}


class Runner:
    """Runs jobs one after another; what equal inputs have in common is done once."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._recent: Recent[list[Program]] = Recent(KEPT_BYTES)

    def run(self, task: Task, data: bytes) -> tuple[bytes, Usage]:
        """The job's result as the bytes of its output blob, and what it is billed for."""
        if task.target.echoes:
            return data, NOTHING_USED
        chosen = _format(task)
        noise, seed = noise_of(task.target, task.params)
        shots = requested_shots(task)
        key = _digest(task, data)
        programs = self._programs(chosen, task, data, key)
        for program in programs:
            _check_fit(program, task)
        usage = usage_of(programs[0], shots * len(programs))
        if task.input_format == IONQ_CIRCUIT and task.target.exact and noise is None:
            return ionq_histogram(*self._simulator.distribution(programs[0], key)), usage
        runs = []
        for number, program in enumerate(programs):
            runs.append((program, self._measured(task, program, shots, noise, seed, key, number)))
        return chosen.write(runs), usage

    def _programs(self, chosen: Format, task: Task, data: bytes, key: bytes) -> list[Program]:
        known = self._recent.get(key)
        if known is None:
            known = _read(chosen, data, task.params)
            self._recent.put(key, known, len(data) * len(known))
        return known

    def _measured(
        self,
        task: Task,
        program: Program,
        shots: int,
        noise: Noise | None,
        noise_seed: int | None,
        key: bytes,
        number: int,
    ) -> Measured:
        """The outcomes of a job's run `number`; a seed of its own stands before the job's sampling value."""
        if task.target.checks_only:
            return Measured((0,), (shots,), (0,) * shots)
        value = task.sampling_value if noise_seed is None else f"noise/{noise_seed}"
        seed = sampling_seed(task.service_seed, value if number == 0 else f"{value}/{number}")
        key = key if number == 0 else key + number.to_bytes(4, "big")
        return self._simulator.run(program, shots=shots, seed=seed, exact=task.target.exact, noise=noise, key=key)


def _read(chosen: Format, data: bytes, params: Mapping[str, Any]) -> list[Program]:
    """The programs of an input, without resets that nobody can notice: those are compiled away and not billed."""
    try:
        programs = chosen.read(data, params)
    except (ValueError, OverflowError) as error:  # of int and float: a number that is too long or too large
        raise Unrunnable("InvalidInputData", f"a number of the input can't be read: {error}") from error
    if not all(abs(angle) <= LARGEST_ANGLE for p in programs for o in p.operations for angle in o.angles):
        raise Unrunnable("InvalidInputData", f"an angle of the input is not finite, or above {LARGEST_ANGLE:g} radians")
    return [replace(p, operations=without_idle_resets(p.operations)) for p in programs]


def _digest(task: Task, data: bytes) -> bytes:
    """What stands for a job's programs: its input, and the parameters that are put in when it is read."""
    substituted = json.dumps([task.input_format, task.params.get("substitutions")], sort_keys=True)
    digest = hashlib.blake2b(substituted.encode("utf-8", "surrogatepass"), digest_size=24)
    digest.update(b"\0" + data)
    return digest.digest()


def _format(task: Task) -> Format:
    chosen = FORMATS.get(task.input_format)
    if chosen is None or task.input_format not in task.target.input_formats:
        raise Unrunnable(
            "CannotTranslateInputData",
            f"target {task.target.id} does not take input in the format {task.input_format!r}; "
            f"it takes {', '.join(task.target.input_formats) or 'none that this service runs'}",
        )
    if task.output_format != chosen.output:
        raise Unrunnable(
            "CannotTranslateOutputData",
            f"input in the format {task.input_format!r} gives {chosen.output!r}, not {task.output_format!r}",
        )
    return chosen


def requested_shots(task: Task) -> int:
    """The job's shots: `shots`, else the older `count`, else the target's default."""
    shots = task.params.get("shots", task.params.get("count", task.target.default_shots))
    if isinstance(shots, bool) or not isinstance(shots, int):
        raise Unrunnable("InvalidProperty", f"the number of shots must be a whole number, not {shots!r}")
    if not 1 <= shots <= task.target.max_shots:
        raise Unrunnable(
            "InvalidProperty",
            f"the number of shots must be between 1 and {task.target.max_shots} on {task.target.id}, not {shots}",
        )
    return shots


def _check_fit(program: Program, task: Task) -> None:
    target = task.target
    if program.declared_qubits > target.num_qubits:
        raise Unrunnable(
            "InvalidInputData",
            f"the program needs {program.declared_qubits} qubits and {target.id} has {target.num_qubits}",
        )
    if not any(operation.name == MEASURE for operation in program.operations):
        raise Unrunnable("InvalidInputData", "the program measures nothing")
    if task.input_format == QIR:
        _check_profile(program, target)
    foreign = {operation.name for operation in program.operations} & IONQ_NATIVE.keys() - set(target.native_gates)
    if foreign:
        native = ", ".join(target.native_gates)
        problem = f"{', '.join(sorted(foreign))} is no native gate of {target.id}, which has {native}"
        raise Unrunnable("InvalidInputData", problem)


def _check_profile(program: Program, target: Target) -> None:
    if target.refuses_barriers and any(operation.name == BARRIER for operation in program.operations):
        raise Unrunnable("QATTransformationFailed", f"{target.id} takes no barriers in QIR; leave them out")
    if target.profile == "Base" and any(operation.conditions for operation in program.operations):
        problem = f"{target.id} runs the base profile: no branch can depend on a measurement"
        raise Unrunnable("QIRPreProcessingFailed", problem)
    if target.profile == "Base" and not measures_only_at_the_end(
        tuple(o for o in program.operations if o.name != RESET)
    ):
        raise Unrunnable(
            "QIRPreProcessingFailed",
            f"{target.id} runs the base profile: a qubit can't be used after its measurement",
        )
