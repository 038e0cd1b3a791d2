"""Expected bias of an energy by a target's published noise, and what error mitigation is expected to leave of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SparsePauliOp
from scipy.sparse import csr_array

from hybridloop.algorithms.mitigation.zne import ZeroNoiseExtrapolation
from hybridloop.azure.error_rates import ErrorRates
from hybridloop.estimate.ideal_sampler import States, Step, evolve, ground_states
from hybridloop.settings import MitigationName

MAX_WORK = 1e8  # amplitudes through a gate: about a second
MOST_FAULTS = 128  # on each kind of gate: their mean shift is then known to a tenth
FEWEST_FAULTS = 12
FAULT_SHARE = 0.3  # of the mixed state's energy: the shift of a fault is 0.2 to 0.5 of it on LiH, H4, BeH2, H2O and N2
EXTRAPOLATIONS = frozenset({MitigationName.ZNE_LINEAR, MitigationName.ZNE_EXPONENTIAL})
_NO_ANGLES = np.zeros((1, 0))


@dataclass(frozen=True, slots=True)
class NoiseShifts:
    """Shifts of a circuit's energy to first order in the noise, each in hartree for an error rate of 1.

    `mixed` is the energy of the maximally mixed state above the circuit's: noise shifts the energy no further. `energy`
    is the circuit's own without noise; None if it was not simulated.
    """

    one_qubit: float
    two_qubit: float
    readout: float
    mixed: float
    energy: float | None = None

    @classmethod
    def by_gates(cls, one_qubit: float, two_qubit: float, mixed: float) -> NoiseShifts:
        """Return the shifts of a circuit that is not simulated by its numbers of gates; readout errors are left out."""
        of_fault = FAULT_SHARE * mixed
        return cls(0.75 * one_qubit * of_fault, 15 / 16 * two_qubit * of_fault, 0.0, mixed)

    def with_gates(self, factor: float) -> NoiseShifts:
        """Return the shifts of the same state by a circuit with more gates on two qubits."""
        return replace(self, two_qubit=factor * self.two_qubit)

    def bias(self, rates: ErrorRates, methods: Sequence[MitigationName] = ()) -> float:
        """Return the expected bias in hartree that noise leaves with these methods of error mitigation.

        The noise of a whole circuit is taken to mix its state with the maximally mixed one: A. M. Dalzell, N.
        Hunter-Jones and F. G. S. L. Brandão, Commun. Math. Phys. 405 (2024) 78. At a scale s of the noise the energy is
        then M (1 − exp(−s b / M)) too high, with the first-order shift b and the mixed state's M. Of that, linear
        extrapolation leaves what is no line; the same is taken for the exponential, which leaves less where this decay
        is the true one. Readout mitigation leaves no readout error, and post-selection is not counted.
        """
        gates = rates.one_qubit * self.one_qubit + rates.two_qubit * self.two_qubit
        readout = 0.0 if MitigationName.READOUT in methods else rates.readout * self.readout
        if not EXTRAPOLATIONS & set(methods):
            return self._mixed_by(gates + readout)
        zne = ZeroNoiseExtrapolation()
        scaled = zip(zne.weights, zne.scales, strict=True)
        return math.fsum(weight * self._mixed_by(scale * gates + readout) for weight, scale in scaled)

    def _mixed_by(self, shift: float) -> float:
        if shift <= 0.0 or self.mixed <= 0.0:
            return shift
        return -self.mixed * math.expm1(-shift / self.mixed)


def noise_shifts(steps: Sequence[Step], energy: SparsePauliOp, *, seed: int = 0) -> NoiseShifts | None:
    """Simulate faults in the gates that prepare a state; None where that takes too long. `energy` is in hartree.

    To first order in its strength r, depolarizing noise after a gate on k qubits shifts the energy by r (1 − 4^−k)
    times the mean shift of a Pauli fault there. Faults are drawn at gates in even distances, each with a random Pauli.
    """
    qubits = int(energy.num_qubits or 0)
    faults = min(MOST_FAULTS, int(MAX_WORK / (2.0 * max(1, len(steps)) * 2**qubits)))
    if faults < FEWEST_FAULTS:
        return None
    generator = np.random.default_rng(seed)
    matrix = csr_array(energy.to_matrix(sparse=True))
    weights = (energy.paulis.x | energy.paulis.z).sum(axis=1)  # a flip with chance p takes 2 p of a qubit's Pauli
    read = csr_array(SparsePauliOp(energy.paulis, -2.0 * weights * energy.coeffs).to_matrix(sparse=True))
    ideal = evolve(ground_states(1, qubits), steps)
    value, readout = (float(_expectations(each, ideal)[0]) for each in (matrix, read))
    one_and_two = []
    for width in (1, 2):
        places = [number for number, step in enumerate(steps) if len(step.qubits) == width]
        drawn = [places[int(share * len(places))] for share in (np.arange(faults) + 0.5) / faults] if places else []
        shifted = _expectations(matrix, _with_faults(steps, drawn, qubits, generator)) if drawn else np.array([value])
        one_and_two.append(len(places) * (1.0 - 0.25**width) * (float(shifted.mean()) - value))
    mixed = float(matrix.diagonal().real.mean()) - value
    one_qubit, two_qubit = one_and_two
    return NoiseShifts(one_qubit, two_qubit, readout, mixed, value)


def _with_faults(steps: Sequence[Step], places: Sequence[int], qubits: int, generator: np.random.Generator) -> States:
    """Return states (faults, 2^qubits) of the circuit, each with a random Pauli after the gate at its place.

    `places` ascend. The first row of the states in between has no fault yet.
    """
    states, done = ground_states(1, qubits), 0
    for place in dict.fromkeys(places):
        states = evolve(states, steps[done : place + 1])
        faulty = [_fault(states[:1], steps[place].qubits, generator) for _ in range(places.count(place))]
        states, done = np.concatenate([states, *faulty]), place + 1
    return evolve(states[1:], steps[done:])


def _fault(state: States, qubits: Sequence[int], generator: np.random.Generator) -> States:
    """Apply a random Pauli other than the identity."""
    number = int(generator.integers(1, 4 ** len(qubits)))
    letters = [" xyz"[number >> 2 * index & 3] for index in range(len(qubits))]
    gates = [Step(letter, (qubit,), _NO_ANGLES) for letter, qubit in zip(letters, qubits, strict=True) if letter != " "]
    return evolve(state, gates)


def _expectations(matrix: csr_array, states: States) -> NDArray[np.float64]:
    """Return ⟨state|matrix|state⟩ of each row."""
    images: States = np.asarray(matrix @ states.T)
    values: NDArray[np.float64] = (states.conj() * images.T).sum(axis=1).real
    return values
