"""The local service is killed while a run uploads or submits a job, and started again: the run goes on or resumes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hybridloop.emulator.pytest_plugin import Emulator, running_emulator
from tests.chaos.process_helpers import Reference, Trial, ended, reference_of, wake_file
from tests.long_form import long_form, long_only, short_or_long
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, long_form]
KEYS = ("--api-key", "of-this-test", "--admin-key", "of-this-test-too")
SEARCH = "cobyla"
CALLS = short_or_long(("upload",), ("sas", "upload", "submit"))
STEPS = short_or_long(("upload.after",), ("upload.before", "upload.after", "put.after"))
NUMBERS = short_or_long((7,), (1, 2, 7, 20))  # of the call or step


@dataclass(slots=True)
class DurableService:
    """A service with a state folder; `restart` gives it the same port and keys."""

    folder: Path
    held: ExitStack
    running: Emulator | None = None
    port: str = "0"

    def start(self) -> Emulator:
        """Start the service on its state."""
        started = self.held.enter_context(running_emulator("--port", self.port, *KEYS, state=self.folder))
        self.running = replace(started, api_key=KEYS[1], admin_key=KEYS[3])
        self.port = str(urlsplit(started.endpoint).port)
        return self.running

    def kill(self) -> None:
        """Kill the service."""
        assert self.running is not None
        self.running.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DurableService]:
    with ExitStack() as held:
        service = DurableService(tmp_path_factory.mktemp("service"), held)
        service.start()
        yield service


@pytest.fixture(scope="module")
def reference(durable: DurableService, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    assert durable.running is not None
    return reference_of(durable.running, tmp_path_factory.mktemp("undisturbed"), SEARCH)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("call", CALLS)
def test_a_run_goes_on_if_its_service_is_killed_in_a_call_and_started_again(
    durable: DurableService, reference: Reference, tmp_path: Path, call: str, number: int
) -> None:
    assert durable.running is not None
    trial = Trial.of(durable.running, tmp_path, SEARCH)
    rule = {"fault": "slow-answer", "operation": call, "nth": number, "seconds": 60}
    durable.running.admin("faults", {"rules": [rule]})
    process = trial.start()
    eventually(lambda: trial.service.admin("faults/log")["log"])
    durable.kill()
    durable.start()
    with ended(process, 120.0):
        assert process.exitcode == 0
    trial.check(reference)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("step", STEPS)
def test_a_run_goes_on_if_its_service_is_killed_between_two_calls_and_started_again(
    durable: DurableService, reference: Reference, tmp_path: Path, step: str, number: int
) -> None:
    assert durable.running is not None
    trial = Trial.of(durable.running, tmp_path, SEARCH)
    process = trial.start(crash_at=f"{step}:{number}", is_halted=True)
    assert process.pid is not None
    stat = Path(f"/proc/{process.pid}/stat")
    eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    durable.kill()
    wake_file(trial.order.journal, process.pid).touch()
    os.kill(process.pid, signal.SIGCONT)
    durable.start()
    with ended(process, 120.0):
        assert process.exitcode == 0
    trial.check(reference)


@long_only  # the run repeats its calls for 40 s
@pytest.mark.parametrize("call", CALLS)
def test_a_run_whose_service_stays_away_ends_and_resumes_once_it_is_back(
    durable: DurableService, reference: Reference, tmp_path: Path, call: str
) -> None:
    assert durable.running is not None
    trial = Trial.of(durable.running, tmp_path, SEARCH)
    rule = {"fault": "slow-answer", "operation": call, "nth": 7, "seconds": 60}
    durable.running.admin("faults", {"rules": [rule]})
    process = trial.start()
    eventually(lambda: trial.service.admin("faults/log")["log"])
    durable.kill()
    try:
        with ended(process, 240.0):
            assert process.exitcode == 0
    finally:
        durable.start()
    outcome = trial.outcome()
    assert outcome.error == "ServiceUnreachable"
    assert "Traceback" not in outcome.text
    assert trial.resume() == 0
    trial.check(reference)
