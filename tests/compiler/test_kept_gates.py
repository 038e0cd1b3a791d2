"""Zero-noise extrapolation: two-qubit gates by scale in the submitted programs, and the options of their jobs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Operator, SparsePauliOp

from benchmarks.accuracy_energies import on_qubits
from hybridloop.algorithms.adapt.excitation_pool import ExcitationPool
from hybridloop.algorithms.circuits.ansatz import Ansatz
from hybridloop.algorithms.circuits.basis import to_basis, two_qubit_gates
from hybridloop.algorithms.circuits.uccsd import uccsd
from hybridloop.algorithms.estimation.estimates import evaluation
from hybridloop.algorithms.estimation.observable import Observable, observable
from hybridloop.algorithms.mitigation.folding import (
    TWIRLS,
    draw_paulis,
    fold,
    fold_gates,
)
from hybridloop.algorithms.problems.electronic import ElectronicProblem
from hybridloop.compiler.gate_counts import gate_counts
from hybridloop.compiler.programs import PubCompiler, describe_pub, must_keep_gates
from hybridloop.compiler.qir_template import placeholder_qir
from hybridloop.errors import ProgramError
from hybridloop.targets import known_targets
from hybridloop.targets.provider_options import provider_params
from tests.long_form import long_form, short_or_long
from tests.value_helpers import known

SCALES = (1, 3, 5)
SENT_SCALES = short_or_long((1, 3), SCALES)  # each takes two compilations of 0.2 s
MOLECULES = ("H2_0.735", "LiH_3_cas(2,2)", "H4_1")
PROFILES = sorted({target.profile for target in known_targets().values() if target.keeps_gates})


def users_circuit() -> Ansatz:
    """Return a circuit with composite and controlled gates, of which compilers leave much out."""
    angle = Parameter("a")
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.ccx(0, 1, 2)
    circuit.crx(angle, 0, 1)
    circuit.cx(1, 2)
    circuit.cx(1, 2)
    circuit.rzz(2 * angle, 0, 2)
    circuit.swap(0, 1)
    return Ansatz("own", circuit, np.array([0.4]), ((1, 2),))


def grown_circuit(problem: ElectronicProblem) -> Ansatz:
    """Return ADAPT-VQE's circuit of two operators."""
    return replace(ExcitationPool.tied(problem).ansatz([0, 1]), initial_point=np.array([0.1, 0.2]))


def folded_by(seed: int, circuit: QuantumCircuit, scale: int) -> QuantumCircuit:
    source = to_basis(circuit)
    return fold_gates(source, scale, draw_paulis(source, np.random.default_rng(seed)), seed % TWIRLS)


def programs(operator: SparsePauliOp, ansatz: Ansatz, profile: str) -> list[str]:
    """Return the program of the first group by scale, as it is submitted at the ansatz's initial point."""
    plain = evaluation(observable(operator), ansatz, lambda _: [])
    few = Observable(operator, plain.observable.constant, plain.observable.groups[:1])
    plain = replace(plain, observable=few, circuits=plain.circuits[:1])
    folded = fold(plain, SENT_SCALES, (1.0,) * len(SENT_SCALES)).circuits[: len(SENT_SCALES)]
    compiler = PubCompiler(profile)
    sent = []
    for circuit in folded:  # of the first variant of the twirl
        compiled = compiler.compile_pub(SamplerPub.coerce((circuit, ansatz.initial_point[None, :], 10)))
        assert must_keep_gates(known(compiled.key))
        sent += [payload.decode() for payload in compiled.payloads]
    return sent


@long_form
@pytest.mark.parametrize(
    ("name", "profile"),
    short_or_long(
        [("adapt", PROFILES[0]), *(("own", profile) for profile in PROFILES)],
        [*itertools.product(("adapt", "own", *MOLECULES), PROFILES)],
    ),
)
def test_the_gates_of_submitted_programs_grow_by_the_scale(name: str, profile: str) -> None:
    if name == "own":
        operator, ansatz = SparsePauliOp(["ZZI", "IXX"], [1.0, 0.5]), users_circuit()
    else:
        problem = on_qubits("H4_1" if name == "adapt" else name)
        operator = problem.hamiltonian
        ansatz = grown_circuit(problem) if name == "adapt" else uccsd(problem)
    gates = [gate_counts(program).two_qubit for program in programs(operator, ansatz, profile)]
    assert gates[0] > 0
    assert [number / gates[0] for number in gates] == list(SENT_SCALES)


def test_a_folded_and_twirled_circuit_is_the_same_unitary() -> None:
    circuit = users_circuit().circuit
    expected = Operator(to_basis(circuit).assign_parameters([0.3]))
    for seed in range(20):
        for scale in SCALES:
            folded = folded_by(seed, circuit, scale)
            assert two_qubit_gates(folded) == scale * two_qubit_gates(to_basis(circuit))
            assert Operator(folded.assign_parameters([0.3])).equiv(expected)


@pytest.mark.parametrize("name", ["cx", "cz", "swap", "rxx", "ryy", "rzz"])
def test_every_gate_is_twirled_by_paulis_that_cancel(name: str) -> None:
    circuit = QuantumCircuit(2)
    getattr(circuit, name)(*([0.7] if name.startswith("r") else []), 0, 1)
    drawn = set()
    for seed in range(100):
        folded = folded_by(seed, circuit, 3)
        assert Operator(folded).equiv(Operator(circuit))
        drawn.add(tuple((item.name, *item.qubits) for item in folded.data))
    assert len(drawn) > 50


def test_paulis_grow_exactly_by_the_scale_over_the_variants_of_a_circuit() -> None:
    source = to_basis(users_circuit().circuit)
    paulis = draw_paulis(source, np.random.default_rng(1))

    def gates(scale: int) -> Counter[str]:
        folded = [fold_gates(source, scale, paulis, variant) for variant in range(TWIRLS)]
        return sum((Counter(circuit.count_ops()) for circuit in folded), Counter())

    for scale in (3, 5):
        for name in ("x", "y", "z", "cx"):
            assert gates(scale)[name] == scale * gates(1)[name]


def test_a_compiler_that_removes_kept_gates_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from hybridloop.compiler import qir_template

    compiled: Callable[..., str] = qir_template.compile_qir

    def removing(circuit: QuantumCircuit, profile: str) -> str:
        lines = compiled(circuit, profile).splitlines()
        first = next(index for index, line in enumerate(lines) if "__cx__" in line or "__cnot__" in line)
        return "\n".join(lines[:first] + lines[first + 1 :])

    monkeypatch.setattr(qir_template, "compile_qir", removing)
    circuit = QuantumCircuit(2, 2)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    folded = folded_by(0, circuit, 3)
    structure = known(describe_pub(SamplerPub.coerce((folded, None, 10))).structure)
    with pytest.raises(ProgramError, match="3 two-qubit gates became 2"):
        placeholder_qir(structure, PROFILES[0])


def test_jobs_with_kept_gates_turn_the_providers_optimization_off() -> None:
    assert not must_keep_gates("structure:abc:Base:1.0")
    for name, target in known_targets().items():
        params: dict[str, Any] = provider_params(target, debias=True, keeps_gates=True)
        assert params == ({"tket-opt-level": 0} if target.keeps_gates else {}), name
        assert provider_params(target, debias=True) == {}
