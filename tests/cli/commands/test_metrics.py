"""`hybridloop metrics`: the numbers of the journal and of the service, and the dashboard that shows them."""

from __future__ import annotations

import http.client
import json
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hybridloop.errors import InputError
from hybridloop.journal import Journal, journal_url, open_journal
from hybridloop.journal.held_run import HOUSEKEEPING, held_name
from hybridloop.reports.metrics import metrics_text, parse_address, serving_metrics
from tests.cli.shell_helpers import Shell, WorkspaceShell, environment
from tests.conftest import Emulator
from tests.journal.postgresql_helpers import new_database, running_server
from tests.paths import ROOT
from tests.prefect_server import own_environ
from tests.waiting import PATIENCE_S, eventually

Sample = tuple[str, frozenset[tuple[str, str]]]
DASHBOARD = ROOT / "deployments" / "grafana-dashboard.json"
PLAINLY = "import sys, hybridloop as hl; hl.{call}"
RUN = 'vqe("h2", host="plain", seed=7, target="quantinuum.sim.h2-1e", precision=0.05, run_key="{key}")'


def samples(text: str) -> dict[Sample, float]:
    """Return the value of each sample by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labelled(found: Mapping[Sample, float], name: str, label: str) -> dict[str, float]:
    """Return the samples of a family by the value of one label, without those that are 0."""
    return {dict(labels)[label]: value for (each, labels), value in found.items() if each == name and value}


@pytest.fixture(scope="module")
def at(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> WorkspaceShell:
    """Return a shell in whose journal one run has ended, one was killed with jobs in flight, and two limits hold."""
    shell = Shell(own_environ(tmp_path_factory.mktemp("metrics"))).at(emulator, "metrics")
    for command in ("limit set team 900000eHQC --local", "limit set night 90000eHQC --per day --local"):
        assert shell.shell.run(*command.split()).returncode == 0
    ended = shell.shell.run_python("-c", PLAINLY.format(call=RUN.format(key="ended")))
    assert ended.returncode == 0, ended.stderr
    emulator.admin("faults", {"rules": [{"fault": "job-hangs"}]})
    with (
        environment(shell.shell.environ),
        open_journal() as journal,
        shell.shell.start_python("-c", PLAINLY.format(call=RUN.format(key="killed"))) as dying,
    ):

        def has_submitted() -> bool:
            record = journal.run_by_key("killed")
            jobs = [job for round_ in journal.rounds(record.uid) for job in round_.jobs] if record is not None else []
            return bool(jobs) and all(job.state == "submitted" for job in jobs)

        eventually(has_submitted)
        dying.kill()
        dying.communicate(timeout=PATIENCE_S)
    return shell


def test_the_metrics_are_what_the_other_commands_and_the_service_say(at: WorkspaceShell) -> None:
    printed = at.shell.run("metrics")
    assert printed.returncode == 0, printed.stderr
    found = samples(printed.stdout)

    listed = [row["status"] for row in at.shell.json("runs", "list")]
    assert labelled(found, "hybridloop_runs", "status") == {each: listed.count(each) for each in set(listed)}
    assert set(listed) >= {"interrupted"}

    total = at.shell.json("cost", "--since", "2020-01-01")["total"]
    for name in ("billed", "unbilled", "reserved", "local"):
        assert labelled(found, f"hybridloop_cost_{name}", "unit") == pytest.approx(total[name])
    assert total["local"]["eHQC"] > 0.0

    limits = {row["name"]: row for row in at.shell.json("limit", "list")}
    for name in ("amount", "spent", "reserved"):
        ours = labelled(found, f"hybridloop_limit_{name}", "limit")
        assert ours == pytest.approx({key: row[name] for key, row in limits.items() if row[name]})

    is_open = [each.details.status in ("Waiting", "Executing") for each in at.workspace.list_sessions()]
    assert found["hybridloop_sessions_open", frozenset()] == sum(is_open) == 1
    in_flight = [job for job in at.workspace.list_jobs() if job.details.status in ("Waiting", "Executing")]
    assert found["hybridloop_jobs_in_flight", frozenset()] == len(in_flight) > 0
    with environment(at.shell.environ), open_journal() as journal:
        size = found["hybridloop_journal_size_bytes", frozenset()] / journal.size_bytes
        assert 0.2 < size < 5.0  # its log shrinks when the last process closes it


def test_the_metrics_tell_what_waits(tmp_path: Path) -> None:
    now = 1.8e9
    with Journal(journal_url(tmp_path / "journal.db"), now=lambda: now) as journal:
        empty = samples(metrics_text(journal, now).decode())
        assert ("hybridloop_last_housekeeping_timestamp_seconds", frozenset()) not in empty
        assert empty["hybridloop_oldest_parked_run_age_seconds", frozenset()] == 0.0
        with held_name(journal, HOUSEKEEPING):
            now += 10.0
            assert journal.is_lease_held(HOUSEKEEPING)
        kept = samples(metrics_text(journal, now + 100.0).decode())
        assert kept["hybridloop_last_housekeeping_timestamp_seconds", frozenset()] == now


def test_a_journal_on_a_server_has_a_size() -> None:
    with running_server() as server, Journal(new_database(server)) as journal:
        assert journal.size_bytes > 100_000


@contextmanager
def listening(environ: Mapping[str, str], host: str = "127.0.0.1") -> Iterator[int]:
    with environment(environ), serving_metrics(host, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def get(port: int, path: str = "/metrics", method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request(method, path, headers=headers)
    reply = connection.getresponse()
    return reply.status, reply.read().decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_they_are_served_to_this_machine_alone(host: str, at: WorkspaceShell) -> None:
    with listening(at.shell.environ, host) as port:
        status, text = get(port)
        assert (status, labelled(samples(text), "hybridloop_runs", "status")["interrupted"]) == (200, 1)
        assert get(port, Host=f"evil.example:{port}")[0] == 403
        assert get(port, "/other")[0] == 404
        assert get(port, method="POST")[0] in (404, 501)


def test_a_journal_that_can_not_be_read_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database" * 100)
    with listening({**own_environ(tmp_path), "HYBRIDLOOP_JOURNAL": journal_url(tmp_path / "journal.db")}) as port:
        status, text = get(port)
        assert status == 503
        assert "journal" in text


def test_the_command_serves_until_it_is_ended(at: WorkspaceShell) -> None:
    with at.shell.start("metrics", "--listen", "0") as serving:
        assert serving.stderr is not None
        said = serving.stderr.readline()
        (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)/metrics", said)
        assert get(int(port))[0] == 200
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(PATIENCE_S) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("text", "address"),
    [("9464", ("127.0.0.1", 9464)), ("0.0.0.0:80", ("0.0.0.0", 80)), ("[::1]:80", ("::1", 80))],
)
def test_an_address_is_this_machine_unless_it_names_another(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "http", "localhost", "127.0.0.1:99999", "1:-2"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--listen"):
        parse_address(text)


def test_the_dashboard_shows_metrics_that_there_are(at: WorkspaceShell) -> None:
    with environment(at.shell.environ), open_journal() as journal, held_name(journal, HOUSEKEEPING):
        families = {
            each.name: each for each in text_string_to_metric_families(metrics_text(journal, time.time()).decode())
        }
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    targets = [target for panel in panels for target in panel["targets"]]
    shown = {name for target in targets for name in re.findall(r"hybridloop_\w+", target["expr"])}
    assert shown == set(families)
    for target in targets:
        (first, *_) = re.findall(r"hybridloop_\w+", target["expr"])
        labels = {label for sample in families[first].samples for label in sample.labels}
        assert (
            set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))) <= labels or not families[first].samples
        )
