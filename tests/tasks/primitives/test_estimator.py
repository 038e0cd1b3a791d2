"""Estimator of a session: one round per run, right values with error bars, and algorithms of other libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Clbit, Parameter, Qubit
from qiskit.circuit.library import real_amplitudes
from qiskit.quantum_info import SparseObservable, SparsePauliOp, Statevector
from qiskit_algorithms import QAOA, VQE, AdaptVQE, SamplingVQE
from qiskit_algorithms.optimizers import COBYLA, NFT, SPSA
from qiskit_algorithms.utils import algorithm_globals
from scipy.stats import chi2

from hybridloop.algorithms.circuits.custom import circuit_ansatz
from hybridloop.algorithms.estimation.observable import observable
from hybridloop.budget.caps import Caps
from hybridloop.errors import InputError, JobFailed
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import hold_run
from hybridloop.settings.failure_policy import FailurePolicy, OnLostJob
from hybridloop.settings.session_options import SessionOptions
from hybridloop.tasks.primitives import foreseen_variances
from hybridloop.tasks.session import OpenSession
from hybridloop.tasks.submission.rounds import Rounds
from tests.conftest import Died, Emulator
from tests.session_helpers import open_run_session
from tests.tasks.conftest import add_run

TARGET = "rigetti.sim.qvm"
H2 = SparsePauliOp(["II", "IZ", "ZI", "ZZ", "XX"], [-1.052373, 0.397937, -0.397937, -0.011280, 0.180931])
H2_GROUND = -1.857275
PATH = SparsePauliOp(["IZZ", "ZZI"], [1.0, 1.0])
POINTS = np.random.default_rng(1).uniform(-2, 2, (3, 1, 4))
OBSERVABLES = [H2, SparsePauliOp("ZZ"), SparseObservable("0+"), SparsePauliOp(["II", "YX"], [2.0, 0.3])]
# Of independent normal deviations, 32 here, the largest is above this in 2 of 1,000 seeds.
SIGMAS = 4.0


def exact(circuit: QuantumCircuit, point: np.ndarray, operator: SparsePauliOp | SparseObservable) -> float:
    dense = SparsePauliOp.from_sparse_observable(operator) if isinstance(operator, SparseObservable) else operator
    return float(Statevector(circuit.assign_parameters(point)).expectation_value(dense).real)


def test_a_run_of_any_shapes_is_one_round_of_shared_circuits_with_right_values(emulator: Emulator) -> None:
    circuit = real_amplitudes(2, reps=1)
    with open_run_session(emulator.workspace(), seed=3) as session:
        job = session.estimator(
            shares_equal_points=True
        ).run(
            [
                (circuit, [OBSERVABLES], POINTS, 0.02),  # every observable at every point
                (circuit, H2, POINTS[:, 0], 0.05),
                (circuit, OBSERVABLES[:3], POINTS[:, 0], 0.05),  # the first at the first, the second at the second …
            ]
        )
        table, column, pairs = job.result()
        # the other PUBs request some of the same circuits, with fewer shots; the job has whole sets of shots
        assert table.metadata["shots"] <= session.shots <= 1.05 * table.metadata["shots"]
    assert job.result()[0] is table
    assert table.metadata["shares_equal_points"] is True
    assert session.num_jobs == 1  # ZZ, XX, ZX and YX at each point
    assert [each.metadata["circuits"] for each in (table, column, pairs)] == [3 * 4, 3 * 2, 2 + 1 + 1]
    assert (table.data.evs.shape, column.data.evs.shape, pairs.data.evs.shape) == ((3, 4), (3,), (3,))
    truth = [[exact(circuit, point, each) for each in OBSERVABLES] for point in POINTS[:, 0]]
    assert np.abs((table.data.evs - truth) / table.data.stds).max() < SIGMAS
    assert np.abs((column.data.evs - np.array(truth)[:, 0]) / column.data.stds).max() < SIGMAS
    assert np.abs((pairs.data.evs - np.diagonal(truth)) / pairs.data.stds).max() < SIGMAS
    # A group's expected variance is Σ c²; what correlates may have as much again for each term it has, four at most.
    assert table.data.stds.max() < 2 * 0.02
    assert column.data.stds.max() < 2 * 0.05


@pytest.fixture
def unforeseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Circuits are too large for a simulation."""
    monkeypatch.setattr(foreseen_variances, "MAX_QUBITS", 0)


