"""Artifact of a run in Prefect: one a run, updated at a bounded rate, with all texts escaped."""

from __future__ import annotations

import base64
import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from azure.quantum import Workspace
from markdown_it import MarkdownIt
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from hybridloop.flows import load_flow
from hybridloop.flows.in_prefect.artifact import (
    MAX_ROWS,
    MAX_TIME_SHARE,
    MIN_INTERVAL_S,
    RunArtifact,
    convergence_svg,
    report_markdown,
)
from hybridloop.journal import open_journal
from hybridloop.local_stack import PrefectServer
from hybridloop.results.result import RunResult
from hybridloop.results.result_text import OBSERVABLES
from hybridloop.runs.stored_run import StoredRun, load_run
from hybridloop.runtime.escaping import escape_markdown
from tests.flow_calls import call_flow
from tests.http_helpers import answer, replying
from tests.long_run_helpers import long_run
from tests.prefect_server import prefect_client
from tests.preparation_helpers import settings_for
from tests.result_helpers import answered
from tests.stored_run_helpers import RUNS

HOSTILE = "<script>hacked()</script> | [x](javascript:hacked()) ![y](http://there) `a` *b* _c_ # d\n\n# e & \\| f"
MAX_BYTES = 100_000


@dataclass(slots=True)
class RecordedReports(RunArtifact):
    """Stand-in for Prefect that stores the reports; each call takes so long."""

    clock: list[float] = field(default_factory=lambda: [0.0])
    takes_s: float = 0.01
    reports: list[float] = field(default_factory=list)
    trouble: Exception | None = None

    def _put(self, markdown: str) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.reports.append(self.clock[0])
        self.clock[0] += self.takes_s


@pytest.fixture
def result(vqe_run: StoredRun) -> RunResult:
    assert vqe_run.result is not None
    return vqe_run.result


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


def reports(clock: list[float], **given: Any) -> RecordedReports:
    return RecordedReports("night", "0123456789", None, now=lambda: clock[0], clock=clock, **given)


def test_a_price_of_the_local_service_is_not_shown_as_billed(result: RunResult) -> None:
    for is_local, text in ((True, r"529.73 USD \(local: not billed\)"), (False, "529.73 USD")):
        page = report_markdown(replace(result, cost={"USD": 529.73}, is_local=is_local))
        assert f"| Cost | {text} |" in page


@pytest.mark.slow
@pytest.mark.parametrize(("takes_s", "apart_s"), [(0.01, MIN_INTERVAL_S), (1.0, 1.0 / MAX_TIME_SHARE)])
def test_an_artifact_takes_a_bounded_share_of_the_time(
    takes_s: float, apart_s: float, clock: list[float], result: RunResult
) -> None:
    artifact = reports(clock, takes_s=takes_s)
    while clock[0] < 200.0:
        artifact.update(lambda: result)
        clock[0] += 0.5
    assert artifact.reports[0] == MIN_INTERVAL_S
    gaps = [later - earlier for earlier, later in itertools.pairwise(artifact.reports)]
    assert min(gaps) >= apart_s
    assert max(gaps) <= apart_s + takes_s + 0.5


@pytest.mark.claim("the Prefect server is unreachable or hangs")
@pytest.mark.slow
def test_an_error_of_prefect_is_logged_once_and_does_not_end_the_run(
    clock: list[float], result: RunResult, caplog: pytest.LogCaptureFixture
) -> None:
    artifact = reports(clock, trouble=RuntimeError("the server is away"))
    for _ in range(3):
        artifact.write(lambda: result)
    message = "the report of the run could not be written to Prefect: the server is away"
    assert [record.message for record in caplog.records] == [message]


@pytest.mark.slow
def test_a_server_that_is_busy_is_asked_once(result: RunResult, caplog: pytest.LogCaptureFixture) -> None:
    asked: list[str] = []

    def refuse(request: BaseHTTPRequestHandler) -> None:
        if request.command == "GET":
            answer(request, 404)  # there are no CSRF tokens
            return
        asked.append(request.path)
        request.rfile.read(int(request.headers["content-length"]))
        answer(request, 503)

    with replying(refuse) as url, temporary_settings({PREFECT_API_URL: f"{url}api"}):
        RunArtifact("night", "0123456789", None).write(lambda: result)
        assert PREFECT_CLIENT_MAX_RETRIES.value() > 0  # elsewhere as before
    assert asked == ["/api/artifacts/"]
    assert "503" in caplog.text


