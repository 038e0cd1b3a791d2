"""From a problem as it travels to what algorithms work on; what can't be used is refused here, before a session."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hybridloop.algorithms.ansatz import Ansatz, hardware_efficient
from hybridloop.algorithms.choice import choose
from hybridloop.algorithms.electronic import ElectronicProblem, electronic_problem
from hybridloop.algorithms.exact import can_be_diagonalized, exact_ground_energy
from hybridloop.algorithms.fcidump import read_fcidump
from hybridloop.algorithms.fermions import Encoding, FermionMapping
from hybridloop.algorithms.grouping import Grouped, choose_grouping, grouped
from hybridloop.algorithms.lost import FAIL, LostPoints, Penalize, Skip, check_lost_points
from hybridloop.algorithms.measurement import Grouping
from hybridloop.algorithms.mitigation.folding import Extrapolation, Folding
from hybridloop.algorithms.mitigation.plan import Mitigation
from hybridloop.algorithms.mitigation.reading import symmetries_of
from hybridloop.algorithms.mitigation.readout import CALIBRATION_SHOTS
from hybridloop.algorithms.molecule import Molecule
from hybridloop.algorithms.optimizer import Optimizer
from hybridloop.algorithms.rounds import RunRound
from hybridloop.algorithms.searches import Outset
from hybridloop.algorithms.sector import check_sector
from hybridloop.algorithms.uccsd import uccsd
from hybridloop.algorithms.vqe import Progress, vqe
from hybridloop.data import load
from hybridloop.errors import InputError
from hybridloop.flows.optimizers import find_search
from hybridloop.flows.results import Outcome
from hybridloop.flows.settings import (
    AnsatzName,
    EnergySettings,
    GroupingName,
    MitigationName,
    OptimizerName,
    ProblemText,
    VqeSettings,
)
from hybridloop.sessions.budget import check_caps
from hybridloop.sessions.policy import FailurePolicy, OnLostJob
from hybridloop.sessions.targets import Target, check_circuit_fits, find_target


class Prepared(Protocol):
    """All that a run needs but a session: what there is to hold its value against, and the algorithm itself."""

    @property
    def unit(self) -> str:
        """What values are in; empty for a number of its own."""
        ...

    @property
    def num_qubits(self) -> int:
        """Qubits of the widest circuit."""
        ...

    @property
    def exact(self) -> float | None:
        """What a perfect run would give, where that is known."""
        ...

    @property
    def reference(self) -> float:
        """What is had without any run."""
        ...

    def measured(self, run_round: RunRound, on_progress: Callable[[Progress], None], /) -> Outcome:
        """Run the algorithm, once."""
        ...


@dataclass(frozen=True, slots=True)
class PreparedVqe:
    """All that a VQE needs but a session."""

    problem: ElectronicProblem
    ansatz: Ansatz
    optimizer: Optimizer
    on_lost: LostPoints
    settings: VqeSettings
    mitigation: Mitigation
    energy: Grouped
    unit: str = "hartree"

    @property
    def num_qubits(self) -> int:
        """Qubits of the molecule under its mapping."""
        return self.problem.encoding.num_qubits

    @property
    def exact(self) -> float | None:
        """The exact ground-state energy."""
        return exact_energy(self.problem.molecule)

    @property
    def reference(self) -> float:
        """The Hartree-Fock energy."""
        return self.problem.molecule.hartree_fock_energy

    def measured(self, run_round: RunRound, on_progress: Callable[[Progress], None], /) -> Outcome:
        """Find the energy; the optimizer serves once."""
        found = vqe(
            self.energy.observable,
            self.ansatz,
            self.optimizer,
            run_round,
            shots=self.settings.shots,
            precision=self.settings.precision,
            max_rounds=self.settings.max_rounds,
            on_lost=self.on_lost,
            mitigation=self.mitigation,
            on_progress=on_progress,
        )
        checked = check_sector(self.problem, self.ansatz, np.array(found.parameters), run_round)
        wrong = None if checked is None else checked.warning
        return Outcome(
            value=found.value,
            standard_error=found.standard_error,
            interval95=found.interval95,
            is_exact=found.is_exact,
            rounding_bound=found.rounding_bound,
            is_precise=found.is_precise,
            parameters=found.parameters,
            converged=found.converged and wrong is None,
            reason=self._reason(found.reason if wrong is None else f"{wrong} The search: {found.reason}"),
            rounds=found.rounds + (checked is not None),
            history=found.history,
        )

    def _reason(self, ended: str) -> str:
        """Why the search ended, and the reasons for what was not asked for by name."""
        chosen = []
        if self.settings.optimizer is OptimizerName.AUTO:
            choice = choose(self.ansatz)
            chosen.append(f"search: {choice.name}, as {choice.why}")
        if self.settings.grouping is GroupingName.AUTO:
            chosen.append(f"groups: {self.energy.grouping}, as {self.energy.why}")
        return f"{ended} ({'; '.join(chosen)})" if chosen else ended


def prepare_vqe(problem: ProblemText, settings: VqeSettings, seed: int) -> PreparedVqe:
    """Read the problem and build the rest. Raises InputError for what can't be used; sends nothing."""
    electronic = electronic_of(problem, settings)
    ansatz = _ansatz(settings, electronic, seed)
    optimizer, on_lost = _optimizer(settings, ansatz, seed), lost_points(settings.failure)
    check_lost_points(on_lost, optimizer)
    mitigation, energy = _mitigation(settings, electronic), _grouped(settings, electronic, ansatz)
    return PreparedVqe(electronic, ansatz, optimizer, on_lost, settings, mitigation, energy)