@pytest.mark.usefixtures("unforeseen")
def test_later_rounds_use_the_shots_that_the_variances_need(emulator: Emulator) -> None:
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    total = SparsePauliOp(["ZZ", "XX", "YZ"], [1.0, 1.0, 0.5])  # only YZ varies on this state
    with open_run_session(emulator.workspace(), seed=3) as session:
        estimator = session.estimator(precision=0.02)
        first, second = (estimator.run([(bell, total)]).result()[0] for _ in range(2))
    assert second.metadata["shots"] < first.metadata["shots"] / 2
    assert first.data.stds < second.data.stds < 0.021  # variances of a thousand shots are sharp within 3 %


def test_equal_pubs_and_points_have_measurements_of_their_own_unless_they_share_them(emulator: Emulator) -> None:
    tilted = QuantumCircuit(1)
    tilted.ry(1.0, 0)
    turned, angle, count = QuantumCircuit(1), Parameter("a"), 200
    turned.ry(angle, 0)
    low, high = np.asarray(chi2.ppf([0.005, 0.995], count - 1)) / (count - 1)
    with open_run_session(emulator.workspace(), seed=3) as session:
        estimator, sharing = (
            session.estimator(precision=0.1),
            session.estimator(precision=0.1, shares_equal_points=True),
        )
        pubs = estimator.run([(tilted, SparsePauliOp("Z"))] * count).result()
        points = estimator.run([(turned, SparsePauliOp("Z"), [[1.0]] * count)]).result()[0]
        for values, errors in (
            ([float(pub.data.evs) for pub in pubs], [float(pub.data.stds) for pub in pubs]),
            (points.data.evs, points.data.stds),
        ):
            assert low < np.var(values, ddof=1) / np.mean(np.square(errors)) < high
        assert [pub.metadata["shares_equal_points"] for pub in pubs] == [False] * count
        shared = sharing.run([(tilted, SparsePauliOp("Z"))] * 20).result()
        assert len({float(pub.data.evs) for pub in shared}) == 1


@pytest.mark.parametrize(("target", "most"), [("ionq.qpu.forte-1", 1.15), ("quantinuum.sim.h2-1e", 1.15)])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_calls_of_an_estimator_where_jobs_have_a_least_price_cost_alike(
    emulator: Emulator, target: str, seed: int, most: float
) -> None:
    circuit, total = real_amplitudes(2, reps=1), SparsePauliOp(["ZZ", "XI", "IX"], [1.0, 0.6, 0.4])
    points = np.random.default_rng(seed).uniform(-np.pi, np.pi, (4, 4))
    costs, before = [], 0.0
    with open_run_session(emulator.workspace(), target, SessionOptions(caps=Caps(max_jobs=100)), seed=seed) as session:
        estimator = session.estimator(precision=0.05)
        for _ in range(4):
            result = estimator.run([(circuit, total, points)]).result()[0]
            assert result.data.stds.max() <= 0.05
            (now,) = session.cost.values()
            costs.append(now - before)
            before = now
    assert max(costs) <= most * min(costs)


