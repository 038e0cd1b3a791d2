"""What is known of a target before anything is sent to it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from hybridloop.data import load
from hybridloop.errors import InputError

DEFAULT_TARGET = "rigetti.sim.qvm"


@dataclass(frozen=True, slots=True)
class Target:
    """A gate target: its size (None: no figure is published), QIR profile, shots a job, and whether it samples.

    A target that does not sample returns its exact distribution, scaled to the shots and rounded. One that only checks
    takes programs and returns counts that say nothing.
    """

    name: str
    provider: str
    qubits: int | None
    profile: str
    max_shots: int
    samples: bool
    checks_only: bool = False


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


def split_shots(shots: int, max_shots: int) -> list[int]:
    """The shots of the parts of one point: as few parts as the limit allows, as even as can be.

    >>> split_shots(25_000, 10_000)
    [8334, 8333, 8333]
    """
    parts = -(-shots // max_shots)
    base, rest = divmod(shots, parts)
    return [base + 1] * rest + [base] * (parts - rest)