def electronic_of(problem: ProblemText, settings: EnergySettings) -> ElectronicProblem:
    """The molecule on qubits, if the target can hold it and the caps allow any job there."""
    target = measuring_target(settings.target)
    molecule = read_molecule(problem)
    mapping = FermionMapping(settings.mapping)
    check_circuit_fits(target, Encoding(mapping, molecule.norb, molecule.electrons).num_qubits)
    check_caps(settings.caps, target)
    return electronic_problem(molecule, mapping)


def _grouped(settings: VqeSettings, problem: ElectronicProblem, ansatz: Ansatz) -> Grouped:
    hamiltonian, reference = problem.hamiltonian, problem.reference_state
    if settings.grouping is GroupingName.AUTO:
        return choose_grouping(hamiltonian, ansatz, reference, shots=settings.shots, precision=settings.precision)
    asked = Grouping(settings.grouping)
    return Grouped(grouped(hamiltonian, asked, reference), asked, "the settings name them")


def _mitigation(settings: VqeSettings, problem: ElectronicProblem) -> Mitigation:
    chosen = settings.mitigation or ()
    symmetries = symmetries_of(problem) if MitigationName.SYMMETRY in chosen else ()
    if MitigationName.SYMMETRY in chosen and not symmetries:
        what = f"under {settings.mapping.value} no qubits hold a spin's parity of electrons"
        raise InputError("mitigation", what, "Leave symmetry out, or choose jordan-wigner.")
    folding = None
    if MitigationName.ZNE_LINEAR in chosen:
        folding = Folding(Extrapolation.LINEAR)
    if MitigationName.ZNE_EXPONENTIAL in chosen:
        folding = Folding(Extrapolation.EXPONENTIAL)
    return Mitigation(CALIBRATION_SHOTS if MitigationName.READOUT in chosen else 0, symmetries, folding)


def measuring_target(name: str) -> Target:
    """The target of a name. Raises InputError for one whose counts say nothing."""
    target = find_target(name)
    if target.checks_only:
        what = f"{target.name} only checks programs: its counts say nothing of the energy"
        raise InputError("target", what, "Choose an emulator or a simulator (`hybridloop targets`).")
    return target


def unknown_problem(name: str, built_in: Iterable[str]) -> InputError:
    """The error for a name that is neither a file's nor built in."""
    near = difflib.get_close_matches(name.lower(), list(built_in), n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "`hybridloop problems` lists what there is."
    return InputError("problem", f"there is no file and no built-in problem {name!r}", hint)


def exact_energy(molecule: Molecule) -> float | None:
    """The exact ground-state energy in hartree; None where the molecule is too large to be diagonalized."""
    return exact_ground_energy(molecule) if can_be_diagonalized(molecule) else None


def read_molecule(problem: ProblemText) -> Molecule:
    """The molecule of a built-in name, or of an FCIDUMP text."""
    if problem.text is not None:
        return read_fcidump(problem.text, problem.name)
    built_in = load("problems")
    if (entry := built_in.get(problem.name.lower())) is None:
        raise unknown_problem(problem.name, built_in)
    return read_fcidump(entry["fcidump"], problem.name)


def _ansatz(settings: VqeSettings, problem: ElectronicProblem, seed: int) -> Ansatz:
    match settings.ansatz:
        case AnsatzName.UCCSD:
            return uccsd(problem)
        case AnsatzName.HARDWARE_EFFICIENT:
            return hardware_efficient(problem.encoding.num_qubits, np.random.default_rng(seed))


def _optimizer(settings: VqeSettings, ansatz: Ansatz, seed: int) -> Optimizer:
    name = choose(ansatz).name if settings.optimizer is OptimizerName.AUTO else str(settings.optimizer)
    outset = Outset(
        ansatz,
        is_near=settings.ansatz is AnsatzName.UCCSD,  # whose start is Hartree-Fock; the other's is drawn
        seed=seed,
        max_rounds=settings.max_rounds,
        tolerance=settings.tolerance,
        patience=settings.patience,
        gradient_norm=settings.gradient_norm,
    )
    return find_search(name).begun(name, outset)


def lost_points(policy: FailurePolicy) -> LostPoints:
    """What a search is told of lost points, as the policy has it."""
    match policy.on_lost_job:
        case OnLostJob.FAIL:
            return FAIL
        case OnLostJob.SKIP:
            return Skip()
        case OnLostJob.PENALIZE:
            assert policy.penalty is not None  # the model holds it
            return Penalize(policy.penalty)
