"""Circuit of a search with its orbitals and its measurement: of those that reach the ground state, the cheapest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.simulation import SimulatedCircuit
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.grouping import Effort, GroupingChoice, RecordedGroups
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem
from hybridloop.algorithms.problems.pairs import PairedElectrons
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
from hybridloop.runtime.leaves import leaf
from hybridloop.settings import AnsatzName, FermionMapping, OrbitalsName, StartName
from hybridloop.settings.energies import GroupingName
from hybridloop.targets import Target, check_circuit_fits
from hybridloop.targets.prices import is_free

if TYPE_CHECKING:
    from hybridloop.preparation.choices import grown_circuit
else:
    grown_circuit = leaf("hybridloop.preparation.choices.grown_circuit")

GROWN_SHARE = 0.6  # of what a state may be above the ground state: a search's own errors need the rest
SURELY_CHEAPER = 2.0  # times fewer gates: prices of the same shots then need no comparison
_GIVE_UCCSD = "Give uccsd, or leave the ansatz out."
PRUNED_SHARE = 0.125  # of what a state may be above the ground state: what the excitations left out may cost together


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredCircuit:
    """A circuit at its initial point, the problem in its orbitals, and its measurement groups.

    `reasons` has those of choices that the settings leave open, by name. `simulation` is that of a grown circuit.
    """

    problem: EnergyProblem
    start: Start
    energy: GroupingChoice
    reasons: Mapping[str, str]
    simulation: SimulatedCircuit | None = None

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
    """A circuit before it is measured: in which orbitals, built already or as the settings name it, and why."""

    orbitals: OrbitalChoice | None = None  # None of a Pauli sum
    built: PairedCircuit | grown_circuit.GrownCircuit | None = None
    why: str | None = None
    why_orbitals: str | None = None
    is_simulated: bool = True  # of a circuit that is built: its angles may be those of a simulation

    @property
    def record(self) -> str:
        """The words for a run's record."""
        words = ["" if each is None else each.record for each in (self.built, self.orbitals)]
        return " ".join(filter(None, words))

    @classmethod
    def of_record(cls, problem: ElectronicProblem, record: str, *, is_simulated: bool) -> _Circuit:
        """Return the circuit of a run's record. Raises InputError for a damaged one."""
        words = {word.partition(":")[0]: word for word in record.split(" ") if word}
        orbitals = in_recorded_orbitals(problem, words.get("orbitals", ""))
        built: PairedCircuit | grown_circuit.GrownCircuit | None = None
        name = AnsatzName.UCCSD
        if "pairs" in words:
            built, name = (
                PairedCircuit.recorded(PairedElectrons(orbitals.problem.molecule), words["pairs"]),
                AnsatzName.PUCCD,
            )
        elif "grown" in words:
            built, name = (
                grown_circuit.GrownCircuit.recorded(_spin_orbitals(orbitals), words["grown"]),
                AnsatzName.GROWN,
            )
        why = f"{name.value}, as the run was started with it"
        return cls(orbitals, built, why, orbitals.source, is_simulated=is_simulated)


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
        """Return whether a simulated energy is near enough for a claim."""
        above = self.excess(energy)
        return above is not None and above <= self.tolerance


