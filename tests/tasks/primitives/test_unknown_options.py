"""Options of other providers' primitives: each is answered with what a session has, and nothing is sent."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from hybridloop import open_session
from hybridloop.descriptions.options import SessionKeywords
from hybridloop.errors import UnknownOption
from hybridloop.tasks.primitives.unknown_options import OF_SESSION
from hybridloop.tasks.session import OpenSession
from tests.conftest import Emulator
from tests.session_helpers import open_run_session

BARE, MEASURED, Z = QuantumCircuit(1), QuantumCircuit(1), SparsePauliOp("Z")
MEASURED.measure_all()
PUB = (BARE, Z)

UNSENT = "No job of this round was submitted."
SHOTS = "Give shots to session.sampler(), or to run() for one call."
PRECISION = (
    "Give precision, the standard error in the observable's unit, to session.estimator(), or to run() for one call: "
    "its shots are chosen from it. Or give session.estimator() the shots of each basis."
)
MITIGATION = (
    "Primitives have no error mitigation or suppression of their own: hybridloop.vqe has mitigation=…, and IonQ's QPUs "
    "mitigate unless the session has debias=False."
)
SAMPLER_PUBS = "Give PUBs in one list: run([(circuit, parameter_values)])."
ESTIMATOR_PUBS = "Give PUBs in one list: run([(circuit, observable, parameter_values)])."
BOUND = "arguments: run takes 1 by position, got"

# The session is Any here, because type checkers refuse these arguments.
CALLS: dict[str, tuple[Callable[[Any], object], str]] = {
    "run(shots) of an estimator": (
        lambda session: session.estimator().run([PUB], shots=1000),
        f"shots: the estimator has no such option. {UNSENT} {PRECISION}",
    ),
    "run(precision) of a sampler": (
        lambda session: session.sampler().run([MEASURED], precision=0.1),
        f"precision: the sampler has no such option. {UNSENT} {SHOTS}",
    ),
    "run(resilience_level)": (
        lambda session: session.estimator().run([PUB], resilience_level=1),
        f"resilience_level: the estimator has no such option. {UNSENT} {MITIGATION}",
    ),
    "run(seed_simulator)": (
        lambda session: session.sampler().run([MEASURED], seed_simulator=3),
        f"seed_simulator: the sampler has no such option. {UNSENT} It belongs to the session: open_session(seed=…).",
    ),
    "run with a typing error": (
        lambda session: session.estimator().run([PUB], precison=0.1),
        f"precison: the estimator has no such option. {UNSENT} Did you mean 'precision'?",
    ),
    "V1 estimator": (
        lambda session: session.estimator().run([BARE], [Z], [[]]),
        f"{BOUND} 3. {UNSENT} {ESTIMATOR_PUBS}",
    ),
    "V1 estimator by names": (
        lambda session: session.estimator().run(circuits=[BARE], observables=[Z], parameter_values=[[]]),
        f"circuits: the estimator has no such option. {UNSENT} {ESTIMATOR_PUBS}",
    ),
    "V1 sampler": (
        lambda session: session.sampler().run([MEASURED], [[]]),
        f"{BOUND} 2. {UNSENT} {SAMPLER_PUBS}",
    ),
    "estimator(default_shots)": (
        lambda session: session.estimator(default_shots=1000),
        f"default_shots: the estimator has no such option. {PRECISION}",
    ),
    "estimator(default_precision)": (
        lambda session: session.estimator(default_precision=0.1),
        f"default_precision: the estimator has no such option. {PRECISION}",
    ),
    "estimator(abelian_grouping)": (
        lambda session: session.estimator(abelian_grouping=True),
        "abelian_grouping: the estimator has no such option. The estimator always groups observables qubit-wise.",
    ),
    "estimator(options)": (
        lambda session: session.estimator(options={"resilience_level": 1}),
        f"options.resilience_level: the estimator has no such option. {MITIGATION}",
    ),
    "estimator(something else)": (
        lambda session: session.estimator(colour=1),
        "colour: the estimator has no such option. There are: precision, stream, shares_equal_points, top_ups, shots.",
    ),
    "sampler(options)": (
        lambda session: session.sampler(options={"default_shots": 100}),
        f"options.default_shots: the sampler has no such option. {SHOTS}",
    ),
    "sampler(run_options)": (
        lambda session: session.sampler(run_options={"shots": 100, "seed": 3}),
        f"run_options.shots: the sampler has no such option. {SHOTS}",
    ),
    "sampler(seed)": (
        lambda session: session.sampler(seed=3),
        "seed: the sampler has no such option. It belongs to the session: open_session(seed=…).",
    ),
    "sampler(mode)": (
        lambda session: session.sampler(mode="ionq.simulator"),
        "mode: the sampler has no such option. It belongs to the session: open_session(target=…).",
    ),
    "sampler(backend)": (
        lambda session: session.sampler(backend="ionq.simulator"),
        "backend: the sampler has no such option. It belongs to the session: open_session(target=…).",
    ),
    "sampler of a backend": (
        lambda session: session.sampler("ionq.simulator"),
        f"arguments: sampler takes 0 by position, got 1. {SHOTS}",
    ),
    "sampler(twirling)": (
        lambda session: session.sampler(twirling=True),
        f"twirling: the sampler has no such option. {MITIGATION}",
    ),
    "sampler(optimization_level)": (
        lambda session: session.sampler(optimization_level=3),
        "optimization_level: the sampler has no such option. "
        "Compilers of targets have options of their own: open_session(provider_options=…).",
    ),
    "an option of an estimator": (
        lambda session: setattr(session.estimator().options, "shots", 1000),
        f"options.shots: the estimator has no such option. {PRECISION}",
    ),
    "an option of a sampler": (
        lambda session: setattr(session.sampler().options.dynamical_decoupling, "enable", True),
        f"options.dynamical_decoupling: the sampler has no such option. {MITIGATION}",
    ),
    "all options": (
        lambda session: setattr(session.estimator(), "options", {"default_shots": 1000}),
        f"options: the estimator has no such attribute. {PRECISION} {MITIGATION}",
    ),
    "set_options": (
        lambda session: session.sampler().set_options(shots=100),
        f"set_options: the sampler has no such attribute. {SHOTS} {MITIGATION}",
    ),
    "precision as an attribute": (
        lambda session: setattr(session.estimator(), "precision", 0.1),
        f"precision: the estimator has no such attribute. {PRECISION}",
    ),
    "shots as an attribute": (
        lambda session: setattr(session.sampler(), "shots", 100),
        f"shots: the sampler has no such attribute. {SHOTS}",
    ),
}


@pytest.mark.parametrize(("call", "message"), CALLS.values(), ids=CALLS.keys())
def test_an_option_of_other_providers_is_answered_with_what_a_session_has(
    emulator: Emulator, call: Callable[[OpenSession], object], message: str
) -> None:
    with open_run_session(emulator.workspace()) as session:
        with pytest.raises(UnknownOption) as refused:
            call(session)
        assert session.num_jobs == 0
    assert str(refused.value) == message


def test_a_primitive_that_refused_an_option_runs_on(emulator: Emulator) -> None:
    with open_run_session(emulator.workspace()) as session:
        sampler: Any = session.sampler(shots=10)
        with pytest.raises(UnknownOption):
            sampler.run([MEASURED], seed=3)
        with pytest.raises(UnknownOption):
            sampler.options.resilience_level = 1
        assert sampler.run([MEASURED]).result()[0].data.meas.get_counts() == {"0": 10}
        assert session.num_jobs == 1


def test_libraries_that_look_for_options_or_try_another_call_do_so_as_with_other_primitives(
    emulator: Emulator,
) -> None:
    with open_run_session(emulator.workspace()) as session:
        estimator: Any = session.estimator()
        assert not hasattr(estimator.options, "shots")
        assert getattr(estimator, "default_shots", None) is None
        with pytest.raises(TypeError):
            estimator.run([PUB], shots=1000)
        with pytest.raises(AttributeError, match="object has no attribute 'colour'"):
            _ = estimator.colour
        estimator.label = "mine"
        assert estimator.label == "mine"


def test_what_an_error_assigns_to_the_session_is_an_option_of_open_session() -> None:
    assert set(OF_SESSION) <= {*inspect.signature(open_session).parameters, *SessionKeywords.__annotations__}
