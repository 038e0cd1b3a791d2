"""Algorithms of other libraries on a session's sampler; their circuits are compiled once."""

import copy
import math
import pickle

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit.library import real_amplitudes
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_algorithms import QAOA
from qiskit_algorithms.gradients import LinCombEstimatorGradient, ParamShiftEstimatorGradient
from qiskit_algorithms.optimizers import COBYLA

from hybridloop.errors import InputError
from tests.conftest import Emulator
from tests.session_helpers import open_run_session

# Max-cut of a path of three edges: 0101 and 1010 cut them all.
PATH = SparsePauliOp(["IIZZ", "IZZI", "ZZII"], [1.0, 1.0, 1.0])


@pytest.mark.claim("that uses Qiskit's V2 primitives")
def test_qaoa_of_another_library_finds_the_cut_and_its_bound_circuits_are_compiled_once(
    emulator: Emulator,
) -> None:
    with open_run_session(emulator.workspace(), seed=3) as session:
        sampler = session.sampler(shots=400)
        qaoa = QAOA(sampler, COBYLA(maxiter=12), reps=1, initial_point=np.array([0.4, 0.6]))
        result = qaoa.compute_minimum_eigenvalue(PATH)
    assert result.best_measurement["bitstring"] in {"0101", "1010"}
    assert session.num_jobs >= 10
    assert session.structures_compiled == 2  # it measures into two registers during the search, into one at its end
    assert session.status == "Succeeded"


@pytest.mark.parametrize("target", ["rigetti.sim.qvm", "ionq.simulator"])
def test_shots_have_no_order(emulator: Emulator, target: str) -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.measure_all()
    with open_run_session(emulator.workspace(), target=target, seed=3) as session:
        (pub,) = session.sampler(shots=2000).run([circuit]).result()
    bits = pub.data.meas
    ones = np.array([int(each) for each in bits.get_bitstrings()])
    # Wald and Wolfowitz, Ann. Math. Stat. 11 (1940) 147: the number of runs of equal shots is nearly normal
    n1, n0 = int(ones.sum()), int(len(ones) - ones.sum())
    runs = 1 + int(np.count_nonzero(np.diff(ones)))
    mean = 1 + 2 * n1 * n0 / (n1 + n0)
    deviation = math.sqrt((mean - 1) * (mean - 2) / (n1 + n0 - 1))
    assert abs(runs - mean) / deviation < 3.9  # 1e-4 of both tails
    half = bits.slice_shots(range(1000)).get_counts()
    assert abs(half["1"] - n1 / 2) < 3.9 * math.sqrt(1000 * 0.25 * 0.5)


def test_gradients_of_another_library_by_shifts_and_by_linear_combinations_are_those_of_the_state(
    emulator: Emulator,
) -> None:
    """The second kind adds an ancilla, and circuits with idle classical bits, and asks for the default precision."""
    circuit, total, point = real_amplitudes(2, reps=1), SparsePauliOp(["ZZ", "XI"], [1.0, 0.5]), [0.1, 0.2, 0.3, 0.4]

    def energy(angles: np.ndarray) -> float:
        return float(Statevector(circuit.assign_parameters(angles)).expectation_value(total).real)

    steps = 0.5 * np.pi * np.eye(4)
    exact = [(energy(point + step) - energy(point - step)) / 2.0 for step in steps]
    with open_run_session(emulator.workspace(), seed=3) as session:
        estimator = session.estimator(precision=0.02)
        assert (estimator.default_precision, session.sampler(shots=7).default_shots) == (0.02, 7)
        for gradient in (ParamShiftEstimatorGradient(estimator), LinCombEstimatorGradient(estimator)):
            found = gradient.run([circuit], [total], [point]).result().gradients[0]
            assert np.abs(found - exact).max() < 6 * 0.02


def test_a_copy_of_a_primitive_goes_on_in_the_session_and_has_options_of_its_own(emulator: Emulator) -> None:
    """Cross-validation copies a model with the primitives in it."""
    circuit = QuantumCircuit(1)
    circuit.measure_all()
    with open_run_session(emulator.workspace(), seed=3) as session:
        sampler, estimator = session.sampler(shots=10), session.estimator(precision=0.1)
        copied, other = copy.deepcopy((sampler, estimator))
        copied.options.default_shots = 20
        other.options.default_precision = 0.2
        assert (sampler.default_shots, estimator.default_precision) == (10, 0.1)
        assert [each.run([circuit]).result()[0].data.meas.num_shots for each in (copied, sampler)] == [20, 10]
        assert float(other.run([(QuantumCircuit(1), SparsePauliOp("Z"))]).result()[0].data.evs) == 1.0
        assert session.num_jobs == 3
        for make in (copy.copy, copy.deepcopy):
            options = make(sampler.options)
            options.default_shots = 30
            assert (options.default_shots, sampler.default_shots) == (30, 10)


def test_a_primitive_that_would_be_stored_with_a_model_says_what_to_store(emulator: Emulator) -> None:
    with open_run_session(emulator.workspace(), seed=3) as session:
        for primitive in (session.sampler(), session.estimator(), session.backend()):
            with pytest.raises(InputError, match=r"can't be stored in a file.*Store what was found"):
                pickle.dumps(primitive)
