"""Sessions by id: listed, read, joined while they are open; and the keywords of the public functions."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from azure.quantum import Workspace
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

import hybridloop as hl
from hybridloop.api.joining import _last_activity
from hybridloop.api.sweeps import SweepOptions
from hybridloop.azure.listing import open_client, session_row
from hybridloop.azure.workspace import connection_string_of
from hybridloop.budget.caps import Caps
from hybridloop.compiler.programs import CompiledPerPoint
from hybridloop.descriptions import ALGORITHMS, options
from hybridloop.emulator.client_clock import ServiceClock
from hybridloop.errors import InputError, ReplayDiverged, RunBusy
from hybridloop.inputs.problem_objects.geometry_options import OF_GEOMETRY, GeometryOptions
from hybridloop.journal import open_journal
from hybridloop.reports.verify import verify_run
from hybridloop.results.result import RunResult
from hybridloop.runs.stored_run import load_run
from hybridloop.targets import find_target
from hybridloop.tasks.session_renewal import SessionRenewal
from tests.circuit_helpers import bell
from tests.conftest import Died, Emulator

TARGET = "ionq.simulator"


@pytest.fixture
def workspace(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", f"sqlite:///{tmp_path}/journal.db")
    workspace = emulator.workspace()
    monkeypatch.setenv("AZURE_QUANTUM_CONNECTION_STRING", connection_string_of(workspace))
    return workspace


@pytest.fixture
def killed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the script of `night` until it is killed with its session open; return the session's id."""
    with (
        monkeypatch.context() as patch,
        suppress(Died),
        hl.open_session(TARGET, run_key="night", seed=3) as session,
    ):
        assert session.run(bell(), shots=10, name="first").counts
        patch.setattr(SessionRenewal, "close", lambda *_, **__: None)
        raise Died
    return session.id


@pytest.fixture
def foreign(workspace: Workspace) -> str:
    """Open a session as another program does; return its id."""
    identifier = str(uuid.uuid4())
    with open_client(workspace) as client:
        client.open_session(identifier, "theirs", find_target(TARGET), "Continue")
    return identifier


def test_the_session_of_a_killed_script_is_joined_and_its_run_resumed(killed: str) -> None:
    with hl.open_session(session_id=killed) as session:
        assert (session.id, session.target.name) == (killed, TARGET)
        assert session.run(bell(), shots=10, name="first").counts  # from the journal
        assert session.replayed == 1
        assert session.run(bell(), shots=10, name="second").counts
        with pytest.raises(RunBusy), hl.open_session(session_id=killed):
            pass
    assert [job.name for job in hl.session(killed).jobs()] == ["first", "second"]
    with open_journal() as journal:
        assert journal.run("night").status == "measured"


def test_a_script_without_a_key_is_resumed_by_the_drawn_one_and_its_session_takes_other_jobs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, suppress(Died), hl.open_session(TARGET, seed=3) as session:
        first = session.run(bell(), shots=10).counts
        patch.setattr(SessionRenewal, "close", lambda *_, **__: None)
        raise Died
    with open_journal() as journal:
        (run,) = journal.runs()
        assert [row.id for _, row in journal.open_sessions()] == [session.id]
    with hl.open_session(session_id=session.id) as joined:  # another notebook's, which asks for other circuits
        assert joined.run(bell(), shots=20).counts
        with open_journal() as journal:
            assert [(each.key != run.key, row.id) for each, row in journal.open_sessions()] == [(True, session.id)]
    assert hl.session(session.id).status == "Succeeded"
    with hl.open_session(TARGET, run_key=run.key) as again:
        assert again.run(bell(), shots=10).counts == first
        assert again.replayed == 1


