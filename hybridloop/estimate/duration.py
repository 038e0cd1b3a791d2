"""The time that a run takes: on Azure from recorded and published figures, on the local service measured here."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hybridloop.azure.job_document import QIR, QUIL, QUIL_RESULTS, RESULTS_V2
from hybridloop.estimate.dry_run import DryRound
from hybridloop.estimate.figures import Duration
from hybridloop.estimate.pricing import Tariff
from hybridloop.runtime.waits import TIMING_S
from hybridloop.targets.provider_options import Options, provider_params

SUBMISSION_S = 2.0  # of a job over a public network, as recorded: three calls in 1.5 to 3 s
SUBMITTED_AT_ONCE = 8  # assumed; a run submits more where the service takes them, which was only measured locally
LOCAL_ROUND_S, LOCAL_JOB_S = 0.15, 0.04  # beside the simulation: measured on two cores
_ROWS = 4  # of a timed job of many points


def duration_on_azure(rounds: Sequence[DryRound], tariff: Tariff, status: Mapping[str, Any] | None) -> Duration:
    """Estimate the time of these rounds on the target. Jobs of a round queue in parallel, and a machine takes turns.

    A machine's shots take the published times of their gates, which are run one after the other; a simulator's jobs
    take the median of recorded ones.
    """
    target = tariff.target
    queue_s = None if status is None or not status.get("averageQueueTime") else float(status["averageQueueTime"])
    queues_s = len(rounds) * (queue_s or 0.0)
    if (gates_s := gate_seconds(rounds, tariff)) is not None:
        run_s, basis = gates_s, "gates take their published times, reset and readout are left out"
    elif target.turnaround_s is not None:
        jobs = [tariff.total(round_.pubs).jobs for round_ in rounds]
        submission_s = math.fsum(SUBMISSION_S * math.ceil(number / SUBMITTED_AT_ONCE) for number in jobs)
        run_s = len(rounds) * target.turnaround_s + submission_s
        basis = f"{target.turnaround_s:g} s to run a job, as recorded"
    else:
        return Duration(None, queues_s, queue_s, f"no times of {target.name} are published or recorded")
    return Duration(queues_s + run_s, queues_s, queue_s, basis)


def gate_seconds(rounds: Sequence[DryRound], tariff: Tariff) -> float | None:
    """Return the seconds that a machine's gates take in all shots; None without published times."""
    target = tariff.target
    if target.gate_times_s is None:
        return None
    one_s, two_s = target.gate_times_s
    seconds = 0.0
    for pub in (pub for round_ in rounds for pub in round_.pubs):
        size = tariff.sizes.size(pub.circuit, target) or tariff.sizes.largest(target)
        seconds += pub.points * pub.shots * (size.counts.one_qubit * one_s + size.counts.two_qubit * two_s)
    return seconds


def local_duration(
    rounds: Sequence[DryRound], tariff: Tariff, azure: Duration, *, options: Options, classical_s: float
) -> Duration:
    """Return the estimate with the time on the local service, whose workers simulate some points at a time.

    One circuit is timed, that with the most gates, and others take their part of its time. `classical_s` are the
    seconds of a run's own computing.
    """
    pubs = [pub for round_ in rounds for pub in round_.pubs]
    if not pubs:
        return replace(azure, local_s=classical_s)
    largest = max({pub.circuit for pub in pubs}, key=lambda key: _work(key, tariff))
    shots = max(tariff.split(max(pub.shots for pub in pubs if pub.circuit == largest)))
    job, rows = _job(largest, tariff, options, shots)
    if (timed := _timed(job)) is None:
        return replace(azure, measured_s=0.0)
    first_s, shot_s = timed["first_s"] / rows, timed["shot_s"] / rows
    workers = os.cpu_count() or 1
    simulated_s = 0.0
    for round_ in rounds:
        points = sum(pub.points for pub in round_.pubs)
        part = [_work(pub.circuit, tariff) / _work(largest, tariff) for pub in round_.pubs]
        each = zip(round_.pubs, part, strict=True)
        seconds = math.fsum(pub.points * scale * (first_s + shot_s * (pub.shots - 1)) for pub, scale in each)
        simulated_s += seconds / min(workers, points)
    jobs = tariff.total_of_rounds(rounds).jobs
    local_s = classical_s + simulated_s + LOCAL_ROUND_S * len(rounds) + LOCAL_JOB_S * jobs
    return replace(azure, local_s=local_s, measured_s=timed["measured_s"])


def _work(circuit: str, tariff: Tariff) -> float:
    """Return the amplitudes that go through a gate in a shot."""
    counts = (tariff.sizes.size(circuit, tariff.target) or tariff.sizes.largest(tariff.target)).counts
    return float(counts.one_qubit + counts.two_qubit + 1) * 2.0**counts.qubits


def _job(circuit: str, tariff: Tariff, options: Options, shots: int) -> tuple[dict[str, Any], int]:
    """Return the job of a circuit for the local service's timing, and its number of points."""
    target, program = tariff.target, tariff.program(circuit)
    params = provider_params(target, debias=False, options=options)
    job: dict[str, Any] = {"target": target.name, "params": params, "shots": shots}
    if program is None:
        text = tariff.sizes.qir(circuit, target)
        return job | {"input_format": QIR, "output_format": RESULTS_V2, "program": text, "comment": ";"}, 1
    theta = np.repeat(program.theta[:1], _ROWS, axis=0) + np.arange(_ROWS)[:, None] / _ROWS
    rows = {"theta": theta.tolist(), "basis": np.repeat(program.basis[:1], _ROWS, axis=0).tolist()}
    job["params"] |= {"substitutions": {name: values for name, values in rows.items() if values[0]}}
    quil = {"input_format": QUIL, "output_format": QUIL_RESULTS, "program": program.program.text, "comment": "#"}
    return job | quil, _ROWS


def _timed(job: Mapping[str, Any]) -> dict[str, float] | None:
    """Return what the local service's simulator takes for a job; None if it takes too long or can't run it.

    It runs in a process of its own, as the service's workers do.
    """
    command = [sys.executable, "-m", "hybridloop.emulator.timing"]
    try:
        done = subprocess.run(
            command, input=json.dumps(job), capture_output=True, text=True, timeout=TIMING_S, check=True
        )
    except (subprocess.SubprocessError, OSError):
        return None
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
