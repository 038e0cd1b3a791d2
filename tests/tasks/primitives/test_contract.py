"""The contract of Qiskit's primitives: the same calls on Qiskit's own primitives and on a session's.

What differs on purpose stands in a case's `differs`, with its reason.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Clbit, Parameter, QuantumRegister
from qiskit.primitives import BackendSamplerV2, BitArray, PrimitiveResult, StatevectorEstimator, StatevectorSampler
from qiskit.quantum_info import SparsePauliOp

from hybridloop.errors import InputError, InvalidValue, UnknownOption
from hybridloop.tasks.session import OpenSession
from tests.conftest import Emulator
from tests.session_helpers import open_run_session

A, B = Parameter("a"), Parameter("b")
TARGET = "rigetti.sim.qvm"
Z = SparsePauliOp("Z")


def two_angles(*, measures: bool) -> QuantumCircuit:
    circuit = QuantumCircuit(1, int(measures), metadata={"origin": "a test"})
    circuit.rx(A, 0)
    circuit.rz(B, 0)
    if measures:
        circuit.measure(0, 0)
    return circuit


def registers(*sizes: int) -> QuantumCircuit:
    """Return a circuit with registers of such sizes, all bits measured."""
    qubits = QuantumRegister(sum(sizes))
    circuit = QuantumCircuit(qubits, *(ClassicalRegister(size, f"r{place}") for place, size in enumerate(sizes)))
    circuit.x(range(0, sum(sizes), 2))
    circuit.measure(qubits, circuit.clbits)
    return circuit


def unmeasured(*, bits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(1, bits)
    circuit.x(0)
    return circuit


def one_angle(*, measures: bool) -> QuantumCircuit:
    return two_angles(measures=measures).assign_parameters({B: 0.0})


def described(value: object) -> QuantumCircuit:
    circuit = registers(1)
    circuit.metadata["described"] = value
    return circuit


def loose() -> QuantumCircuit:
    """Return a circuit with a bit of no register, between the bits of one."""
    register = ClassicalRegister(2, "of")
    circuit = QuantumCircuit(QuantumRegister(2), [register[0], Clbit(), register[1]], register)
    circuit.measure([0, 1], [0, 2])
    return circuit


SWEPT, BARE = two_angles(measures=True), two_angles(measures=False)
SAMPLED: dict[str, Callable[[], list[Any]]] = {
    "no PUB": list,
    "a circuit alone": lambda: [registers(2)],
    "registers of 0 to 9 bits": lambda: [registers(0, 1, 9)],
    "one point": lambda: [(SWEPT, [0.1, 0.2])],
    "a sweep of points": lambda: [(SWEPT, np.zeros((2, 3, 2)))],
    "a sweep without a point": lambda: [(SWEPT, np.zeros((0, 2)))],
    "a sweep of shape (3, 0)": lambda: [(SWEPT, np.zeros((3, 0, 2)))],
    "points by parameter": lambda: [(SWEPT, {A: np.zeros(4), B: np.zeros(4)})],
    "shots of a PUB": lambda: [(SWEPT, [0.1, 0.2], 17)],
    "PUBs with and without points": lambda: [(SWEPT, np.zeros((0, 2))), (SWEPT, [0.1, 0.2])],
    "no classical bit": lambda: [unmeasured(bits=0)],
    "no measurement": lambda: [unmeasured(bits=2)],
    "one angle at many points": lambda: [(one_angle(measures=True), [0.1, 0.2, 0.3])],
    "metadata that JSON does not take": lambda: [described(np.int64(4))],
    "bits of no register beside one": lambda: [loose()],
    "too few angles": lambda: [(SWEPT, [0.1])],
    "shots that are no number": lambda: [(SWEPT, [0.1, 0.2], "10")],
}
MORE = {  # registers that a session's results have beside Qiskit's, and the reason
    "bits of no register beside one": ("meas", "Qiskit drops what such a bit measured"),
}
ESTIMATED: dict[str, Callable[[], list[Any]]] = {
    "no PUB": list,
    "one observable at one point": lambda: [(BARE, Z, [0.1, 0.2])],
    "observables by points": lambda: [(BARE, [[Z], [SparsePauliOp("X")]], np.zeros((3, 2)))],
    "a sweep without a point": lambda: [(BARE, Z, np.zeros((0, 2)))],
    "shapes that do not fit": lambda: [(BARE, [Z, Z], np.zeros((3, 2)))],
    "an observable of other qubits": lambda: [(BARE, SparsePauliOp("ZZ"), [0.1, 0.2])],
    "one angle at many points": lambda: [(one_angle(measures=False), Z, [[0.1], [0.2], [0.3]])],
    "one angle at many points by observables": lambda: [(one_angle(measures=False), [[Z, Z]], [[0.1], [0.2], [0.3]])],
    "observables by points of shape (3, 1)": lambda: [(one_angle(measures=False), [[Z, Z]], np.zeros((3, 1, 1)))],
    "too few angles": lambda: [(BARE, Z, [0.1])],
}


@pytest.fixture(scope="module")
def session(emulator: Emulator) -> Any:
    with open_run_session(emulator.workspace("contract"), seed=7) as opened:
        yield opened


def outcome(call: Callable[[], PrimitiveResult[Any]]) -> Any:
    """Return what of a call both primitives have in common: shapes, kinds and metadata, or the kind of an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = call()
        except (ValueError, TypeError) as error:
            return type(error)
    return [
        (type(pub), pub.data.shape, {name: _form(value) for name, value in pub.data.items()}, _shared(pub.metadata))
        for pub in result
    ]


