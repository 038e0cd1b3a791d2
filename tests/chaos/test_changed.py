"""A resume with changed inputs is refused before anything is submitted; another CPU gives the same result."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp

from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.optimizers.rotosolve import Rotosolve
from hybridloop.algorithms.optimizers.scipy import ScipyMethod, ScipyOptimizer
from hybridloop.algorithms.rounds import MeasuredPub, RunRound
from hybridloop.azure.workspace import connect
from hybridloop.emulator.pytest_plugin import Emulator
from hybridloop.errors import ReplayDiverged
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.held_run import hold_run
from hybridloop.settings.session_options import SessionOptions
from hybridloop.targets import Batching
from hybridloop.tasks.session import open_run_session
from tests.chaos.process_helpers import KILLED, TARGET, Reference, Trial
from tests.chaos.search_helpers import EVALUATIONS, ISING, SEARCHES, ansatz, cobyla_on, eigensolver
from tests.long_form import long_form, short_or_long


@pytest.fixture(scope="module")
def recorded(service: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Return a run that was killed with 20 complete rounds and one partly submitted."""
    trial = Trial.of(service, tmp_path_factory.mktemp("recorded"), "cobyla")
    assert trial.resume(crash_at="put.after:41") == KILLED
    return trial


def resume_copy(trial: Trial, folder: Path, search: Callable[[RunRound], object], target: str = TARGET) -> None:
    """Resume in this process from a copy of the journal, so that each case starts from the same state."""
    copy = folder / "journal.db"
    for path in trial.order.journal.parent.glob("journal.db*"):
        shutil.copy(path, folder / path.name)
    with Journal(journal_url(copy)) as journal, hold_run(journal, trial.order.uid) as run:
        with open_run_session(
            connect(trial.order.connection), target, SessionOptions(batching=Batching.OFF), run=run
        ) as session:
            search(session.run_round)


def cobyla(*, seed: int = 5) -> ScipyOptimizer:
    return ScipyOptimizer(ansatz(seed=seed).initial_point, tolerance_rad=1e-6, max_evaluations=EVALUATIONS)


def one_group_a_round(run_round: RunRound) -> RunRound:
    def run_changed(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        return [run_round([pub])[0] for pub in pubs]

    return run_changed


def groups_reversed(run_round: RunRound) -> RunRound:
    def run_changed(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
        return run_round(pubs[::-1])[::-1]

    return run_changed


def entangled_longer() -> Ansatz:
    circuit = ansatz().circuit.copy()
    circuit.cx(1, 0)
    return replace(ansatz(), circuit=circuit)


CHANGES: dict[str, tuple[Callable[[RunRound], object], str]] = {
    "seed": (lambda run: eigensolver(run, cobyla(seed=6)), r"at point 0, angle \d, .* rad, and was recorded with"),
    "operator": (
        lambda run: eigensolver(run, cobyla(), hamiltonian=SparsePauliOp(ISING.paulis, [1.0, 0.3, 0.4])),
        r"at point 0, angle \d, .* rad, and was recorded with",
    ),
    "operator-with-other-terms": (
        lambda run: eigensolver(run, cobyla(), hamiltonian=SparsePauliOp(["ZZ", "YI", "IX"], ISING.coeffs)),
        "other gates, qubits or measurements than the recorded one",
    ),
    "optimizer": (
        lambda run: eigensolver(run, Rotosolve(ansatz().initial_point, ansatz().frequencies)),
        r"has 3 point\(s\) of 4 parameter\(s\), and was recorded with 1 point",
    ),
    "optimizer's-step": (
        lambda run: eigensolver(
            run, ScipyOptimizer(ansatz().initial_point, ScipyMethod.COBYLA, 0.2, 1e-6, EVALUATIONS)
        ),
        r"round 1 of stream 'main'.*at point 0, angle \d, .* rad, and was recorded with",
    ),
    "shots": (lambda run: eigensolver(run, cobyla(), shots=61), "asks for 61 shots, and was recorded with 60"),
    "grouping": (lambda run: cobyla_on(one_group_a_round(run)), r"has 1 circuit\(s\), and was recorded with 2"),
    "ansatz": (
        lambda run: eigensolver(run, cobyla(), circuit=entangled_longer()),
        "other gates, qubits or measurements than the recorded one",
    ),
    "order": (lambda run: cobyla_on(groups_reversed(run)), "other gates, qubits or measurements than the recorded one"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_input_is_named_before_anything_is_submitted(recorded: Trial, tmp_path: Path, what: str) -> None:
    before = [entry["job"] for entry in recorded.ledger()["entries"]]  # the last ones may still be running
    search, message = CHANGES[what]
    with pytest.raises(ReplayDiverged, match=f"(?s){message}"):
        resume_copy(recorded, tmp_path, search)
    assert [entry["job"] for entry in recorded.ledger()["entries"]] == before


def test_a_changed_target_is_named_before_anything_is_submitted(recorded: Trial, tmp_path: Path) -> None:
    before = [entry["job"] for entry in recorded.ledger()["entries"]]  # the last ones may still be running
    with pytest.raises(ReplayDiverged, match=r"for target ionq\.simulator, and was recorded on rigetti\.sim\.qvm"):
        resume_copy(recorded, tmp_path, cobyla_on, "ionq.simulator")
    assert [entry["job"] for entry in recorded.ledger()["entries"]] == before


def test_angles_that_differ_in_their_last_digits_are_replayed_as_recorded(recorded: Trial, tmp_path: Path) -> None:
    def nearly(run_round: RunRound) -> RunRound:
        def run_changed(pubs: Sequence[SamplerPub], /) -> list[MeasuredPub]:
            shifted = [
                SamplerPub.coerce((pub.circuit, pub.parameter_values.as_array() + 1e-12, pub.shots)) for pub in pubs
            ]
            return run_round(shifted)

        return run_changed

    found = []

    def search(run_round: RunRound) -> None:
        found.append(cobyla_on(nearly(run_round)))

    resume_copy(recorded, tmp_path, search)
    assert np.isfinite(float.fromhex(found[0].value))
    assert recorded.ledger()["duplicates"]["count"] == 0


@long_form
@pytest.mark.slow
@pytest.mark.parametrize("cpu", short_or_long(["Prescott"], ["Prescott", "Haswell"]))
@pytest.mark.parametrize("search", short_or_long(["trigonometric"], list(SEARCHES)))
def test_a_resume_on_another_cpu_gives_the_same_answer_or_diverges(
    service: Emulator, tmp_path: Path, undisturbed: Callable[[str], Reference], cpu: str, search: str
) -> None:
    reference = undisturbed(search)
    trial = Trial.of(service, tmp_path, search)
    assert trial.resume(crash_at=short_or_long("commit.after:6", "commit.after:11")) == KILLED
    trial.resume_in_new_process({"OPENBLAS_CORETYPE": cpu})
    found, expected = trial.outcome().answer, reference.answer
    if search == "cobyla" and trial.outcome().error == "ReplayDiverged":
        assert trial.ledger()["duplicates"]["count"] == 0
        return
    assert found is not None, trial.outcome()
    # Points that are computed after the resume differ in their last digits, as that CPU's arithmetic does; what was
    # measured at them does not.
    assert (found.value, found.evaluations) == (expected.value, expected.evaluations)
    parameters = [[float.fromhex(parameter) for parameter in answer.parameters] for answer in (found, expected)]
    np.testing.assert_allclose(parameters[0], parameters[1], rtol=0, atol=1e-9)
    trial.check_ledger(reference)
