"""What is known of a target before anything is sent to it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from hybridloop.data import load
from hybridloop.errors import InputError

DEFAULT_TARGET = "rigetti.sim.qvm"


@dataclass(frozen=True, slots=True)
class Target:
    """A gate target: its size (None: no figure is published), QIR profile, shots a job, and whether it samples.

    A target that does not sample returns its exact distribution, scaled to the shots and rounded. One that only checks
    takes programs and returns counts that say nothing. One that `debiases` mitigates errors of its own, unless a job
    says otherwise. `turnaround_s` is the median from a job's beginning until its end was seen, where that is on record.
    """

    name: str
    provider: str
    qubits: int | None
    profile: str
    max_shots: int
    samples: bool
    checks_only: bool = False
    debiases: bool = False
    turnaround_s: float | None = None


def known_targets() -> dict[str, Target]:
    """All targets that QIR programs can be sent to, by name."""
    return {name: Target(name=name, **facts) for name, facts in load("targets")["targets"].items()}


def find_target(name: str) -> Target:
    """The target of that name, whatever its case; raises InputError if there is none."""
    targets = known_targets()
    if (target := targets.get(name.lower())) is not None:
        return target
    near = difflib.get_close_matches(name.lower(), targets, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "`hybridloop targets` lists what there is."
    raise InputError("target", f"{name!r} is not a known target", hint)


def check_circuit_fits(target: Target, num_qubits: int) -> None:
    """Raise InputError if a circuit of num_qubits can't run on the target."""
    if target.qubits is not None and num_qubits > target.qubits:
        raise InputError(
            "target",
            f"the circuit has {num_qubits} qubits, {target.name} has {target.qubits}",
            "Choose a larger target (`hybridloop targets`), an active space, or another mapping.",
        )


def check_debias(target: Target, *, debias: bool) -> None:
    """Raise InputError where there is no error mitigation of the provider's to be turned off."""
    if not debias and not target.debiases:
        problem = f"{target.name} has no error mitigation of its provider's to turn off"
        raise InputError("debias", problem, "Leave it out, or choose one of IonQ's machines.")


def provider_params(target: Target, *, debias: bool) -> dict[str, Any]:
    """What a job's inputParams say beside shots and entry point: that the provider is not to mitigate errors."""
    return {"error-mitigation": {"debias": False}} if target.debiases and not debias else {}


def split_shots(shots: int, max_shots: int) -> list[int]:
    """The shots of the parts of one point: as few parts as the limit allows, as even as can be.

    >>> split_shots(25_000, 10_000)
    [8334, 8333, 8333]
    """
    parts = -(-shots // max_shots)
    base, rest = divmod(shots, parts)
    return [base + 1] * rest + [base] * (parts - rest)
