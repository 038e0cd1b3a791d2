"""Shots, gates, price and noise of ways to measure an energy, at equal error in the exact ground state of molecules.

Counted as CSHOREBench counts (A. Dutt et al., arXiv:2312.07497): of the quantum computer, shots and distinct circuits;
of the classical one, CPU time to propose the measurements and to process the outcomes.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from benchmarks.accuracy_energies import MHA, SHOTS_A_JOB, fcidump, percent
from benchmarks.bounds import Bound, Side, conclude, machine
from benchmarks.shot_molecules import ground_state, molecules
from benchmarks.shot_ways import Part, Way, all_ways
from hybridloop.algorithms.estimation.estimates import Z95, Evaluation, GroupStatistics, combine
from hybridloop.algorithms.estimation.final import measure_final_estimate
from hybridloop.algorithms.estimation.observable import MeasurementGroup, Observable
from hybridloop.algorithms.estimation.sampling import Sampling
from hybridloop.algorithms.problems.exact import exact_ground_energy
from hybridloop.algorithms.problems.molecule import Molecule
from hybridloop.algorithms.rounds import FailedPoint, MeasuredPub
from hybridloop.compiler.gate_counts import GateCounts
from hybridloop.inputs.formats.fcidump import read_fcidump
from hybridloop.targets import find_target
from hybridloop.targets.error_rates import error_rates
from hybridloop.targets.prices import billing_unit, price_of_job

PRECISION = 0.8 * MHA  # the 95th percentile of errors is then 1.6 mHa
SEARCH_SHOTS = 4000  # for each circuit: those of a search's last round, whose variances set the pilot
SEEDS = 200
TARGETS = ("quantinuum.qpu.h2-1", "ionq.qpu.forte-1", "rigetti.qpu.cepheus-1-108q")
QUICK = "LiH_1.595_fc"
ROGS, BEFORE, SPLIT = (f"fully-commuting, {way}" for way in ("ROGS", "split at Hartree-Fock", "split perturbed"))
NOW = "double factorization"


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn(Evaluation):
    """An evaluation that draws outcomes from the parts' distributions."""

    parts: tuple[Part, ...] = ()
    random: np.random.Generator = field(default_factory=np.random.default_rng)
    shots: list[Sequence[int]] = field(default_factory=list)  # of each round

    @classmethod
    def of(cls, way: Way, seed: int) -> _Drawn:
        groups = (MeasurementGroup("", (), np.zeros(0)),) * len(way.parts)  # only their number is asked for
        nothing = Observable(SparsePauliOp("I"), way.constant, groups)
        circuits = (QuantumCircuit(1),) * len(way.parts)
        return cls(nothing, circuits, _no_round, parts=way.parts, random=np.random.default_rng(seed))

    def measure_groups(
        self, points: NDArray[np.float64], shots: Sequence[int], others: Sequence[SamplerPub] = ()
    ) -> tuple[list[list[GroupStatistics | FailedPoint]], list[MeasuredPub]]:
        """Draw the statistics of each group that gets shots."""
        self.shots.append(shots)
        pairs = zip(self.parts, shots, strict=True)
        return [[self._draw(part, number)] for part, number in pairs if number], []

    def _draw(self, part: Part, shots: int) -> GroupStatistics:
        counts = self.random.multinomial(shots, part.probabilities)
        mean = float(counts @ part.energies) / shots
        return GroupStatistics(shots, mean, float(counts @ (part.energies - mean) ** 2), part.largest_deviation)