@pytest.mark.usefixtures("unforeseen")
def test_a_further_round_measures_the_points_that_lack_shots_alone(emulator: Emulator) -> None:
    """On a Bell state ZI and IZ are one bit, so that their sum varies twice as much as of an unknown state."""
    circuit, total = QuantumCircuit(2), SparsePauliOp(["ZI", "IZ"], [0.7, 0.7])
    circuit.ry(Parameter("a"), 0)
    circuit.cx(0, 1)
    asked: list[list[tuple[int, int]]] = []
    with open_run_session(emulator.workspace(), "quantinuum.sim.h2-1e", seed=3) as session:
        start = session.rounds.start

        def watched(pubs: Any, **more: Any) -> Any:
            asked.append([(pub.size, int(pub.shots)) for pub in pubs])
            return start(pubs, **more)

        session.rounds.start = watched  # type: ignore[method-assign]
        result = session.estimator(precision=0.05).run([(circuit, total, [[0.0], [np.pi / 2]])]).result()[0]
    assert result.data.stds.max() <= 0.05
    ((points, first),), ((lacking, further),) = asked
    assert (points, lacking) == (2, 1)
    assert 0.7 * first < further < 1.5 * first


@pytest.mark.parametrize(
    "precision", [pytest.param(0.1, marks=pytest.mark.slow), 0.05, pytest.param(0.02, marks=pytest.mark.slow)]
)
@pytest.mark.usefixtures("unforeseen")
def test_standard_errors_are_at_most_the_precision(emulator: Emulator, precision: float) -> None:
    circuit, points = real_amplitudes(3, reps=1), np.random.default_rng(2).uniform(-2, 2, (45, 6))
    total = SparsePauliOp(["ZZI", "IZZ", "XXI", "IXX", "YIY"], [1.0, 0.8, 0.5, 0.4, 0.3])  # what commutes correlates
    with open_run_session(emulator.workspace(), seed=3) as session:
        estimator = session.estimator(precision=precision)
        stds = np.concatenate([estimator.run([(circuit, total, points)]).result()[0].data.stds for _ in range(3)])
        assert session.num_jobs > 3  # some lacked shots
    assert np.mean(stds <= precision) >= 0.97
    assert stds.mean() > 0.5 * precision  # and not by many shots too many


@dataclass(frozen=True)
class Call:
    """A call with a standard error, and the shots that a state vector says it needs."""

    pub: tuple[Any, ...]
    precision: float
    needs: float


def call_of(random: np.random.Generator) -> Call:
    """Draw a circuit of up to five qubits, observables, points and a precision."""
    qubits, reps = int(random.integers(1, 6)), int(random.integers(1, 4))
    circuit = real_amplitudes(qubits, reps=reps) if random.random() < 0.8 else QuantumCircuit(qubits)
    if not circuit.num_parameters:
        circuit.h(0)
        for qubit in range(1, qubits):
            circuit.cx(0, qubit)
    points = random.uniform(-np.pi, np.pi, (int(random.integers(1, 6)), circuit.num_parameters))
    labels = ["".join(random.choice(list("IXYZ"), qubits)) for _ in range(int(random.integers(1, 6)))]
    total = SparsePauliOp(labels, random.normal(size=len(labels))).simplify(atol=0.0)
    precision = float(10 ** random.uniform(-2.0, -1.0))
    needs = 0.0
    for point in points:
        state, deviations, reach = Statevector(circuit.assign_parameters(point)), 0.0, 0.0
        for group in observable(total).groups:
            basis = group.measurement_circuit(QuantumCircuit(qubits)).remove_final_measurements(inplace=False)
            probabilities, outcomes = state.evolve(basis).probabilities(), np.arange(2**qubits)
            signs = [1.0 - 2.0 * (np.bitwise_count(outcomes & mask) & 1) for mask in group.masks]
            values = group.coefficients @ np.array(signs)
            mean = probabilities @ values
            deviations += np.sqrt(max(0.0, probabilities @ (values - mean) ** 2))
            reach += max(values.max() - mean, mean - values.min())
        # Neyman's allocation; or an outcome that was not seen, where no scatter hides it
        needs += max((deviations / precision) ** 2, reach / precision)
    return Call((circuit, total, points), precision, needs)


