"""Accuracy of reported energies: error, coverage of the error bar, rounds, jobs and shots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Statevector
from scipy.sparse.linalg import eigsh
from scipy.stats import chi2

from benchmarks.bounds import Bound, Side
from hybridloop.algorithms.choices import FermionMapping
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.estimation.estimates import Z95, evaluation
from hybridloop.algorithms.estimation.final import measure_final_estimate
from hybridloop.algorithms.outcome import Outcome
from hybridloop.algorithms.problems.electronic import ElectronicProblem, electronic_problem
from hybridloop.algorithms.problems.exact import exact_ground_energy
from hybridloop.algorithms.rounds import MeasuredPub, RunRound
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.inputs.formats.fcidump import read_fcidump
from hybridloop.settings import AnsatzName, OrbitalsName, ProblemText
from tests.algorithms.batched_state_helpers import shot_rounds
from tests.preparation_helpers import prepare_vqe

DATA = Path(__file__).parent.parent / "tests" / "data"
MHA = 1e-3  # hartree
CHEMICAL_ACCURACY_MHA = 1.6
SHOTS_A_JOB = 10_000
IN_GIVEN_ORBITALS = VqeSettings(ansatz=AnsatzName.UCCSD, orbitals=OrbitalsName.GIVEN)


class CountedRounds:
    """Rounds that are counted, with their shots and their jobs of at most `SHOTS_A_JOB` shots."""

    def __init__(self, run_round: RunRound) -> None:
        self._run_round = run_round
        self.rounds = self.jobs = self.shots = 0

    def __call__(self, pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        self.rounds += 1
        self.jobs += sum(pub.size * -(-int(pub.shots) // SHOTS_A_JOB) for pub in pubs)
        self.shots += sum(pub.size * int(pub.shots) for pub in pubs)
        return self._run_round(pubs)


@dataclass(frozen=True, slots=True)
class RunErrors:
    """Run's outcome, the errors of its value and of its angles' exact energy (mHa), and its counted rounds."""

    outcome: Outcome
    error_mha: float
    found_mha: float
    counted: CountedRounds

    @property
    def is_covered(self) -> bool:
        """True if the 95 % interval contains the exact energy."""
        assert self.outcome.interval95 is not None  # it is no upper bound
        low, high = self.outcome.interval95
        return low <= self.outcome.value - self.error_mha * MHA <= high


def fcidump(name: str) -> str:
    """Return a molecule's FCIDUMP from the tests' data: its own file, or the entry of the reference tables."""
    own = DATA / "fcidump" / f"{name}.fcidump"
    if own.exists():
        return own.read_text()
    molecules: dict[str, Any] = json.loads((DATA / "molecules.json").read_text())["molecules"]
    return str(molecules[name]["fcidump"])


def run_errors(
    name: str, seed: int, settings: VqeSettings | None = None, run_round: RunRound | None = None
) -> RunErrors:
    """Run a VQE of the molecule with the default or the given settings, on sampled or the given rounds."""
    prepared = prepare_vqe(ProblemText(name=name, text=fcidump(name)), settings or VqeSettings(), seed)
    exact = prepared.facts.exact()
    if exact is None:
        raise ValueError(f"{name} is too large for its exact energy to be known")
    counted = CountedRounds(run_round or shot_rounds(seed))
    outcome = prepared.measure(counted, lambda _: None)
    state = Statevector(prepared.ansatz.circuit.assign_parameters(np.array(outcome.parameters)))
    found = float(state.expectation_value(prepared.energy.observable.operator).real)
    return RunErrors(outcome, (outcome.value - exact) / MHA, (found - exact) / MHA, counted)


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return float(np.quantile(values, 0.95))


def dihydrogen(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Measure H2 at four distances with UCCSD, and the coverage of all error bars. Pairs have no shot noise there."""
    bounds: list[Bound] = []
    covered: list[bool] = []
    for name in ("H2_0.3", "H2_0.735", "H2_1.6", "H2_2.5"):
        runs = [run_errors(name, seed, IN_GIVEN_ORBITALS) for seed in range(20 if quick else 200)]
        covered += [run.is_covered for run in runs]
        bounds += [
            Bound(f"{name}: p95 of |reported|", p95([abs(r.error_mha) for r in runs]), Side.AT_MOST, 1.6, "mHa"),
            Bound(f"{name}: p95 of error at the angles", p95([r.found_mha for r in runs]), Side.AT_MOST, 0.6, "mHa"),
            Bound(f"{name}: p95 of rounds", p95([r.counted.rounds for r in runs]), Side.AT_MOST, 3),
            Bound(f"{name}: p95 of shots", p95([r.counted.shots / 1e6 for r in runs]), Side.AT_MOST, 0.1, "million"),
            Bound(f"{name}: p95 of jobs", p95([r.counted.jobs for r in runs]), Side.AT_MOST, 20),
        ]
    return [
        *bounds,
        Bound("H2: 95 % intervals that hold", percent(covered), Side.AT_LEAST, 94, "%"),
    ]


