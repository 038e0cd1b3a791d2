"""A run's artifact on the page of the real Prefect server: text, table and image are shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.schemas.actions import ArtifactCreate

from hybridloop.flows.in_prefect.artifact import report_markdown
from hybridloop.local_stack import PrefectServer
from hybridloop.results.result_text import measured_text
from hybridloop.runs.stored_run import StoredRun
from tests.emulator.browser_helpers import needs_browser, running_browser
from tests.prefect_server import prefect_client
from tests.result_helpers import answered

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    needs_browser,
]

WORDS = "<b>bold</b> | [x](y) *c* _d_ `e` (f) \\| é & #1"
CELLS = "return [...document.querySelectorAll('td')].map((each) => each.innerText.trim())"
WIDTH = "return document.querySelector('img[src^=\"data:image/svg\"]')?.naturalWidth ?? 0"


@pytest.mark.parametrize("kept", ["scan"], indirect=True)
def test_prefect_shows_an_artifact_as_it_was_written(
    kept: StoredRun, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    assert kept.result is not None
    result = replace(answered(kept.result, warnings=(WORDS,)), target=WORDS)
    with prefect_client(prefect_server) as client:
        asked = ArtifactCreate(key=f"shown-{uuid4().hex}", type="markdown", data=report_markdown(result))
        artifact = client.create_artifact(asked)
    with running_browser(tmp_path / "profile") as browser:
        browser.open(prefect_server.sign_in_url or "")
        browser.until(lambda: "/sign-in" not in browser.address())
        browser.open(prefect_server.api_url.removesuffix("api") + f"artifacts/artifact/{artifact.id}")
        browser.until(lambda: browser.run(WIDTH) > 0)
        cells, page = browser.run(CELLS), browser.text()
    lowest = min(result.table, key=lambda row: row["energy"])
    energy = measured_text(lowest["energy"], lowest["standard_error"])
    assert f"lowest {energy} hartree at {lowest['point']}" in cells
    assert WORDS in cells
    assert page.count(WORDS) == 2
    assert [row["point"] for row in result.table if row["point"] not in cells] == []
    assert "&#" not in page
