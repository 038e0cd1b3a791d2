"""Circuits that the local service has no memory for: refused in words before a session is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from azure.quantum import Workspace
from qiskit import QuantumCircuit

from hybridloop.azure.listing import check_offered, list_sessions, target_statuses
from hybridloop.errors import InputError
from hybridloop.targets import Target, as_served, check_circuit_fits, find_target, known_targets
from tests.conftest import Emulator, running_emulator
from tests.session_helpers import open_run_session

RUNNING = [name for name, target in known_targets().items() if not target.checks_only]


@pytest.fixture(scope="module")
def small_service() -> Iterator[Emulator]:
    """Return a service with the memory for a circuit of about 22 qubits."""
    with running_emulator("--max-memory", "64MiB") as emulator:
        yield emulator


@pytest.fixture
def small(small_service: Emulator) -> Workspace:
    """Return a workspace of the test's own there."""
    return small_service.workspace()


@pytest.mark.parametrize("name", RUNNING)
def test_a_circuit_of_one_qubit_more_than_the_largest_is_refused_before_a_session(small: Workspace, name: str) -> None:
    target = as_served(find_target(name), target_statuses(small)[name])
    assert target.simulated_qubits is not None
    assert 19 <= target.simulated_qubits <= 22
    assert check_offered(small, find_target(name), target.simulated_qubits)
    with pytest.raises(InputError, match=f"has the memory for {target.simulated_qubits} of {name}.*--max-memory"):
        check_offered(small, find_target(name), target.simulated_qubits + 1)
    assert list_sessions(small, 5) == []


def test_a_session_takes_wide_clifford_circuits_and_refuses_others_before_they_are_sent(small: Workspace) -> None:
    ghz = QuantumCircuit(28, 28)
    ghz.h(0)
    for qubit in range(27):
        ghz.cx(qubit, qubit + 1)
    ghz.measure(range(28), range(28))
    turned = ghz.copy()
    turned.data.insert(0, turned.data[0].replace(operation=QuantumCircuit(1).rx(0.3, 0)[0].operation))
    with open_run_session(small) as session:
        counts = session.sampler().run([ghz], shots=50).result()[0].data.c.get_counts()
        assert set(counts) <= {"0" * 28, "1" * 28}
        with pytest.raises(InputError, match="28 qubits, and the local service has the memory for 22"):
            session.sampler().run([turned], shots=50)
        assert session.num_jobs == 1


def test_against_azure_nothing_changes(workspace: Workspace, emulator: Emulator) -> None:
    status = {key: value for key, value in target_statuses(workspace)["rigetti.sim.qvm"].items()}
    assert status["simulatedQubits"]["cliffordGates"] == 30
    del status["simulatedQubits"]
    target: Target = as_served(find_target("rigetti.sim.qvm"), status)
    assert target.simulated_qubits is None
    check_circuit_fits(target, 30)
    with pytest.raises(InputError, match="31 qubits"):
        check_circuit_fits(replace(target, simulated_qubits=29), 31)


def test_a_service_with_more_memory_takes_more(start_emulator: Callable[..., Emulator]) -> None:
    workspace = start_emulator("--max-memory", "128MiB").workspace()
    status = target_statuses(workspace)["rigetti.sim.qvm"]
    assert as_served(find_target("rigetti.sim.qvm"), status).simulated_qubits == 23