def on_qubits(name: str, mapping: FermionMapping = FermionMapping.PARITY) -> ElectronicProblem:
    """Return the molecule's problem on qubits."""
    return electronic_problem(read_fcidump(fcidump(name), name), mapping)


def ground_state(problem: ElectronicProblem) -> NDArray[np.complex128]:
    """Return the operator's lowest eigenstate, (2^qubits,)."""
    matrix = problem.hamiltonian.to_matrix(sparse=True)
    _, vectors = eigsh(matrix, k=1, which="SA", v0=np.ones(matrix.shape[0]))
    state: NDArray[np.complex128] = vectors[:, 0].astype(complex)
    return state


def ground_states(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Measure at the exact ground state only, in a run's groups: precision 0.7 mHa, a pilot of 4000 shots a circuit."""
    bounds: list[Bound] = []
    for name, most in (("H4_1", 3.3e6), ("LiH_1.595_fc", 1.3e6)):
        problem = on_qubits(name)
        exact, state = exact_ground_energy(problem.molecule), ground_state(problem)
        energy = prepare_vqe(ProblemText(name=name, text=fcidump(name)), IN_GIVEN_ORBITALS, 0).energy.observable
        nothing = Ansatz("exact", QuantumCircuit(energy.num_qubits), np.zeros(0), ())
        errors, shots, covered = [], [], []
        for seed in range(30 if quick else 300):
            measured = evaluation(energy, nothing, shot_rounds(seed, state))
            pilot = [4000] * len(measured.circuits)
            final = measure_final_estimate(
                measured, np.zeros(0), pilot=pilot, precision=0.7 * MHA, on_round=lambda *_: None
            )
            errors.append(abs(final.estimate.value - exact) / MHA)
            shots.append(final.estimate.shots)
            covered.append(errors[-1] * MHA <= Z95 * final.estimate.standard_error)
        bounds += [
            Bound(f"{name} at its ground state: p95 of |reported|", p95(errors), Side.AT_MOST, 1.6, "mHa"),
            Bound(f"{name} at its ground state: most shots", max(shots) / 1e6, Side.AT_MOST, most / 1e6, "million"),
            Bound(f"{name} at its ground state: intervals that hold", percent(covered), Side.AT_LEAST, 90, "%"),
        ]
    return bounds


def stretched(quick: bool) -> list[Bound]:  # noqa: FBT001 (a row's form)
    """Measure H4 chains whose ground state UCCSD cannot reach: right error bars, and no run claims convergence."""
    bounds: list[Bound] = []
    for name in ("H4_1.5", "H4_2"):
        runs = [run_errors(name, seed, VqeSettings(ansatz=AnsatzName.UCCSD)) for seed in range(1 if quick else 40)]
        off = [(run.error_mha - run.found_mha) * MHA / run.outcome.standard_error for run in runs]
        most = float(np.sqrt(chi2.ppf(0.995, len(off)) / len(off)))  # of unit normals; 1.29 for 40 runs
        bounds += [
            Bound(f"{name}: runs that claim convergence", sum(r.outcome.converged for r in runs), Side.AT_MOST, 0),
            Bound(
                f"{name}: runs that say why not",
                percent([_says_above(r) for r in runs]),
                Side.AT_LEAST,
                100,
                "%",
            ),
            Bound(f"{name}: rms deviation by error bar", float(np.sqrt(np.mean(np.square(off)))), Side.AT_MOST, most),
        ]
    return bounds


def _says_above(run: RunErrors) -> bool:
    return any(warning.startswith("above the ground state") for warning in run.outcome.warnings)


def percent(held: Sequence[bool]) -> float:
    """Return the share of true values in percent."""
    return 100 * float(np.mean(held))