def _form(value: Any) -> Any:
    if isinstance(value, BitArray):
        return value.shape, value.num_shots, value.num_bits, value.array.dtype, value.array.shape
    return value.shape, value.dtype


def _shared(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: metadata[name] for name in ("shots", "circuit_metadata") if name in metadata}


@pytest.mark.parametrize("name", SAMPLED)
def test_the_sampler_has_qiskits_forms(name: str, session: OpenSession) -> None:
    pubs = SAMPLED[name]
    theirs = outcome(lambda: StatevectorSampler(default_shots=64, seed=1).run(pubs()).result())
    ours = outcome(lambda: session.sampler(shots=64).run(pubs()).result())
    if name in MORE:
        register, reason = MORE[name]
        assert reason
        assert ours[0][2].pop(register)[2] == 1
    assert ours == theirs


@pytest.mark.parametrize("name", ESTIMATED)
def test_the_estimator_has_qiskits_forms(name: str, session: OpenSession) -> None:
    """Metadata differ on purpose: `shots` are those of the value, which a state vector has none of."""
    pubs = ESTIMATED[name]

    def forms(call: Callable[[], PrimitiveResult[Any]]) -> Any:
        found = outcome(call)
        return found if isinstance(found, type) else [each[:3] for each in found]

    theirs = forms(lambda: StatevectorEstimator(seed=1).run(pubs(), precision=0.1).result())
    ours = forms(lambda: session.estimator(precision=0.1).run(pubs()).result())
    assert ours == theirs


def test_an_empty_register_passes_qiskits_sampler_of_a_backend(session: OpenSession) -> None:
    (pub,) = BackendSamplerV2(backend=session.backend()).run([registers(0, 1)], shots=10).result()
    assert {name: (bits.num_bits, bits.num_shots) for name, bits in pub.data.items()} == {"r0": (0, 10), "r1": (1, 10)}
    assert pub.data.r1.get_counts() == {"1": 10}


def test_a_circuit_without_a_measurement_costs_no_job_and_is_named(session: OpenSession) -> None:
    before = session.num_jobs
    with pytest.warns(UserWarning, match=r"of PUB 1 has no measurement: no job is sent for it, and its bits are 0"):
        job = session.sampler(shots=10).run([registers(1), unmeasured(bits=2)])
    _, second = job.result()
    assert session.num_jobs == before + 1
    assert second.data.c.get_counts() == {"00": 10}


@dataclass(frozen=True)
class Refused:
    """A call that is refused before anything is sent, with its error; Qiskit's own differs, for the `reason`."""

    call: Callable[[OpenSession], object]
    error: type[Exception]
    says: str
    reason: str


