"""Circuit, orbitals and measurement of a molecule: the cheapest of those that reach the ground state, and recorded."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from hybridloop.algorithms.circuits.basis import to_basis, two_qubit_gates
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.symmetry import Symmetry
from hybridloop.algorithms.facts import SYMMETRY_CONSERVED
from hybridloop.algorithms.mitigation.readout import projector_on
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.algorithms.rounds import Counts, MeasuredPub
from hybridloop.descriptions.adapt import AdaptSettings
from hybridloop.descriptions.scan import ScanSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import ProblemText, Recorded
from tests.algorithms.batched_state_helpers import noiseless_rounds, shot_rounds
from tests.preparation.test_spin_and_stability import problem
from tests.preparation_helpers import prepare_adapt, prepare_scan, prepare_vqe

LIH = ProblemText(name="lih-frozen-core")
ARIA = "ionq.qpu.aria-1"


def prepared(text: ProblemText, recorded: tuple[str, ...] = (), **values: Any) -> PreparedVqe:
    return prepare_vqe(text, VqeSettings(**values), 7, Recorded(recorded))


def largest(run: PreparedVqe) -> int:
    """Return the two-qubit gates of the largest circuit that is sent."""
    groups = run.energy.observable.groups
    return max(two_qubit_gates(to_basis(group.measurement_circuit(run.ansatz.circuit))) for group in groups)


@pytest.mark.parametrize("name", ["H3+_0.9", "H2_0.74_6-31g"])
def test_two_electrons_take_few_gates_on_one_qubit_for_each_orbital(name: str) -> None:
    run = prepared(problem(name), target=ARIA)
    assert run.ansatz.name == "puccd"
    assert isinstance(run.problem, ElectronicProblem)
    assert run.facts.num_qubits == run.problem.molecule.norb
    assert largest(run) <= 14
    assert run.choices["circuit"].startswith("puccd, at an estimated ")
    assert "; uccsd " in run.choices["circuit"]


def test_pairs_that_end_above_the_ground_state_are_not_chosen() -> None:
    run = prepared(ProblemText(name="h4"))
    assert run.ansatz.name == "grown"
    assert run.choices["circuit"].endswith(" two-qubit gates before its measurement in place of 406 of uccsd")
    asked = prepared(ProblemText(name="h4"), ansatz="puccd").run(noiseless_rounds())
    assert not asked.converged
    assert "Give the ansatz uccsd" in " ".join(asked.warnings)


@pytest.mark.slow
def test_uccsd_takes_natural_orbitals_where_these_shorten_it() -> None:
    ion = problem("BH_1.23_fc")  # of which pairs end 1.6 mHa above the ground state
    assert prepared(ion).ansatz.name == "grown"
    ion = problem("OH-_0.97_fc")
    values: dict[str, Any] = {"ansatz": "uccsd", "mapping": "jordan-wigner"}
    shorter, given = (prepared(ion, **values, orbitals=name) for name in ("auto", "given"))
    assert shorter.ansatz.circuit.num_nonlocal_gates() < given.ansatz.circuit.num_nonlocal_gates()
    assert "two-qubit gates of UCCSD in place of" in shorter.choices["orbitals"]
    assert "orbitals" not in given.choices
    assert isinstance(given.problem, ElectronicProblem)
    assert given.ansatz.circuit.num_nonlocal_gates() == uccsd(given.problem, is_tied=True).circuit.num_nonlocal_gates()
    assert shorter.facts.reference == given.facts.reference  # Hartree-Fock's, in any orbitals


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"mapping": "jordan-wigner"}, {"grown", "uccsd"}),
        ({"grouping": "double-factorization"}, {"grown", "uccsd"}),
        ({"initial_point": "newton"}, {"uccsd"}),
    ],
)
def test_a_setting_that_pairs_lack_leaves_the_others(values: dict[str, Any], names: set[str]) -> None:
    assert prepared(ProblemText(name="lih-3.0-cas22"), **values).ansatz.name in names


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"mapping": "jordan-wigner"}, "mapping"),
        ({"grouping": "double-factorization"}, "grouping"),
        ({"layers": 2}, "layers"),
        ({"initial_point": "newton"}, "initial_point"),
    ],
)
def test_puccd_refuses_what_it_has_not_by_its_name(values: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError) as refused:
        prepared(ProblemText(name="lih-3.0-cas22"), ansatz="puccd", **values)
    assert refused.value.field == name


@pytest.mark.slow
def test_a_record_decides_circuit_orbitals_and_measurement() -> None:
    first = prepared(LIH)
    (record,) = first.groupings
    assert " pairs:" in record
    assert " orbitals:" in record
    again = prepared(LIH, first.groupings, target=ARIA)  # where other rotations would be fitted
    assert again.groupings == first.groupings != prepared(LIH, target=ARIA).groupings
    assert again.ansatz.initial_point.tolist() == first.ansatz.initial_point.tolist()
    whole = prepared(LIH, ansatz="uccsd", orbitals="given")
    resumed = prepared(LIH, whole.groupings)
    assert resumed.ansatz.name == "uccsd"
    assert resumed.choices["circuit"] == "uccsd, as the run was started with it"
    for damaged in (record.replace("pairs:0-1", "pairs:0-9"), record[:-9]):
        with pytest.raises(InputError, match="damaged"):
            prepared(LIH, (damaged,))


def test_a_scan_keeps_one_kind_of_circuit() -> None:
    curve = ProblemText(name="curve", text='{"points": [{"name": "lih-3.0-cas22"}, {"name": "h4"}]}')
    run = prepare_scan(curve, ScanSettings(), 0)
    assert [point.ansatz.name for point in run.points] == ["grown", "grown"]
    assert run.points[0].choices["circuit"] == "grown at all points, as it is chosen at 1 of 2"
    alike = ProblemText(name="curve", text='{"points": [{"name": "lih-3.0-cas22"}, {"name": "h2"}]}')
    assert [point.ansatz.name for point in prepare_scan(alike, ScanSettings(), 0).points] == [
        "puccd",
        "puccd",
    ]


@pytest.mark.slow
def test_adapt_grows_fewer_gates_in_natural_orbitals() -> None:
    text = problem("H2_0.74_6-31g")
    natural, given = (prepare_adapt(text, AdaptSettings(orbitals=name), 0) for name in ("natural", "given"))
    assert natural.choices["orbitals"] == "natural orbitals of the exact ground state"
    assert " orbitals:" in natural.groupings[0]
    assert len(natural.run(noiseless_rounds()).table) < len(given.run(noiseless_rounds()).table)


def test_outcomes_with_another_number_of_pairs_are_a_fact_of_the_result() -> None:
    run = prepared(LIH)

    def with_errors(pubs: Any, /) -> list[MeasuredPub]:
        """Return results in which one outcome in a hundred or so has no pair."""
        results = []
        for result in shot_rounds(1)(pubs):
            (counts,) = result
            assert isinstance(counts, Counts)
            strings = counts.bitstrings()
            strings["0" * counts.num_bits] = counts.shots // 100
            results.append(MeasuredPub(result.points, (Counts.from_bitstrings(strings),)))
        return results

    (fact,) = [fact for fact in run.measure(with_errors, lambda _: None).facts if fact.name == SYMMETRY_CONSERVED]
    assert fact.shown is False
    assert re.search(
        r"outcomes \((0\.9\d|1\.0\d)%\) had another number of electron pairs, and were discarded", fact.reason
    )
    (fact,) = [fact for fact in run.measure(shot_rounds(1), lambda _: None).facts if fact.name == SYMMETRY_CONSERVED]
    assert (fact.shown, fact.reason) == (True, "no outcome had another number of electron pairs")


@pytest.mark.parametrize(("bits", "ones"), [(1, 0), (3, 1), (5, 2), (6, 6)])
def test_a_projector_on_a_number_of_ones_is_one_there_and_else_zero(bits: int, ones: int) -> None:
    projector = projector_on((Symmetry(tuple((1 << bit, False) for bit in range(bits)), ones),), bits)
    outcomes = np.arange(1 << bits)
    signs = 1.0 - 2.0 * (np.bitwise_count(outcomes[:, None] & np.array(list(projector))) & 1)
    np.testing.assert_allclose(signs @ list(projector.values()), np.bitwise_count(outcomes) == ones, atol=1e-12)
