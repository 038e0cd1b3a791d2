"""Circuit of electron pairs (puccd): its excitations, and its angles by a simulation or a closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.puccd import PairExcitation, pair_excitations, puccd
from hybridloop.algorithms.circuits.simulated_start import simulated_start_near
from hybridloop.algorithms.circuits.statevector import StatevectorModel
from hybridloop.algorithms.problems.pairs import PairedElectrons
from hybridloop.errors import InputError
from hybridloop.preparation.choices.initial_point import InitialPoint, Start, find_simulated
from hybridloop.settings import StartName

RECORD = "pairs:"  # beginning of the word of a run's record that has the excitations of a circuit of pairs


@dataclass(frozen=True, slots=True, eq=False)
class PairedCircuit:
    """A circuit of pairs: its excitations, and the simulation of its lowest energy (None: too large) at a point."""

    problem: PairedElectrons
    selected: tuple[PairExcitation, ...]
    model: StatevectorModel | None
    point: NDArray[np.float64]
    reason: str | None

    @property
    def energy(self) -> float | None:
        """The lowest energy that the simulation finds, in hartree."""
        return None if self.model is None else self.model.energy(self.point)

    @property
    def record(self) -> str:
        """The word for a run's record: its excitations."""
        return RECORD + ".".join(f"{p}-{q}" for p, q in self.selected)

    @classmethod
    def shortened(cls, problem: PairedElectrons, allowance: float) -> PairedCircuit:
        """Return the circuit without the excitations that lower the energy by at most the allowance (hartree) in all.

        Raises InputError if there is no excitation.
        """
        every = pair_excitations(problem)
        whole = cls.of(problem, every)
        if whole.model is None:
            return whole
        point = whole.point.copy()
        bound = whole.model.energy(point) + allowance
        for place in np.argsort(np.round(np.abs(point), 6), kind="stable").tolist():
            trial = point.copy()
            trial[place] = 0.0
            if whole.model.energy(trial) <= bound:
                point = trial
        kept = tuple(each for each, angle in zip(every, point.tolist(), strict=True) if angle)
        return whole if len(kept) in (0, len(every)) else cls.of(problem, kept)

    @classmethod
    def of(cls, problem: PairedElectrons, selected: tuple[PairExcitation, ...]) -> PairedCircuit:
        """Return the circuit of these excitations at the lowest minimum of its simulation, if that is affordable."""
        ansatz = puccd(problem, selected)
        nearby = two_level_angles(problem, selected)
        model = StatevectorModel.of(ansatz.circuit, problem.hamiltonian)
        start = None
        if model is not None:
            constant, energies, repulsions = problem.diagonal
            integrals = constant, energies.tolist(), repulsions.tolist(), problem.exchange.tolist(), problem.pairs
            minimize = partial(simulated_start_near, model, nearby)
            start = find_simulated((integrals, selected), minimize, len(selected))
        if model is None or start is None:
            return cls(problem, selected, None, nearby, None)
        gain = model.energy(np.zeros(len(selected))) - model.energy(start.point)
        found = f"the lowest of {start.searches} minima of the circuit's classical simulation"
        reason = f"{found}, {1e3 * gain:.1f} mHa below the reference determinant ({start.operations:.1e} operations)"
        return cls(problem, selected, model, start.point, reason)

    @classmethod
    def recorded(cls, problem: PairedElectrons, record: str) -> PairedCircuit:
        """Return the circuit of a run's record. Raises InputError for a damaged one."""
        try:
            pairs = [each.split("-") for each in record.removeprefix(RECORD).split(".")]
            selected = tuple((int(p), int(q)) for p, q in pairs)
        except ValueError:
            selected = ()
        if not selected or not set(selected) <= set(pair_excitations(problem)):
            what = f"the circuit that the run recorded is damaged ({record})"
            raise InputError("ansatz", what, "Start a new run; this one's counts are kept.")
        return cls.of(problem, selected)

    def start(self, initial_point: InitialPoint, seed: int, *, is_simulated: bool) -> Start:
        """Return the ansatz at its initial point, as the settings name it, or chosen. Raises InputError."""
        ansatz = puccd(self.problem, self.selected)
        count = ansatz.num_parameters
        match initial_point:
            case StartName.AUTO if is_simulated and self.model is not None:
                return Start(replace(ansatz, initial_point=self.point, is_near=True, model=self.model), self.reason)
            case StartName.AUTO:
                nearby = two_level_angles(self.problem, self.selected)
                reason = "each excitation at its own minimum next to the reference determinant"
                return Start(replace(ansatz, initial_point=nearby, is_near=True), reason)
            case StartName.HF:
                return Start(ansatz)
            case StartName.RANDOM:
                return Start(_at(ansatz, np.random.default_rng(seed).uniform(-np.pi, np.pi, count)))
            case StartName.NEWTON:
                raise InputError("initial_point", "only uccsd has a Newton start", "Give uccsd, or leave it out.")
        return Start(_at(ansatz, np.array(initial_point, float)))


def two_level_angles(problem: PairedElectrons, selected: tuple[PairExcitation, ...]) -> NDArray[np.float64]:
    """Return for each excitation (n,) the angle of its own minimum, from the reference: E(θ) = Δ sin²θ + K sin 2θ."""
    energies, repulsions = problem.diagonal[1:]
    filled = np.arange(problem.num_qubits) < problem.pairs
    field = energies + repulsions[:, filled].sum(axis=1)
    gaps = [field[q] - field[p] - repulsions[p, q] for p, q in selected]
    couplings = [problem.exchange[p, q] for p, q in selected]
    angles = [-0.5 * np.arctan2(2.0 * k, max(gap, 0.0)) for k, gap in zip(couplings, gaps, strict=True)]
    return np.round(np.array(angles), 9) + 0.0


def _at(ansatz: Ansatz, point: NDArray[np.float64]) -> Ansatz:
    return replace(ansatz, initial_point=point)
