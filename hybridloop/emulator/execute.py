"""Runs one job from input bytes to result bytes; what can't be run raises Unrunnable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybridloop.emulator.billing import Usage, usage_of
from hybridloop.emulator.ionq import program_of_ionq
from hybridloop.emulator.program import MEASURE, Program, Unrunnable, measures_only_at_the_end, without_idle_resets
from hybridloop.emulator.qir import BARRIER, program_of_qir
from hybridloop.emulator.results import RESULTS_V2, ionq_histogram, results_v2
from hybridloop.emulator.sampling import sampling_seed
from hybridloop.emulator.simulate import Simulator
from hybridloop.emulator.targets import Target
from hybridloop.emulator.task import IONQ_CIRCUIT, IONQ_RESULTS, Task

NOTHING_USED = Usage(0, 0, 0, 0, 0, 0)


def execute(task: Task, data: bytes, simulator: Simulator) -> tuple[bytes, Usage]:
    """The job's result as the bytes of its output blob, and what it is billed for."""
    if task.target.echoes:
        return data, NOTHING_USED
    if task.input_format not in task.target.input_formats:
        raise Unrunnable(
            "CannotTranslateInputData",
            f"target {task.target.id} does not take input in the format {task.input_format!r}; "
            f"it takes {', '.join(task.target.input_formats) or 'none that this service runs'}",
        )
    expected = IONQ_RESULTS if task.input_format == IONQ_CIRCUIT else RESULTS_V2
    if task.output_format != expected:
        raise Unrunnable(
            "CannotTranslateOutputData",
            f"input in the format {task.input_format!r} gives {expected!r}, not {task.output_format!r}",
        )
    _refuse_noise(task.params)
    shots = requested_shots(task)
    program = program_of_ionq(data) if task.input_format == IONQ_CIRCUIT else program_of_qir(data)
    _check_fit(program, task.target)
    return _run(program, task, shots, simulator), usage_of(program, shots)


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


def _refuse_noise(params: Mapping[str, Any]) -> None:
    noise = params.get("noise")
    model = noise.get("model", "ideal") if isinstance(noise, Mapping) else noise
    if model not in (None, "ideal"):
        raise Unrunnable("InvalidInputData", f"the noise model {model!r} is not simulated by this service")


def _check_fit(program: Program, target: Target) -> None:
    if program.declared_qubits > target.num_qubits:
        raise Unrunnable(
            "InvalidInputData",
            f"the program needs {program.declared_qubits} qubits and {target.id} has {target.num_qubits}",
        )
    if target.refuses_barriers and any(operation.name == BARRIER for operation in program.operations):
        raise Unrunnable("QATTransformationFailed", f"{target.id} takes no barriers in QIR; leave them out")
    if target.profile == "Base" and not measures_only_at_the_end(
        tuple(o for o in without_idle_resets(program.operations) if o.name != "reset")
    ):
        raise Unrunnable(
            "QIRPreProcessingFailed",
            f"{target.id} runs the base profile: a qubit can't be used after its measurement",
        )


def _run(program: Program, task: Task, shots: int, simulator: Simulator) -> bytes:
    if task.input_format == IONQ_CIRCUIT and task.target.exact:
        return ionq_histogram(*simulator.distribution(program))
    seed = sampling_seed(task.service_seed, task.sampling_value)
    measured = simulator.run(program, shots=shots, seed=seed, exact=task.target.exact)
    if task.input_format == IONQ_CIRCUIT:
        return ionq_histogram(measured.outcomes, [count / shots for count in measured.counts])
    if not any(operation.name == MEASURE for operation in program.operations):
        raise Unrunnable("InvalidInputData", "the program measures nothing")
    return results_v2(program.output, measured)