def test_a_session_of_another_program_takes_jobs_and_is_closed(foreign: str) -> None:
    with hl.open_session(session_id=foreign, run_key="joined") as session:
        assert session.run(bell(), shots=10).counts
        assert session.sessions.rows[0].reason == "joined"
    found = hl.session(foreign)
    assert (found.status, found.name, found.target, len(found.jobs())) == ("Succeeded", "theirs", TARGET, 1)
    assert found.details["jobs"] == {"Succeeded": 1}
    with hl.open_session(TARGET, run_key="joined") as session:  # resumed by its key
        assert session.run(bell(), shots=10).counts == found.jobs()[0].counts
        assert session.replayed == 1


def test_a_session_of_another_program_stays_open_while_that_program_uses_it(
    start_emulator: Callable[..., Emulator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRIDLOOP_JOURNAL", f"sqlite:///{tmp_path}/journal.db")
    service, identifier, paid = start_emulator("--clock", "virtual"), str(uuid.uuid4()), "ionq.qpu.aria-1"
    workspace = service.workspace()
    document = session_row({"id": identifier, "target": paid, "status": "Waiting"})
    with ServiceClock(service.endpoint, service.admin_key) as clock:
        with open_client(workspace) as client:
            client.open_session(identifier, "theirs", find_target(paid), "Continue")
        clock.wait(threading.Event(), 550.0)
        # an old version of the service states no time of creation
        monkeypatch.setattr(
            "hybridloop.azure.listing.session_row", lambda item: {**document, "status": item.get("status")}
        )
        with hl.open_session(session_id=identifier, workspace=workspace, clock=clock) as session:
            assert session.run(bell(), shots=10).counts
            session.sessions.close_idle()  # as 525 s later, when the other program's jobs are not known here
            assert session.run(bell(), shots=10).counts
            assert [row.id for row in session.sessions.rows] == [identifier]


def test_idle_time_counts_from_the_last_job_of_the_session() -> None:
    row = {"created": "2026-01-01T00:00:00Z"}
    job = {"status": "Succeeded", "created": "2026-01-01T00:05:00Z", "ended": "2026-01-01T00:06:00Z"}
    began = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert _last_activity(row, [], 0.0) == began
    assert _last_activity(row, [job], 0.0) == began + 360.0
    assert _last_activity(row, [job, {**job, "status": "Executing"}], 7.0) == 7.0
    assert _last_activity({"created": None}, [], 7.0) == 7.0


def test_the_warning_of_a_circuit_that_is_compiled_per_point_shows_the_callers_line(workspace: Workspace) -> None:
    theta, circuit = Parameter("t"), QuantumCircuit(1, 2)
    circuit.rx(theta, 0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    circuit.measure(0, 1)
    with hl.open_session("quantinuum.sim.h2-1e", max_jobs=9) as session:
        with pytest.warns(CompiledPerPoint) as caught:
            session.sampler(shots=5).run([(circuit, [[0.1], [0.2]])])
        assert {warning.filename for warning in caught} == {__file__}


def test_a_finished_script_has_nothing_to_verify_and_asks_for_nothing(workspace: Workspace) -> None:
    with hl.open_session(TARGET, run_key="script") as session:
        assert session.run(bell(), shots=10).counts
    with open_journal() as journal, pytest.raises(InputError, match="is a script") as refused:
        verify_run(load_run(journal, "script"))
    assert "To finish it" not in str(refused.value)


def test_caps_are_given_as_settings(workspace: Workspace) -> None:
    with hl.open_session(TARGET, max_jobs=1, deadline="8h") as session:
        assert session.snapshot.caps == Caps(max_jobs=1, deadline_s=28_800.0)


def test_a_changed_circuit_leaves_a_complete_run_complete(workspace: Workspace) -> None:
    with hl.open_session(TARGET, run_key="rk") as session:
        assert session.run(bell(), shots=10).counts
    with pytest.raises(ReplayDiverged), hl.open_session(TARGET, run_key="rk") as session:
        session.run(bell(), shots=20)
    with open_journal() as journal:
        record = journal.run("rk")
    assert (record.status, record.reason) == ("measured", "the script reached the end of its session")


def test_an_early_end_of_a_script_says_what_resumes_it(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError), hl.open_session(TARGET, run_key="rk"):
        raise ZeroDivisionError
    assert "run rk is failed; to resume it: start the script again with run_key='rk'" in caplog.text


def test_sessions_are_listed_newest_first_and_closed(foreign: str) -> None:
    with hl.open_session(TARGET, name="mine") as session:
        newest, oldest = hl.sessions()
        assert (newest.id, newest.name, oldest.id) == (session.id, "mine", foreign)
        assert [each.id for each in hl.sessions(limit=1)] == [session.id]
        assert {each.id for each in hl.sdk_workspace().list_sessions()} == {session.id, foreign}
    oldest.close()
    assert (oldest.status, hl.session(foreign).status) == ("Succeeded", "Succeeded")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"session_id": "mine"}, "session_id: 'mine' is not the id of a session"),
        ({"session_id": str(uuid.UUID(int=1))}, "this workspace has no session 00000000"),
        ({"target": "rigetti.sim.qvm"}, "target: session .* is on ionq.simulator"),
        ({"run_key": "other"}, "run_key: session .* belongs to run 'night'"),
    ],
)
def test_a_session_that_cannot_be_joined_is_refused(killed: str, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message), hl.open_session(**{"session_id": killed, **keywords}):
        pass