@pytest.mark.parametrize(
    ("target", "number"), [(TARGET, 100), pytest.param("quantinuum.sim.h2-1e", 40, marks=pytest.mark.slow)]
)
def test_one_job_does_in_nine_of_ten_calls_of_few_shots_too_many(emulator: Emulator, target: str, number: int) -> None:
    random = np.random.default_rng(117)
    calls = [call_of(random) for _ in range(number)]
    options = SessionOptions(caps=Caps(max_jobs=5_000))
    rounds, reached = list[int](), True
    with open_run_session(emulator.workspace(), target, options, seed=3) as session:
        estimator, start = session.estimator(), session.rounds.start

        def watched(pubs: Any, **more: Any) -> Any:
            rounds[-1] += 1
            return start(pubs, **more)

        session.rounds.start = watched  # type: ignore[method-assign]
        for call in calls:
            rounds.append(0)
            jobs = session.num_jobs
            stds = estimator.run([call.pub], precision=call.precision).result()[0].data.stds
            reached &= bool((stds <= call.precision).all())
            assert target != TARGET or session.num_jobs - jobs <= rounds[-1]
        shots = session.shots
    assert reached
    assert sum(each <= 1 for each in rounds) >= 0.9 * number
    assert shots <= 1.15 * sum(call.needs for call in calls)


