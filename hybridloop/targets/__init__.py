"""Targets that take QIR programs: size, profile, shot limit and other published facts, and checks against them."""

from __future__ import annotations

import difflib
import enum
import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hybridloop.algorithms.circuits.gate_names import BASIS, CNOT_BASIS
from hybridloop.data import load_table
from hybridloop.errors import InputError

DEFAULT_TARGET = "rigetti.sim.qvm"


class Batching(enum.StrEnum):
    """Choice between one job for all points of a round, where the target takes many in one, and a job for each."""

    AUTO = "auto"  # where that is known to be as good
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Target:
    """A gate-based target: its number of qubits (None: not published), QIR profile, and most shots per job.

    `samples` is False for a target that returns its exact distribution, scaled to the shots and rounded. A target that
    `checks_only` is a syntax checker: its counts are meaningless. One that `debiases` mitigates errors by itself unless
    the job turns that off, but only in jobs of `debiases_from` shots or more. One that `keeps_gates` has an option
    against their removal. One with `parameter_sets` runs a program at many points in one job; if it `batches`, the
    points of a round are put into such jobs by default. With `two_qubit_rotations` the rotations rxx, ryy and rzz are
    sent to it as they are, else as CNOTs.
    `is_noisy` marks machines and their emulators, `is_clifford_only` one that simulates Clifford gates alone.
    `turnaround_s` is the median time from a job's start until its end was seen; None if not recorded. `gate_times_s`
    are a machine's published times of a one- and a two-qubit gate, which run one after the other. `assumed` names the
    fields of a target outside of the table that are not stated.
    `simulated_qubits` are the most for which the local service has the memory; None of other services.
    """

    name: str
    provider: str
    qubits: int | None
    profile: str
    max_shots: int
    samples: bool
    checks_only: bool = False
    debiases_from: int | None = None
    keeps_gates: bool = False
    parameter_sets: bool = False
    batches: bool = False
    two_qubit_rotations: bool = False
    is_noisy: bool = False
    is_clifford_only: bool = False
    turnaround_s: float | None = None
    gate_times_s: tuple[float, float] | None = None
    assumed: tuple[str, ...] = ()
    simulated_qubits: int | None = None

    @property
    def is_machine(self) -> bool:
        """True for a quantum computer, False for a simulator, by the name."""
        return ".qpu." in self.name

    @property
    def debiases(self) -> bool:
        """True for a target whose provider mitigates errors by itself."""
        return self.debiases_from is not None

    def mitigates(self, shots: int, *, debias: bool) -> bool:
        """Return whether the provider mitigates errors of a job with so many shots; `debias` is the run's setting."""
        return debias and self.debiases_from is not None and shots >= self.debiases_from

    def fewest_shots(self, *, debias: bool) -> int:
        """Return the fewest shots of a job of which the provider mitigates errors, where it does; else 1."""
        return (self.debiases_from or 1) if debias else 1

    def unmitigated(self, jobs: Iterable[int], *, debias: bool) -> str | None:
        """Return a warning if the provider would mitigate errors of jobs with so many shots, and they have too few."""
        few = [shots for shots in jobs if debias and self.debiases and not self.mitigates(shots, debias=debias)]
        if not few:
            return None
        return (
            f"the provider mitigates no errors in jobs of fewer than {self.debiases_from} shots (here {min(few):,}), "
            "which are sent with debiasing off, at the lower minimum price"
        )

    @property
    def gates(self) -> Sequence[str]:
        """The basis gates of its programs."""
        return BASIS if self.two_qubit_rotations else CNOT_BASIS


def known_targets() -> dict[str, Target]:
    """Return all targets that take QIR programs, by name."""
    return {name: Target(name=name, **facts) for name, facts in load_table("targets")["targets"].items()}


def find_target(name: str) -> Target:
    """Return the target with this name, in any case. Raises InputError if there is none."""
    if (target := known_targets().get(name.lower())) is not None:
        return target
    raise unknown_target(name)


def unknown_target(name: str, problem: str = "is not a known target") -> InputError:
    """Return the error for a name of no target, with its successor, similar names, or what such a target takes."""
    given, targets = name.lower(), known_targets()
    for pattern, successor in load_table("target_families")["successors"].items():
        if fnmatch.fnmatchcase(given, pattern):
            return InputError("target", f"{name!r} {problem}: it is retired", f"Use {successor}, its successor.")
    for pattern, takes in load_table("target_families")["unsuitable"].items():
        if fnmatch.fnmatchcase(given, pattern):
            remedy = "Choose a target that takes programs of gates (`hybridloop targets`)."
            return InputError("target", f"{name!r} takes {takes}, and hybridloop runs programs of gates", remedy)
    similar = [target for target in targets if given and target.startswith(given)]
    similar = similar or difflib.get_close_matches(given, targets, n=1)
    among = " or ".join(repr(target) for target in similar)
    hint = f"Did you mean {among}?" if similar else "`hybridloop targets` lists the targets."
    return InputError("target", f"{name!r} {problem}", hint)