def test_an_ended_session_is_not_joined_and_its_jobs_are_named(workspace: Workspace) -> None:
    with hl.open_session(TARGET) as session:
        pass
    with (
        pytest.raises(InputError, match=r"has ended: Succeeded.*hybridloop.session\('.*'\).jobs\(\)"),
        hl.open_session(session_id=session.id),
    ):
        pass


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_editor_knows_all_keywords_of_an_algorithm(algorithm: str) -> None:
    function = getattr(hl, algorithm)
    (typed,) = get_args(get_type_hints(function, None, {"RunResult": RunResult})["options"])  # for type checkers only
    also = {"run_key", "on", "host", "require_prefect", "workspace", "on_progress", "callback", "format"}
    if ALGORITHMS[algorithm].is_on_molecules:  # of a geometry, which becomes a molecule's text
        also |= set(OF_GEOMETRY)
    assert typed.__optional_keys__ == set(ALGORITHMS[algorithm].settings.model_fields) | also


def test_an_editor_knows_all_keywords_of_a_geometry() -> None:
    names = {field.name for field in fields(GeometryOptions)}
    assert options.GeometryKeywords.__optional_keys__ == names


def test_an_editor_knows_all_options_of_a_session() -> None:
    of_runs = {"seed", "target", "resume_automatically", "wait_for_limit", "session_slots"}
    assert options.SessionKeywords.__optional_keys__ == set(hl.RunSettings.model_fields) - of_runs


def test_all_settings_of_a_session_are_in_its_options() -> None:
    given = {
        "failure": {"retries": 1},
        "keep_alive": "off",
        "idle_rule": "documented",
        "exclusive_access_budget": "400HQC",
        "cancel_in_flight": True,
        "debias": False,
        "provider_options": {"simulator": "stabilizer"},
        "batching": "on",
        "requests_in_flight": 3,
        "requests_per_second": 4.0,
        "priority": "high",
        "tags": "project=x,night",
        "max_jobs": 5,
        "max_shots": 6,
        "max_cost": "7USD",
        "max_cost_per_job": "8USD",
        "deadline": "9s",
        "detach_after": "10s",
    }
    assert given.keys() == options.SessionKeywords.__optional_keys__
    default = hl.RunSettings().session_options
    made = [hl.RunSettings.model_validate({name: value}).session_options for name, value in given.items()]
    assert default not in made
    assert len({repr(each) for each in made}) == len(given)
    changed = {
        field.name
        for each in made
        for field in fields(each)
        if getattr(each, field.name) != getattr(default, field.name)
    }
    assert changed == {field.name for field in fields(default)}


def test_an_editor_knows_all_fields_of_a_sweep() -> None:
    assert SweepOptions.__optional_keys__ == set(hl.SweepSpec.model_fields)
