"""Circuit of a search with its orbitals and its measurement: of those that reach the ground state, the cheapest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.grouping import Effort, GroupingChoice, RecordedGroups
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.problems.pairs import PairedElectrons
from hybridloop.azure.targets import Target, check_circuit_fits
from hybridloop.budget.prices import is_free
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.preparation.choices.circuit import (
    check_shape,
    choose_circuit,
    fewest_simulated,
    simulated_or_refused,
)
from hybridloop.preparation.choices.initial_point import Start
from hybridloop.preparation.choices.measurement_groups import measurement_groups
from hybridloop.preparation.choices.orbitals import (
    OrbitalChoice,
    choose_orbitals,
    in_natural_orbitals,
    in_recorded_orbitals,
)
from hybridloop.preparation.choices.paired_circuit import PairedCircuit
from hybridloop.preparation.prepared import Accuracy, chosen
from hybridloop.preparation.problem import EnergyProblem
from hybridloop.settings import AnsatzName, MappingName, MitigationName, OrbitalsName, StartName
from hybridloop.settings.energies import GroupingName

PRUNED_SHARE = 0.125  # of what a state may be above the ground state: what the excitations left out may cost together


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredCircuit:
    """A circuit at its initial point, the problem in its orbitals, and its measurement groups.

    `reasons` has those of choices that the settings leave open, by name.
    """

    problem: EnergyProblem
    start: Start
    energy: GroupingChoice
    reasons: Mapping[str, str]

    @property
    def ansatz(self) -> Ansatz:
        return self.start.ansatz

    @property
    def effort(self) -> Effort:
        """The effort of a run with it."""
        assert self.energy.effort is not None  # `measurement_groups` estimates it
        return self.energy.effort


@dataclass(frozen=True, slots=True, eq=False)
class _Circuit:
    """A circuit before it is measured: in which orbitals, of pairs or as the settings name it, and why."""

    orbitals: OrbitalChoice | None = None  # None of a Pauli sum
    paired: PairedCircuit | None = None
    why: str | None = None
    why_orbitals: str | None = None
    is_simulated: bool = True  # of pairs: their angles may be those of a simulation

    @property
    def record(self) -> str:
        """The words for a run's record."""
        words = ["" if each is None else each.record for each in (self.paired, self.orbitals)]
        return " ".join(filter(None, words))

    @classmethod
    def of_record(cls, problem: ElectronicProblem, record: str, *, is_simulated: bool) -> _Circuit:
        """Return the circuit of a run's record. Raises InputError for a damaged one."""
        words = {word.partition(":")[0]: word for word in record.split(" ") if word}
        orbitals = in_recorded_orbitals(problem, words.get("orbitals", ""))
        paired = None
        if "pairs" in words:
            paired = PairedCircuit.recorded(PairedElectrons(orbitals.problem.molecule), words["pairs"])
        why = f"{'puccd' if paired else 'uccsd'}, as the run was started with it"
        return cls(orbitals, paired, why, orbitals.source, is_simulated=is_simulated)


@dataclass(frozen=True, slots=True, eq=False)
class GroundStateBound:
    """The exact energy in hartree, where it can be computed, and how far a state may be above it for a claim."""

    exact: Callable[[], float | None]
    tolerance: float

    def excess(self, energy: float | None) -> float | None:
        """Return how far a simulated energy is above the exact one; None where one of them is unknown."""
        exact = self.exact()
        return None if exact is None or energy is None else energy - exact

    def holds(self, energy: float | None) -> bool:
        above = self.excess(energy)
        return above is not None and above <= self.tolerance