def family_of(name: str) -> Target | None:
    """Return a target of this name by what its provider's targets have in common; None for an unknown provider."""
    for entry in load_table("target_families")["families"]:
        facts = {key: value for key, value in entry.items() if key != "pattern"}
        if fnmatch.fnmatchcase(name.lower(), entry["pattern"]):
            return Target(name=name.lower(), qubits=None, assumed=("qubits", "profile", "max_shots"), **facts)
    return None


def may_be_offered(name: str) -> bool:
    """Return True for a name that the table lacks, of a provider of gates: only the workspace can tell if it exists."""
    return name.lower() not in known_targets() and family_of(name) is not None


def recorded_target(name: str) -> Target:
    """Return the target of a stored run: from the table, else by its provider; the service is not asked.

    A target that is gone, or of a later version, has its provider's facts; of an unknown provider it has the fewest.
    """
    if (target := known_targets().get(name.lower()) or family_of(name)) is not None:
        return target
    assumed = ("qubits", "profile", "max_shots")
    return Target(name.lower(), name.lower().partition(".")[0], None, "Base", 10_000, samples=True, assumed=assumed)


def as_served(target: Target, status: Mapping[str, Any]) -> Target:
    """Return the target with the qubits that its status says to be simulated; Azure's says nothing of that."""
    simulated = status.get("simulatedQubits")
    qubits = simulated.get("anyGates") if isinstance(simulated, Mapping) else None
    return replace(target, simulated_qubits=qubits) if type(qubits) is int else target


def check_circuit_fits(
    target: Target, num_qubits: int, meaning: str = "", *, is_clifford: Callable[[], bool] = lambda: False
) -> None:
    """Raise InputError, with its meaning, if a circuit of num_qubits can't run on the target.

    The local service has the memory for Clifford circuits of any width.
    """
    if target.qubits is not None and num_qubits > target.qubits:
        problem = f"the circuit has {num_qubits} qubits, {target.name} has {target.qubits}"
        remedy = f"Choose {_larger(target, num_qubits)}a smaller problem, of a molecule by an active space."
        raise InputError("target", problem, remedy, meaning)
    if target.simulated_qubits is not None and num_qubits > target.simulated_qubits and not is_clifford():
        problem = (
            f"the circuit has {num_qubits} qubits, and the local service has the memory for {target.simulated_qubits} "
            f"of {target.name}"
        )
        remedy = "Choose a smaller problem, or start the service with more: hybridloop emulator start --max-memory."
        raise InputError("target", problem, remedy, meaning)


def _larger(target: Target, num_qubits: int) -> str:
    """Return what has as many qubits, and "or": noise models of the target, else a target, of a simulator another."""
    whole = recorded_target(target.name).qubits
    if target.qubits is not None and whole is not None and target.qubits < whole:  # the noise model has fewer
        models = load_table("provider_options")["noise_qubits"].items()
        enough = [f"{name} ({qubits})" for name, qubits in models if qubits >= num_qubits]
        return f"another noise.model, such as {', '.join(enough)}, or " if enough else ""
    running = (each for each in known_targets().values() if not each.checks_only)
    larger = [each for each in running if each.qubits is not None and each.qubits >= num_qubits]
    if not target.is_machine:
        larger = [each for each in larger if not each.is_machine] or larger
    if not larger:
        return ""
    smallest = min(larger, key=lambda each: (each.qubits, each.name))
    return f"a larger target, such as {smallest.name} (`hybridloop targets`), or "


def check_batching(target: Target, batching: Batching) -> None:
    """Raise InputError if jobs of many points are asked for and the target takes none."""
    if batching is Batching.ON and not target.parameter_sets:
        problem = f"{target.name} takes one point in each job"
        raise InputError("batching", problem, "Leave it out, or choose a target of Rigetti.")


def batches_points(target: Target, batching: Batching) -> bool:
    """Return whether a run puts the points of a round into one job; runs that are older than such jobs do not."""
    is_default = batching is Batching.AUTO and target.batches
    return target.parameter_sets and (batching is Batching.ON or is_default)


def check_folding(target: Target) -> None:
    """Raise InputError if there is no noise, or the provider's compiler would remove folded or twirled gates."""
    if not target.is_noisy and not target.checks_only:
        problem = f"{target.name} has no noise that zne or twirl could change"
        raise InputError("mitigation", problem, "Leave them out, or choose a machine or its emulator.")
    if not target.keeps_gates:
        raise InputError(
            "mitigation",
            f"zne and twirl add gates, and {target.provider}'s compiler removes them from QIR programs",
            "Leave them out (readout adds no gates), or choose a target of Quantinuum.",
        )