REFUSED = {
    "an infinite angle": Refused(
        lambda session: session.estimator().run([(BARE, Z, [np.inf, 0.0])]),
        InputError,
        r"^parameter_values: the angle a of PUB 0 is inf, at the point \(\)\. No job of this round was submitted\.",
        "Qiskit divides by zero",
    ),
    "an angle of a sweep that is no number": Refused(
        lambda session: session.sampler().run([registers(1), (SWEPT, np.array([[[0.0, 0.0], [0.0, np.nan]]]))]),
        InputError,
        r"^parameter_values: the angle b of PUB 1 is nan, at the point \(0, 1\)\.",
        "Qiskit raises RuntimeError",
    ),
    "a precision that is a text": Refused(
        lambda session: session.estimator().run([(BARE, Z, [0.1, 0.2])], precision="0.1"),  # type: ignore[arg-type]
        InvalidValue,
        r"^precision must be a positive number in the observable's unit, got '0\.1'\.",
        "Qiskit's TypeError names no remedy",
    ),
    "a precision that no call reaches": Refused(
        lambda session: session.estimator().run([(BARE, Z, [0.1, 0.2])], precision=1e-6),
        InputError,
        r"^precision: 1e-06 takes more than 10,000,000 shots\.",
        "a state vector takes no shots",
    ),
    "a circuit that measures, in the estimator": Refused(
        lambda session: session.estimator().run([(BARE, Z, [0.1, 0.2]), (SWEPT, Z, [0.1, 0.2])]),
        InputError,
        r"^circuit: 'circuit-\d+' of PUB 1 uses classical bits\.",
        "Qiskit's estimator ignores the measurement, of which a user may expect an effect",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_differs_on_purpose_is_refused_before_anything_is_sent(name: str, session: OpenSession) -> None:
    case, before = REFUSED[name], session.num_jobs
    assert case.reason
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(case.error, match=case.says):
            case.call(session)
    assert session.num_jobs == before


def test_options_have_the_runtimes_names(session: OpenSession) -> None:
    sampler, estimator = session.sampler(), session.estimator(precision=0.1)
    sampler.options.default_shots = 32
    assert (sampler.default_shots, sampler.options.default_shots) == (32, 32)
    assert sampler.run([registers(1)]).result()[0].data.r0.num_shots == 32
    estimator.options.update(default_precision=0.2)
    shown = "estimator options: default_precision=0.2, default_shots=None"
    assert (estimator.default_precision, repr(estimator.options)) == (0.2, shown)
    (pub,) = estimator.run([(BARE, Z, [0.1, 0.2])]).result()
    assert pub.metadata["target_precision"] == 0.2
    with pytest.raises(UnknownOption, match=r"^options\.resilience_level: the estimator has no such option\. Primit"):
        estimator.options.update(default_precision=0.3, resilience_level=1)
    assert estimator.default_precision == 0.2  # all of a call's options, or none
    estimator.options.default_shots = 50
    (pub,) = estimator.run([(BARE, [Z, SparsePauliOp("X")], [0.1, 0.2])]).result()
    assert (pub.metadata["shots"], pub.metadata["target_precision"]) == (2 * 50, None)
    estimator.options.default_precision = 0.3  # of the two, the last that was set holds
    assert estimator.options.default_shots is None
    for value in (0, -1, 2.5, True, "10"):
        with pytest.raises(InvalidValue, match=r"^options\.default_shots must be a whole number of at least 1"):
            sampler.options.default_shots = value


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("resilience_level", "Primitives have no error mitigation"),
        ("twirling", "Primitives have no error mitigation"),
        ("dynamical_decoupling", "Primitives have no error mitigation"),
        ("optimization_level", "Compilers of targets have options of their own"),
        ("seed_simulator", r"It belongs to the session: open_session\(seed=…\)"),
        ("max_execution_time", "There are: default_"),
    ],
)
def test_an_option_without_a_meaning_here_is_refused_with_what_there_is(
    name: str, says: str, session: OpenSession
) -> None:
    for primitive in (session.sampler(), session.estimator()):
        with pytest.raises(UnknownOption, match=f"^options\\.{name}: .*{says}"):
            setattr(primitive.options, name, 1)
        with pytest.raises(UnknownOption, match=f"^options\\.{name}: .*{says}"):
            getattr(primitive.options, name)