def test_the_simulations_of_a_call_share_its_time(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call may have many PUBs."""
    seen = list[int]()
    monkeypatch.setattr(foreseen_variances, "GATE_S", foreseen_variances.MAX_S / 12)  # 3 steps and a value each

    def counted(*arguments: Any) -> Any:
        seen.append(1)
        return foreseen_variances.foresee(*arguments)

    monkeypatch.setattr("hybridloop.tasks.primitives.estimator.foresee", counted)
    tilted = QuantumCircuit(1)
    tilted.ry(1.0, 0)
    with open_run_session(emulator.workspace(), seed=3) as session:
        estimator = session.estimator(precision=0.1)
        for _ in range(2):
            estimator.run([(tilted, SparsePauliOp("Z"))] * 5).result()
            assert len(seen) == 3
            seen.clear()


def test_a_call_without_top_ups_is_one_job_that_says_the_error_it_reached(emulator: Emulator, unforeseen: None) -> None:
    circuit, total = QuantumCircuit(2), SparsePauliOp(["ZI", "IZ"], [0.7, 0.7])
    circuit.h(0)
    circuit.cx(0, 1)
    with open_run_session(emulator.workspace(), seed=3) as session:
        (lacking,) = session.estimator(precision=0.05, top_ups=False).run([(circuit, total)]).result()
        assert (session.num_jobs, 0.05 < lacking.data.stds < 0.08) == (1, True)
        fixed = session.estimator(shots=100)
        (of_shots,) = fixed.run([(circuit, [total, SparsePauliOp("XX")])]).result()
        assert (session.num_jobs, of_shots.metadata["shots"], of_shots.metadata["target_precision"]) == (2, 200, None)
        assert of_shots.data.stds[0] == pytest.approx(1.4 / 10, rel=0.1)
        with pytest.raises(InputError, match=r"^precision: that of PUB 0 has no effect on an estimator with 100 shots"):
            fixed.run([(circuit, total, None, 0.1)])
        for shots in (0, 1.5, True, "10"):
            with pytest.raises(InputError, match="shots must be a whole number of at least 1"):
                session.estimator(shots=shots)  # type: ignore[arg-type]


def test_a_call_that_is_too_large_to_be_meant_is_refused_before_anything_is_sent(emulator: Emulator) -> None:
    circuit, measured = QuantumCircuit(1), QuantumCircuit(1)
    measured.measure_all()
    angles = real_amplitudes(1, reps=1)
    with open_run_session(emulator.workspace(), seed=3) as session:
        with pytest.raises(InputError, match=r"one call takes 1,000,000,000") as refused:
            session.sampler(shots=10**9).run([measured])
        assert refused.value.field == "shots"
        with pytest.raises(InputError, match=r"0\.0003 takes more than 10,000,000 shots"):
            session.estimator(precision=3e-4).run([(circuit, SparsePauliOp("X"))])
        assert session.num_jobs == 0
    paid, points = "ionq.qpu.aria-1", np.linspace(0.0, 1.0, 202).reshape(101, 2)
    with open_run_session(emulator.workspace(), paid) as session:
        with pytest.raises(InputError, match="101 jobs") as uncapped:
            session.estimator(precision=0.1).run([(angles, SparsePauliOp("Z"), points)])
        assert uncapped.value.field == "max_cost"
        assert session.num_jobs == 0
    capped = SessionOptions(caps=Caps(max_jobs=200))
    with open_run_session(emulator.workspace(), paid, capped) as session:
        session.estimator(precision=0.3).run([(angles, SparsePauliOp("Z"), points)]).result()
        assert session.num_jobs == 101


def test_a_constant_takes_no_job_and_an_exact_target_states_its_rounding(emulator: Emulator) -> None:
    circuit = real_amplitudes(2, reps=1)
    with open_run_session(emulator.workspace(), "ionq.simulator") as session:
        constant, energy = (
            session.estimator()
            .run([(circuit, SparsePauliOp(["II"], [2.5]), POINTS[0, 0]), (circuit, H2, POINTS[0, 0], 0.01)])
            .result()
        )
        assert session.num_jobs == 2
    assert (float(constant.data.evs), float(constant.data.stds)) == (2.5, 0.0)
    assert abs(float(energy.data.evs) - exact(circuit, POINTS[0, 0], H2)) <= 2.0 * float(energy.data.stds)
    assert 0 < float(energy.data.stds) < 1e-4  # of the most shots of a job


def test_an_invalid_estimator_pub_is_refused_before_anything_is_sent(emulator: Emulator) -> None:
    measured = QuantumCircuit(2)
    measured.measure_all()
    with open_run_session(emulator.workspace()) as session:
        estimator = session.estimator()
        with pytest.raises(InputError, match="classical bit"):
            estimator.run([(measured, SparsePauliOp("ZZ"))])
        branching = QuantumCircuit(1, 1)
        with branching.if_test((branching.clbits[0], 1)):
            branching.x(0)
        with pytest.raises(InputError, match="classical bit"):
            estimator.run([(branching, SparsePauliOp("Z"))])
        for precision in (-1.0, float("nan"), 1e-7, 1e-200, 1e-320):
            with pytest.raises(InputError, match="precision"):
                estimator.run([(QuantumCircuit(2), SparsePauliOp("ZZ"))], precision=precision)
        with pytest.raises(InputError, match="precision"):
            session.estimator(precision=0.0)
        assert session.num_jobs == 0
    skipping = FailurePolicy(on_lost_job=OnLostJob.SKIP)
    with (
        open_run_session(emulator.workspace(), options=SessionOptions(failure=skipping)) as session,
        pytest.raises(InputError, match="estimator"),
    ):
        session.estimator()


def test_declared_bits_are_no_measurement_and_loose_ones_have_a_name(emulator: Emulator) -> None:
    declared = QuantumCircuit(2, 3, name="declared")
    declared.ry(Parameter("a"), 1)
    idle = circuit_ansatz(declared, [0.2]).circuit
    assert (idle.num_clbits, idle.num_parameters) == (0, 1)
    loose = QuantumCircuit([Qubit(), Qubit()], [Clbit(), Clbit()])
    both = QuantumCircuit([Qubit(), Qubit()], [Clbit()], ClassicalRegister(1, "meas"))
    for circuit in (loose, both):
        circuit.x(0)
        circuit.measure([0, 1], [0, 1])
    with open_run_session(emulator.workspace(), seed=3) as session:
        value = session.estimator(precision=0.02).run([(declared, SparsePauliOp("ZI"), [1.0])]).result()[0]
        assert float(value.data.evs) == pytest.approx(np.cos(1.0), abs=0.1)
        results = session.sampler(shots=10).run([loose, both]).result()
    assert results[0].data.meas.get_counts() == {"01": 10}
    assert results[1].data.meas_loose.get_counts() == {"1": 10}
    assert results[1].data.meas.get_counts() == {"0": 10}


def test_a_failed_job_raises_instead_of_giving_a_value(emulator: Emulator) -> None:
    emulator.admin("faults", {"rules": [{"fault": "job-fails", "code": "InvalidInputData", "nth": 1}]})
    with open_run_session(emulator.workspace()) as session:
        job = session.estimator().run([(QuantumCircuit(1), SparsePauliOp("Z"))])
        with pytest.raises(JobFailed, match="InvalidInputData"):
            job.result()


def vqe_on(session: OpenSession) -> list[float]:
    optimizer = SPSA(maxiter=5, learning_rate=0.2, perturbation=0.1)
    theirs = VQE(
        session.estimator(precision=0.05), real_amplitudes(2, reps=1), optimizer, initial_point=np.full(4, 0.2)
    )
    found = theirs.compute_minimum_eigenvalue(H2, aux_operators=[SparsePauliOp("ZZ"), SparsePauliOp("XX")])
    return [found.optimal_value, *found.optimal_point, *(value for value, _ in found.aux_operators_evaluated)]


def adapt_vqe_on(session: OpenSession) -> list[float]:
    start = QuantumCircuit(2)
    start.x(0)
    vqe = VQE(session.estimator(precision=0.01), start, NFT(maxiter=1))
    pool = [SparsePauliOp("YI"), SparsePauliOp("XY")]
    adapt = AdaptVQE(vqe, gradient_threshold=0.1, max_iterations=1, operators=pool, initial_state=start)
    found = adapt.compute_minimum_eigenvalue(H2)
    # a fit's minimum of values with a standard error of 0.01, as that library reports it
    assert found.optimal_value == pytest.approx(H2_GROUND, abs=0.06)
    return [found.optimal_value, *found.optimal_point]


def qaoa_on(session: OpenSession) -> list[float]:
    theirs = QAOA(session.sampler(shots=200), COBYLA(maxiter=8), initial_point=np.array([0.4, 0.6]))
    found = theirs.compute_minimum_eigenvalue(PATH)
    return [found.optimal_value, *found.optimal_point]


def sampling_vqe_on(session: OpenSession) -> list[float]:
    optimizer = SPSA(maxiter=4, learning_rate=0.2, perturbation=0.1)
    theirs = SamplingVQE(
        session.sampler(shots=100), real_amplitudes(3, reps=0), optimizer, initial_point=np.full(3, 0.3)
    )
    found = theirs.compute_minimum_eigenvalue(PATH)
    return [found.optimal_value, *found.optimal_point]


@pytest.mark.claim("that uses Qiskit's V2 primitives")
@pytest.mark.parametrize("algorithm", [vqe_on, adapt_vqe_on, qaoa_on, sampling_vqe_on])
def test_an_algorithm_of_another_library_resumes_to_the_same_answer(
    algorithm: Callable[[OpenSession], list[float]],
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    algorithm_globals.random_seed = 7
    workspace = emulator.workspace()
    with open_run_session(workspace, seed=3) as session:
        unbroken = algorithm(session)
        jobs = session.num_jobs
    with Journal(journal_url(tmp_path / "journal.db")) as journal:
        uid = add_run(journal)
        collected = 0
        collect = Rounds.collect

        def dies_at_the_fourth(self: Rounds, round_: object) -> object:
            nonlocal collected
            collected += 1
            if collected == 4:
                raise Died
            return collect(self, round_)  # type: ignore[arg-type]

        with monkeypatch.context() as dying:
            dying.setattr(Rounds, "collect", dies_at_the_fourth)
            algorithm_globals.random_seed = 7
            with (
                pytest.raises(Died),
                hold_run(journal, uid) as held,
                open_run_session(workspace, run=held) as dying_session,
            ):
                algorithm(dying_session)
        algorithm_globals.random_seed = 7
        with hold_run(journal, uid) as held, open_run_session(workspace, run=held) as session:
            resumed = algorithm(session)
            assert session.replayed >= 3  # the round in flight may have ended in the seconds after the death
    assert resumed == unbroken
    books = emulator.admin(f"ledger?run={uid}")
    assert (len(books["entries"]), books["duplicates"]["count"]) == (jobs, 0)
