"""Energy problems: detected by their content, reduced to the active space, for any ansatz and initial point."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Operator, Statevector

from hybridloop.algorithms.problems.pauli import PauliProblem
from hybridloop.data import load_table
from hybridloop.descriptions.levels import LevelsSettings
from hybridloop.descriptions.vqe import VqeSettings
from hybridloop.errors import InputError, ProblemError
from hybridloop.inputs.problems import read_problem
from hybridloop.preparation.vqe import PreparedVqe
from hybridloop.settings import AnsatzName, ProblemText, StartName
from tests.algorithms.batched_state_helpers import noiseless_rounds
from tests.paths import DATA
from tests.preparation_helpers import parse_problem, prepare_vqe, settings_for
from tests.preparation_helpers import prepared as prepare
from tests.preparation_helpers import prepared as prepared_algorithm
from tests.value_helpers import known

ISING = json.dumps({"terms": {"ZZI": -1.0, "IZZ": -1.0, "XII": 0.5, "IXI": 0.5, "IIX": 0.5, "III": 0.25}})
FIELD = ProblemText(name="ising", text=ISING)
H2_FILE = DATA / "H2_0.735.fcidump"
XYZ = "2\n\nH 0 0 0\nH 0 0 0.735\n"


def prepared(problem: ProblemText | str, **settings: Any) -> PreparedVqe:
    text = ProblemText(name=problem) if isinstance(problem, str) else problem
    checked = settings_for("vqe", settings)
    assert isinstance(checked, VqeSettings)
    return prepare_vqe(text, checked, seed=3)


def energy_at_the_start(of: PreparedVqe) -> float:
    circuit = of.ansatz.circuit.assign_parameters(of.ansatz.initial_point)
    return float(Statevector(circuit).expectation_value(of.problem.hamiltonian).real)


def test_the_format_of_a_text_is_detected_from_its_content_not_its_file_name(tmp_path: Path) -> None:
    (tmp_path / "h2.txt").write_text(H2_FILE.read_text("utf-8"), "utf-8")
    found = prepare_vqe(read_problem(tmp_path / "h2.txt"), VqeSettings(), seed=0)
    assert found.facts.exact() == pytest.approx(load_table("problems")["h2"]["exact_energy"], abs=1e-9)
    assert found.facts.unit == "hartree"
    (tmp_path / "ising.fcidump").write_text(ISING, "utf-8")
    assert isinstance(parse_problem(read_problem(tmp_path / "ising.fcidump")), PauliProblem)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"mine": [], "links": []}', r"looks like a graph \(node-link JSON\)"),
        ('{"nodes": [], "links": []}', r"this looks like a graph \(node-link JSON\), and a molecule is needed"),
        ("[1, 2]", "no known format of a molecule or a Pauli sum"),
        (XYZ, r"geometry, and integrals are needed"),
        ("1 2\n2 3\n", r"this looks like a graph \(edges\), and a molecule is needed"),
        ("1 2 3 4\n", "no known format of a molecule or a Pauli sum"),
    ],
)
def test_a_text_of_another_kind_is_refused_with_its_format(text: str, complaint: str) -> None:
    with pytest.raises(ProblemError, match=complaint):
        parse_problem(ProblemText(name="other", text=text))


def test_a_pauli_sum_is_minimized_in_its_own_unit() -> None:
    run = prepared(FIELD, ansatz="hardware-efficient", optimizer="rotosolve")
    assert (run.facts.unit, run.facts.num_qubits, run.facts.reference) == ("", 3, 0.25)
    lowest = float(np.linalg.eigvalsh(run.problem.hamiltonian.to_matrix())[0])
    assert run.facts.exact() == pytest.approx(lowest, abs=1e-12)
    outcome = run.measure(noiseless_rounds(), lambda _: None)
    assert lowest - 1e-3 <= outcome.value <= lowest + 0.1  # one layer does not hold the whole state
    levels = prepared_algorithm("levels", FIELD, LevelsSettings(levels=2), 1)
    assert levels.facts.unit == ""
    assert levels.facts.exact() == pytest.approx(lowest, abs=1e-12)


def test_an_active_space_leaves_orbitals_out_and_a_core_its_energy() -> None:
    whole, frozen = prepared("lih-frozen-core"), prepared("h4", frozen_core=1)
    small = prepared("lih-frozen-core", active_space="2,2")
    assert (whole.facts.num_qubits, small.facts.num_qubits, frozen.facts.num_qubits) == (5, 2, 3)
    assert small.facts.reference == pytest.approx(whole.facts.reference, abs=1e-9)  # Hartree-Fock stays as it is
    assert frozen.facts.reference == pytest.approx(prepared("h4").facts.reference, abs=1e-9)
    of_whole, of_small = known(whole.facts.exact()), small.facts.exact()
    assert of_whole < known(of_small) < known(small.facts.reference)
    assert "12.4 of 12.6 mHa of MP2" in small.facts.orbitals
    assert "active_space auto:2,2 takes natural orbitals, outside of which are" in small.facts.orbitals
    assert (whole.facts.orbitals, "takes natural" in frozen.facts.orbitals) == ("", False)
    chosen = prepared("lih-frozen-core", active_space="auto")
    assert chosen.facts.num_qubits == 2
    of_chosen = known(chosen.facts.exact())
    assert of_whole < of_chosen < of_whole + 2e-3
    assert chosen.facts.orbitals.startswith("active space: 2 electrons in 2 of 5 orbitals")


def test_a_custom_circuit_is_optimized(tmp_path: Path) -> None:
    angles = ParameterVector("θ", 11)  # a text would sort θ[10] before θ[2]
    circuit = QuantumCircuit(2)
    for place, angle in enumerate(angles):
        circuit.ry(angle, place % 2)
        circuit.cx(place % 2, (place + 1) % 2)
    point = np.linspace(-1.0, 1.0, 11)
    run = prepared("h2", ansatz=circuit, initial_point=point.tolist())
    assert run.ansatz.num_parameters == 11
    same = Operator(circuit.assign_parameters(point)).equiv(Operator(run.ansatz.circuit.assign_parameters(point)))
    assert same
    file = tmp_path / "own.qasm"
    settings = settings_for("vqe", {"ansatz": circuit, "initial_point": point.tolist()}).model_dump(mode="json")
    file.write_text(settings["ansatz"], "utf-8")
    assert (
        settings_for("vqe", {"ansatz": str(file), "initial_point": point.tolist()}).model_dump(mode="json") == settings
    )
    resumed = prepared("h2", **settings).ansatz.circuit.assign_parameters(point)
    assert resumed == run.ansatz.circuit.assign_parameters(point)


@pytest.mark.parametrize(
    ("problem", "settings", "field"),
    [
        (FIELD, {"ansatz": "uccsd"}, "ansatz"),
        (FIELD, {"ansatz": "hardware-efficient", "active_space": "2,2"}, "active_space"),
        (FIELD, {"ansatz": "hardware-efficient", "frozen_core": 1}, "frozen_core"),
        (FIELD, {"ansatz": "hardware-efficient", "mapping": "jordan-wigner"}, "mapping"),
        (FIELD, {"ansatz": "hardware-efficient", "initial_point": "hf"}, "initial_point"),
        ("h2", {"ansatz": "hardware-efficient", "initial_point": "newton"}, "initial_point"),
        ("h2", {"ansatz": "hardware-efficient", "initial_point": "0.1"}, "initial_point"),
        ("h2", {"initial_point": "0.1,0.2"}, "initial_point"),
        ("h2", {"initial_point": [float("nan")]}, "initial_point.0"),
        ("h2", {"ansatz": "OPENQASM 3.0; qubit[3] q; input float[64] a; U(a,0,0) q[0];"}, "ansatz"),
        ("h2", {"ansatz": 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; x q[0];'}, "ansatz"),
        ("h2", {"ansatz": "OPENQASM 3.0; qubit[2 q;"}, "ansatz, line 1"),
        ("h2", {"ansatz": 5}, "ansatz"),
        ("h2", {"ansatz": Path("nowhere.qasm")}, "ansatz"),
        ("h2", {"active_space": "2,5"}, "active_space"),
        ("h2", {"active_space": "1,2"}, "active_space"),
        ("h2", {"active_space": "2,2", "frozen_core": 1}, "settings"),
        ("h2", {"frozen_core": 2}, "frozen_core"),
    ],
)
def test_an_unsuitable_setting_is_refused_by_its_name(
    problem: ProblemText | str, settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(InputError) as refused:
        prepared(problem, **settings)
    assert refused.value.field == field


def test_adapt_refuses_a_pauli_sum_as_problem() -> None:
    with pytest.raises(InputError, match="Pauli sum"):
        prepare("adapt", FIELD, settings_for("adapt", {}), 0)


@pytest.mark.parametrize("mapping", ["parity", "jordan-wigner"])
@pytest.mark.parametrize("ansatz", [AnsatzName.UCCSD, AnsatzName.HARDWARE_EFFICIENT])
def test_hartree_fock_is_a_start_of_both_circuits(ansatz: AnsatzName, mapping: str) -> None:
    run = prepared("lih-3.0-cas22", ansatz=ansatz, mapping=mapping, initial_point="hf")
    assert energy_at_the_start(run) == pytest.approx(run.facts.reference, abs=1e-9)
    assert run.ansatz.starts_near


def test_the_newton_start_is_used_where_its_models_agree() -> None:
    trust_region = {"ansatz": "uccsd", "optimizer": "trust-region"}  # else the circuit is simulated
    for name in ("lih-3.0-cas22", "h4", "heh+"):
        run = prepared(name, **trust_region)
        assert run.choices["start"].startswith("Newton start: expected gain ")
        exact = known(run.facts.exact())
        assert exact < energy_at_the_start(run) < exact + 0.1 * (known(run.facts.reference) - exact)
    stretched = ProblemText(name="h4-2", text=(DATA / "fcidump/H4_2.fcidump").read_text())
    far = prepared(stretched, **trust_region)
    assert far.choices["start"] == "Hartree-Fock: the model of a Newton start has no minimum nearby"
    assert energy_at_the_start(far) == pytest.approx(far.facts.reference, abs=1e-9)
    assert "start" not in prepared("h2", ansatz="uccsd").choices  # one angle's fit is global
    with pytest.raises(InputError, match="no minimum nearby"):
        prepared(stretched, initial_point=StartName.NEWTON)


def test_the_reason_of_an_automatic_start_is_in_the_choices() -> None:
    outcome = prepared("lih-3.0-cas22", ansatz="uccsd").run(noiseless_rounds())
    start = "start: a minimum of the circuit's classical simulation, 15.6 mHa below Hartree-Fock"
    assert outcome.choices[1].startswith(f"{start} (3.")  # times 1e6 operations
    assert outcome.choices[2].startswith("optimizer: if the measured energy is above the simulated one, ")
    assert outcome.converged
    names = {"ansatz": "uccsd", "initial_point": "newton", "optimizer": "trust-region", "grouping": "qubit-wise"}
    asked = prepared("lih-3.0-cas22", **names).run(noiseless_rounds())
    assert not any(each.startswith("start:") for each in asked.choices)
    assert asked.value == pytest.approx(outcome.value, abs=1e-3)