@dataclass(frozen=True, slots=True, eq=False)
class CircuitChooser:
    """The request for a circuit: settings, seed, accuracy, target, and what a state must reach for a claim."""

    settings: VqeSettings
    seed: int
    accuracy: Accuracy
    target: Target
    bound: GroundStateBound

    def choose(self, problem: EnergyProblem, recorded: Sequence[str] = ()) -> MeasuredCircuit:
        """Choose circuit, orbitals, initial point and measurement groups. Raises InputError.

        Left open, the circuit of a molecule is that of pairs or UCCSD, whichever takes less `Effort`; that of pairs
        only if its simulated minimum is within the bound. `recorded` has what was chosen when the run was started.
        """
        if not isinstance(problem, ElectronicProblem):
            if self.settings.ansatz is AnsatzName.PUCCD:
                what = f"puccd takes a molecule, and {problem.source} is a Pauli sum"
                raise InputError("ansatz", what, "Leave the ansatz out, or give another.")
            return self._measured(problem, _Circuit(), recorded)
        circuit = self._of_electrons(problem)
        if recorded and circuit.record != (record := RecordedGroups.read(recorded[0]).circuit):
            is_simulated = fewest_simulated(self.settings, is_free=is_free(self.target)) is not None
            circuit = _Circuit.of_record(problem, record, is_simulated=is_simulated)
            if self.settings.ansatz is not AnsatzName.AUTO:
                circuit = replace(circuit, why=None)
        return self._measured(problem, circuit, recorded)

    def _of_electrons(self, problem: ElectronicProblem) -> _Circuit:
        match self.settings.ansatz:
            case AnsatzName.AUTO:
                return self._cheapest(problem)
            case AnsatzName.PUCCD:
                return self._pairs(problem)
            case AnsatzName.UCCSD:
                return self._uccsd(problem)
        return self._named(problem)

    def _named(self, problem: ElectronicProblem) -> _Circuit:
        """Return the circuit that the settings name, in the orbitals that they name."""
        orbitals = choose_orbitals(problem, self.settings.orbitals)
        return _Circuit(orbitals, None, None, orbitals.source)

    def _cheapest(self, problem: ElectronicProblem) -> _Circuit:
        """Return the circuit of pairs or UCCSD."""
        if self._needs_spin_orbitals or self.bound.exact() is None:
            return self._uccsd(problem)
        try:
            pairs = self._pairs(problem)
            energy = pairs.paired.energy if pairs.paired else None
            if not self.bound.holds(energy):
                above = self.bound.excess(energy)
                far = "are not simulated" if above is None else f"end {1e3 * above:.2g} mHa above the ground state"
                return replace(self._uccsd(problem), why=f"uccsd, as pairs of electrons (puccd) {far}")
            of_pairs = self._measured(problem, pairs)
        except InputError:  # a molecule without pairs to excite, or angles of UCCSD
            return self._uccsd(problem)
        whole = self._uccsd(problem)
        try:
            of_whole = self._measured(problem, whole)
        except InputError:  # such as angles or groups of pairs
            return replace(pairs, why="puccd, as the settings do not fit uccsd")
        less, more = sorted((of_pairs, of_whole), key=lambda each: each.effort.amount)
        why = f"{less.ansatz.name}, at an estimated {less.effort}; {more.ansatz.name} {more.effort}"
        return replace(pairs if less is of_pairs else whole, why=why)

    @property
    def _needs_spin_orbitals(self) -> bool:
        """True if a setting has no meaning for pairs."""
        settings = self.settings
        return (
            settings.mapping is not MappingName.PARITY
            or settings.initial_point is StartName.NEWTON
            or settings.grouping is GroupingName.DOUBLE_FACTORIZATION
            or MitigationName.SYMMETRY in (settings.mitigation or ())
        )

    def _pairs(self, problem: ElectronicProblem) -> _Circuit:
        """Return the circuit of pairs. Raises InputError where the molecule or the settings allow none."""
        settings = self.settings
        check_shape(AnsatzName.PUCCD, settings)
        is_simulated = fewest_simulated(settings, is_free=is_free(self.target)) is not None
        if settings.mapping is not MappingName.PARITY:
            raise InputError("mapping", "puccd has one qubit for each orbital, and no mapping", "Leave it out.")
        given = settings.orbitals is OrbitalsName.GIVEN
        orbitals = in_recorded_orbitals(problem, "") if given else in_natural_orbitals(problem)
        paired = _paired(orbitals, PRUNED_SHARE * self.bound.tolerance)
        why = None if orbitals.is_given else f"{orbitals.source}, in which pairs alone are nearest to the ground state"
        return _Circuit(orbitals, paired, None, why, is_simulated=is_simulated)

    def _uccsd(self, problem: ElectronicProblem) -> _Circuit:
        """Return UCCSD in the orbitals of the settings; if they leave them open, in natural ones that shorten it."""
        if self.settings.orbitals is OrbitalsName.NATURAL:
            return self._named(problem)
        given = _Circuit(OrbitalChoice(problem))
        is_free_there = is_free(self.target)
        is_simulated = fewest_simulated(self.settings, is_free=is_free_there) is not None
        if self.settings.orbitals is OrbitalsName.GIVEN or not is_simulated or self.bound.exact() is None:
            return given
        natural = in_natural_orbitals(problem)
        before, after = map(_gates_of_uccsd, (problem, natural.problem))
        if after >= before:
            return given
        start, _ = choose_circuit(natural.problem, self.settings, self.seed, is_free=is_free_there)
        if not self.bound.holds(_lowest(start)):
            return given
        fewer = f"{natural.source}: {after:,} two-qubit gates of UCCSD in place of {before:,}"
        return _Circuit(natural, None, None, fewer)

    def _measured(self, problem: EnergyProblem, circuit: _Circuit, recorded: Sequence[str] = ()) -> MeasuredCircuit:
        """Return a circuit at its initial point with its measurement. Raises InputError."""
        measured: EnergyProblem | PairedElectrons
        why = circuit.why
        if circuit.orbitals is not None:
            problem = circuit.orbitals.problem
        if (paired := circuit.paired) is not None:
            measured = paired.problem
            start = paired.start(self.settings.initial_point, self.seed, is_simulated=circuit.is_simulated)
            start = simulated_or_refused(start, self.settings.search)
        else:
            start, reason = choose_circuit(problem, self.settings, self.seed, is_free=is_free(self.target))
            measured, why = problem, why or reason
        check_circuit_fits(self.target, start.ansatz.circuit.num_qubits)
        energy, groups = measurement_groups(measured, start.ansatz, self.settings, self.accuracy, self.target, recorded)
        reasons = chosen(orbitals=circuit.why_orbitals, circuit=why, start=start.reason, groups=groups)
        return MeasuredCircuit(problem, start, replace(energy, circuit=circuit.record), reasons)


def _lowest(start: Start) -> float | None:
    """Return the energy of a circuit's simulated minimum in hartree; None without one."""
    model = start.ansatz.model
    return None if model is None else model.energy(start.ansatz.initial_point)


@lru_cache(maxsize=8)
def _paired(orbitals: OrbitalChoice, allowance: float) -> PairedCircuit:
    """Return the circuit of pairs, kept as a plan prepares its run many times."""
    return PairedCircuit.shortened(PairedElectrons(orbitals.problem.molecule), allowance)


@lru_cache(maxsize=8)
def _gates_of_uccsd(problem: ElectronicProblem) -> int:
    return int(uccsd(problem, is_tied=True).circuit.num_nonlocal_gates())