def test_the_artifact_is_updated_again_when_prefect_is_back(clock: list[float], result: RunResult) -> None:
    artifact = reports(clock, trouble=RuntimeError("the server is restarted"))
    artifact.write(lambda: result)
    artifact.trouble = None
    artifact.write(lambda: result)
    assert artifact.reports == [0.0]


@pytest.mark.slow
def test_every_text_in_the_artifact_is_escaped(result: RunResult) -> None:
    attacked = answered(result, warnings=(HOSTILE,), choices=(HOSTILE,))
    attacked = replace(attacked, problem=HOSTILE, target=HOSTILE, reason=HOSTILE, run_key="k")
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    vars(reader)["validateLink"] = lambda _url: True  # as Prefect's page does, which shows SVG images
    page = reader.render(report_markdown(attacked))
    (picture,) = re.findall(r"<img src=\"([^\"]*)\"", page)
    assert picture.startswith("data:image/svg+xml;base64,")
    assert "<script" not in page
    assert "<a " not in page
    assert page.count("<h1>") == 1
    assert page.count("<code>") == 1  # the command at the end of the artifact
    assert page.count("<em>") == 0
    assert page.count("&lt;script&gt;hacked()&lt;/script&gt; | [x](javascript:hacked())") == 5
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    assert {row.count("<td") for row in rows[1:]} == {2}


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["scan"], indirect=True)
def test_the_artifact_has_a_scans_points_up_to_a_bound(kept: StoredRun) -> None:
    assert kept.result is not None
    long = answered(kept.result, table=kept.result.table * 40)
    for result, rows, more in ((kept.result, 3, False), (long, MAX_ROWS, True)):
        points, _, beside = report_markdown(result).partition("## Points")[2].partition(f"## {OBSERVABLES}")
        assert len(re.findall(r"^\| h2", points, re.MULTILINE)) == rows
        assert ("The first 50 of 120" in points) == more
        assert len(re.findall(r"^\| h2", beside, re.MULTILINE)) == 6


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["vqe"], indirect=True)
def test_rounds_of_the_final_measurement_are_counted_as_in_the_result(kept: StoredRun) -> None:
    assert kept.result is not None
    assert "| Rounds | 17 |" in report_markdown(answered(kept.result, rounds=17))


def test_plain_text_stays_readable() -> None:
    assert (
        escape_markdown("energy -1.137 ± 0.001 hartree, 3 jobs: 95 %") == "energy -1.137 ± 0.001 hartree, 3 jobs: 95 %"
    )
    assert escape_markdown("é – \x00\u202e") == r"é – \\x00\\u202e"


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [10, 5000])
def test_the_artifact_is_bounded_in_size_and_has_a_valid_image(jobs: int, vqe_run: StoredRun) -> None:
    result = long_run(vqe_run, jobs).result
    assert result is not None
    markdown = report_markdown(result)
    assert len(markdown) < MAX_BYTES
    (data,) = re.findall(r"base64,([^)]*)\)", markdown)
    root = ET.fromstring(base64.b64decode(data))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall("{http://www.w3.org/2000/svg}circle")) <= 301


@pytest.mark.slow
def test_the_sketch_has_a_mark_for_every_round_within_its_frame(result: RunResult) -> None:
    root = ET.fromstring(convergence_svg(result))
    marks = root.findall("{http://www.w3.org/2000/svg}circle")
    assert len(marks) == len(result.history)
    assert all(0 < float(mark.get("cx", "")) < 640 for mark in marks)
    assert all(0 < float(mark.get("cy", "")) < 260 for mark in marks)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "status"), [("vqe", "converged"), ("stopped", "stopped")])
def test_a_run_leaves_one_artifact_that_says_how_it_ended(
    kind: str, status: str, prefect_server: PrefectServer, workspace: Workspace
) -> None:
    algorithm, problem, values = RUNS[kind]
    key = f"artifact-{kind}"
    call_flow(load_flow(algorithm), workspace, problem, settings_for(algorithm, values), key)
    with open_journal() as journal:
        run = load_run(journal, key)
    assert run.record.status == status
    of_run = ArtifactFilterKey(any_=[RunArtifact(key, run.record.uid, None).key])
    with prefect_client(prefect_server) as client:
        (artifact,) = client.read_artifacts(artifact_filter=ArtifactFilter(key=of_run))
    assert (artifact.type, str(artifact.flow_run_id)) == ("markdown", run.record.flow_run_id)
    assert run.result is not None
    assert str(artifact.data) == report_markdown(run.result)