def _no_round(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
    raise AssertionError(f"{len(pubs)} circuits were to run, and outcomes are drawn here")


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a way: means over the seeds, errors in mHa, prices by target, biases in mHa by target."""

    way: str
    circuits: int
    shots: float
    rms_mha: float
    covered: float
    mean_gates: float
    most_gates: int
    ansatz_gates: int
    prices: tuple[float, ...]
    biases_mha: tuple[float, ...]
    proposal_s: float
    processing_s: float

    def __str__(self) -> str:
        prices = "".join(f" {price:9.2e}" for price in self.prices)
        biases = "".join(f" {bias:7.2f}" for bias in self.biases_mha)
        return (
            f"{self.way:<45} {self.circuits:>4} {self.shots:9.2e} {self.rms_mha:5.2f} {self.covered:5.1f} "
            f"{self.mean_gates:5.1f} {self.most_gates:>4} {self.ansatz_gates:>6}{prices}{biases} "
            f"{self.proposal_s:6.2f} {self.processing_s:6.2f}"
        )


def measure(way: Way, exact: float, seeds: int) -> Figures:
    """Measure a way to `PRECISION` once for each seed, as a run's final measurement does, its pilot included."""
    errors, covered, rounds = list[float](), list[bool](), list[Sequence[int]]()
    for seed in range(seeds):
        drawn = _Drawn.of(way, seed)
        searched, _ = drawn.measure_groups(np.zeros((1, 0)), [SEARCH_SHOTS] * len(way.parts))
        last = combine(way.constant, [each for row in searched for each in row if isinstance(each, GroupStatistics)])
        pilot = Sampling(SEARCH_SHOTS, PRECISION).planned([last], len(way.parts)).pilot
        final = measure_final_estimate(
            drawn, np.zeros(0), pilot=pilot, precision=PRECISION, on_round=lambda *_: None
        ).estimate
        errors.append((final.value - exact) / MHA)
        covered.append(abs(errors[-1]) * MHA <= Z95 * final.standard_error)
        rounds += drawn.shots[1:]
    shots = np.sum(rounds, axis=0) / seeds
    jobs = np.ceil(shots / SHOTS_A_JOB)
    gates = np.array([part.two_qubit_gates for part in way.parts])
    targets = [find_target(name) for name in TARGETS]
    fault = sum(part.fault_energy for part in way.parts)
    return Figures(
        way.name,
        len(way.parts),
        float(shots.sum()),
        float(np.sqrt(np.mean(np.square(errors)))),
        percent(covered),
        float(shots @ gates / shots.sum()),
        int(gates.max()),
        int(way.ansatz.num_nonlocal_gates()),
        tuple(_price(way, name, shots) for name in TARGETS),
        tuple(error_rates(target).two_qubit * fault / MHA for target in targets),
        way.proposal_s,
        float(jobs @ [part.processing_s for part in way.parts]),
    )


def _price(way: Way, name: str, shots: NDArray[np.float64]) -> float:
    """Return the price of a final measurement, UCCSD and the change of basis, in jobs of the most shots."""
    target, two_qubit = find_target(name), int(way.ansatz.num_nonlocal_gates())
    one_qubit, qubits, total = int(way.ansatz.size()) - two_qubit, way.ansatz.num_qubits, 0.0
    for part, number in zip(way.parts, shots, strict=True):
        counts = GateCounts(qubits, one_qubit + part.one_qubit_gates, two_qubit + part.two_qubit_gates, qubits)
        full, rest = divmod(int(np.ceil(number)), target.max_shots)
        for jobs, each in ((full, target.max_shots), (1, rest)):
            if jobs and each:
                total += jobs * (price_of_job(target, counts, each).expected or 0.0)
    return total


def compare(molecules: Mapping[str, Molecule], seeds: int) -> dict[str, list[Figures]]:
    """Measure all ways on the molecules, and print a table of each."""
    heads = "".join(f" {name.split('.')[0][:5] + ' ' + billing_unit(find_target(name)):>9}" for name in TARGETS)
    biases = "".join(f" {name.split('.')[0][:7]:>7}" for name in TARGETS)
    tables = {}
    for name, molecule in molecules.items():
        state, exact, figures = ground_state(molecule), exact_ground_energy(molecule), list[Figures]()
        print(f"\n{name:<45} circ     shots   rms cover gates most ansatz{heads}{biases}  prop.  proc.", flush=True)
        for way in all_ways(molecule, state):
            figures.append(measure(way, exact, seeds))
            print(figures[-1], flush=True)
        tables[name] = figures
    return tables


def shots_of_ways(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Compare the default's shots and errors with those of the default before it, and of ROGS."""
    compared = {QUICK: read_fcidump(fcidump(QUICK), QUICK)} if quick else molecules()
    bounds, seeds = [], 20 if quick else SEEDS
    # a precision that is just met has an rms error of itself, give or take 1 / √(2 seeds) of it; two of these
    most_rms = PRECISION / MHA * (1.0 + 2.0 / math.sqrt(2 * seeds))
    for name, figures in compare(compared, seeds).items():
        by_way = {each.way: each for each in figures}
        now = by_way[NOW]
        split = by_way[SPLIT]
        bounds += [
            Bound(f"{name}: shots / of the split before", split.shots / by_way[BEFORE].shots, Side.AT_MOST, 0.85),
            Bound(f"{name}: shots / of ROGS", split.shots / by_way[ROGS].shots, Side.AT_MOST, 0.8),
            Bound(f"{name}: shots of rotated orbitals / of the split", now.shots / split.shots, Side.AT_MOST, 0.8),
            Bound(f"{name}: rms error", now.rms_mha, Side.AT_MOST, most_rms, "mHa"),
            Bound(f"{name}: intervals that hold", now.covered, Side.AT_LEAST, 80 if quick else 90, "%"),
        ]
    return bounds


def main() -> int:
    """Measure all molecules, or the smallest; return the exit code, 1 if a bound was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shots", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="groups for lithium hydride, and 20 seeds")
    options = parser.parse_args()
    print(f"machine    {machine()}")
    return conclude(shots_of_ways(options.quick))


if __name__ == "__main__":
    sys.exit(main())