@dataclass(frozen=True, slots=True, eq=False)
class CircuitChooser:
    """The request for a circuit: settings, seed, accuracy, target, and what a state must reach for a claim.

    `operators` raises InputError for a circuit that does not have those that are measured beside the energy.
    """

    settings: VqeSettings
    seed: int
    accuracy: Accuracy
    target: Target
    bound: GroundStateBound
    operators: Callable[[EnergyProblem, Ansatz], object]

    def choose(self, problem: EnergyProblem, recorded: Sequence[str] = ()) -> MeasuredCircuit:
        """Choose circuit, orbitals, initial point and measurement groups. Raises InputError.

        Left open, the circuit of a molecule is that of pairs, a grown one or UCCSD, by `Effort`; the first two only if
        their simulated minimum is within the bound. `recorded` has what was chosen when the run was started.
        """
        if not isinstance(problem, ElectronicProblem):
            if self.settings.ansatz in (AnsatzName.PUCCD, AnsatzName.GROWN):
                what = f"{self.settings.ansatz} takes a molecule, and {problem.source} is a Pauli sum"
                raise InputError("ansatz", what, "Leave the ansatz out, or give another.")
            return self._measured(problem, _Circuit(), recorded)
        record = RecordedGroups.read(recorded[0]).circuit if recorded else ""
        try:
            circuit = self._of_electrons(problem)
        except InputError:  # what the run was started with may be chosen no more
            if not record:
                raise
            circuit = _Circuit()
        if recorded and circuit.record != record:
            circuit = _Circuit.of_record(problem, record, is_simulated=self._is_simulated)
            if self.settings.ansatz is not AnsatzName.AUTO:
                circuit = replace(circuit, why=None)
        return self._measured(problem, circuit, recorded)

    def _of_electrons(self, problem: ElectronicProblem) -> _Circuit:
        match self.settings.ansatz:
            case AnsatzName.AUTO:
                return self._cheapest(problem)
            case AnsatzName.PUCCD:
                return self._pairs(problem)
            case AnsatzName.GROWN:
                return self._grown(problem)
            case AnsatzName.UCCSD:
                return self._uccsd(problem)
        return self._named(problem)

    def _named(self, problem: ElectronicProblem) -> _Circuit:
        """Return the circuit that the settings name, in the orbitals that they name."""
        orbitals = choose_orbitals(problem, self.settings.orbitals)
        return _Circuit(orbitals, None, None, orbitals.source)

    def _cheapest(self, problem: ElectronicProblem) -> _Circuit:
        """Return a circuit of pairs, a grown one if pairs do not reach the ground state, or UCCSD if it costs less."""
        if self.settings.initial_point is StartName.NEWTON:
            return self._uccsd(problem)
        if self.bound.exact() is None:
            why = "uccsd, as the exact energy, by which others are chosen, takes too much work"
            return replace(self._uccsd(problem), why=why)
        misses = list[str]()
        has_angles = isinstance(self.settings.initial_point, tuple)  # as many may be those of UCCSD
        for build in (self._pairs,) if has_angles else (self._pairs, self._grown):
            try:
                short = build(problem)
                if self.settings.observables:
                    self._check_operators(problem, short)
                above = self.bound.excess(None if short.built is None else short.built.energy)
                if above is not None and above <= self.bound.tolerance:
                    return self._cheaper(problem, short)
                far = "are not simulated" if above is None else f"end {1e3 * above:.2g} mHa above the ground state"
                misses.append(f"pairs of electrons (puccd) {far}")
            except InputError as error:  # such as no pairs to excite, an open shell, or angles of UCCSD
                misses += [error.problem] if error.field in ("ansatz", "observables") else []
        whole = self._uccsd(problem)
        return replace(whole, why=f"uccsd, as {' and '.join(misses)}" if misses else whole.why)

    def _check_operators(self, problem: ElectronicProblem, circuit: _Circuit) -> None:
        """Raise InputError where a circuit does not have the operators that are measured beside the energy."""
        if circuit.built is not None:
            start = circuit.built.start(StartName.HF, self.seed, is_simulated=False)
            self.operators(problem if circuit.orbitals is None else circuit.orbitals.problem, start.ansatz)

    def _cheaper(self, problem: ElectronicProblem, short: _Circuit) -> _Circuit:
        """Return the circuit of the lower effort. Raises InputError where the settings do not fit the short one.

        A grown one with less than half of the gates is taken without a comparison: it takes about as many shots.
        """
        of_short = self._measured(problem, short)
        name, gates = of_short.ansatz.name, int(of_short.ansatz.circuit.num_nonlocal_gates())
        if short.built is not None and not isinstance(short.built, PairedCircuit):
            of_uccsd = min(map(_gates_of_uccsd, (problem, self._natural(problem).problem)))
            if gates < of_uccsd / SURELY_CHEAPER:
                fewer = f"{gates:,} two-qubit gates before its measurement in place of {of_uccsd:,} of uccsd"
                return replace(short, why=f"{name}, with {fewer}")
        whole = self._uccsd(problem)
        try:
            of_whole = self._measured(problem, whole)
            if self.settings.observables:
                self.operators(of_whole.problem, of_whole.ansatz)
        except InputError:  # such as angles or groups of pairs, or an operator on their qubits
            return replace(short, why=f"{name}, as the settings do not fit uccsd")
        less, more = sorted((of_short, of_whole), key=lambda each: each.effort.amount)
        why = f"{less.ansatz.name}, at an estimated {less.effort}; {more.ansatz.name} {more.effort}"
        return replace(short if less is of_short else whole, why=why)

    def _pairs(self, problem: ElectronicProblem) -> _Circuit:
        """Return the circuit of pairs. Raises InputError where the molecule or the settings allow none."""
        settings, is_simulated = self.settings, self._is_simulated
        check_shape(AnsatzName.PUCCD, settings)
        if settings.mapping is not FermionMapping.PARITY:
            raise InputError("mapping", "puccd has one qubit for each orbital, and no mapping", "Leave it out.")
        if settings.grouping is GroupingName.DOUBLE_FACTORIZATION:
            raise InputError("grouping", "puccd measures pairs, and no orbitals of electrons", "Leave it out.")
        orbitals = self._natural(problem)
        paired = _paired(orbitals, PRUNED_SHARE * self.bound.tolerance)
        why = None if orbitals.is_given else f"{orbitals.source}, in which pairs alone are nearest to the ground state"
        return _Circuit(orbitals, paired, None, why, is_simulated=is_simulated)

    def _grown(self, problem: ElectronicProblem) -> _Circuit:
        """Return the grown circuit. Raises InputError where the molecule or the settings allow none."""
        settings, molecule, is_simulated = self.settings, problem.molecule, self._is_simulated
        check_shape(AnsatzName.GROWN, settings)
        if self.bound.exact() is None:
            what = f"a circuit grows to the exact energy, and {molecule.source} has too many determinants for it"
            raise InputError("ansatz", what, _GIVE_UCCSD)
        orbitals = self._natural(problem)
        if (grown := _grown(orbitals, self._grown_to)) is None:
            near = f"{1e3 * self._grown_to:.2g} mHa above the exact energy"
            what = f"no operators were found that reach {near}, or Hartree-Fock is as near"
            raise InputError("ansatz", what, _GIVE_UCCSD)
        why = None if orbitals.is_given else f"{orbitals.source}, in which a grown circuit is short"
        return _Circuit(orbitals, grown, None, why, is_simulated=is_simulated)

    @property
    def _grown_to(self) -> float:
        """The most that a grown circuit may end above the exact energy, in hartree: a part of what a claim allows."""
        return GROWN_SHARE * min(self.bound.tolerance, self.settings.tolerance or self.bound.tolerance)

    @property
    def _is_simulated(self) -> bool:
        return fewest_simulated(self.settings, is_free=is_free(self.target)) is not None

    def _natural(self, problem: ElectronicProblem) -> OrbitalChoice:
        """Return the orbitals of a short circuit: natural ones, unless the settings ask for those given."""
        given = self.settings.orbitals is OrbitalsName.GIVEN
        return in_recorded_orbitals(problem, "") if given else in_natural_orbitals(problem)

    def _uccsd(self, problem: ElectronicProblem) -> _Circuit:
        """Return UCCSD in the orbitals of the settings; if they leave them open, in natural ones that shorten it."""
        if self.settings.orbitals is OrbitalsName.NATURAL:
            return self._named(problem)
        given = _Circuit(OrbitalChoice(problem))
        if self.settings.orbitals is OrbitalsName.GIVEN or not self._is_simulated or self.bound.exact() is None:
            return given
        natural = in_natural_orbitals(problem)
        before, after = map(_gates_of_uccsd, (problem, natural.problem))
        if after >= before:
            return given
        start, _ = choose_circuit(natural.problem, self.settings, self.seed, is_free=is_free(self.target))
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
        simulation = None
        if (built := circuit.built) is not None:
            measured = built.problem
            start = built.start(self.settings.initial_point, self.seed, is_simulated=circuit.is_simulated)
            start = simulated_or_refused(start, self.settings.search)
            if not isinstance(built, PairedCircuit):
                problem, simulation = built.problem, built.simulation
        else:
            start, reason = choose_circuit(problem, self.settings, self.seed, is_free=is_free(self.target))
            measured, why = problem, why or reason
        check_circuit_fits(self.target, start.ansatz.circuit.num_qubits)
        energy, groups = measurement_groups(measured, start.ansatz, self.settings, self.accuracy, self.target, recorded)
        reasons = chosen(orbitals=circuit.why_orbitals, circuit=why, start=start.reason, groups=groups)
        return MeasuredCircuit(problem, start, replace(energy, circuit=circuit.record), reasons, simulation)


def _lowest(start: Start) -> float | None:
    """Return the energy of a circuit's simulated minimum in hartree; None without one."""
    model = start.ansatz.model
    return None if model is None else model.energy(start.ansatz.initial_point)


@lru_cache(maxsize=8)
def _paired(orbitals: OrbitalChoice, allowance: float) -> PairedCircuit:
    """Return the circuit of pairs, kept as a plan prepares its run many times."""
    return PairedCircuit.shortened(PairedElectrons(orbitals.problem.molecule), allowance)


@lru_cache(maxsize=8)
def _grown(orbitals: OrbitalChoice, most: float) -> grown_circuit.GrownCircuit | None:
    """Return the grown circuit, kept as a plan prepares its run many times."""
    return grown_circuit.GrownCircuit.chosen(_spin_orbitals(orbitals), most)


@lru_cache(maxsize=8)
def _spin_orbitals(orbitals: OrbitalChoice) -> ElectronicProblem:
    return electronic_problem(orbitals.problem.molecule, FermionMapping.JORDAN_WIGNER)


@lru_cache(maxsize=8)
def _gates_of_uccsd(problem: ElectronicProblem) -> int:
    return int(uccsd(problem, is_tied=True).circuit.num_nonlocal_gates())
