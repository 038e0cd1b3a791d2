"""Report in a real browser: accessible in light and dark, on a phone and on paper."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from hybridloop.reports.bundle.archive import read_bundle
from hybridloop.reports.html import render_report
from tests.emulator.browser_helpers import Browser, needs_browser, running_browser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    needs_browser,
]

PAGES = ("vqe", "scan", "qaoa", "stopped", "idled-renew")
FINDINGS = """
return (async () => (await axe.run()).violations.map(
  (each) => [each.id, each.impact, each.nodes.slice(0, 3).map((node) => node.html.slice(0, 100))]))()
"""
ASKED_FOR = "return performance.getEntriesByType('resource').map((each) => each.name)"
GROUND = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g)[0]"
LETTERS = """
return Math.min(...[...document.querySelectorAll('figure svg')].flatMap((svg) => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  return [...svg.querySelectorAll('text')].map((text) => parseFloat(getComputedStyle(text).fontSize) * scale);
}))
"""
WIDTH = "return document.documentElement.scrollWidth"
SCROLLED = """
return [...document.querySelectorAll('main *')].filter((each) => each.scrollWidth > each.clientWidth + 1 &&
  ['auto', 'scroll'].includes(getComputedStyle(each).overflowX)).map((each) => each.outerHTML.slice(0, 100))
"""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def pages(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the report of each run."""
    folder = tmp_path_factory.mktemp("pages")
    for name in PAGES:
        (folder / f"{name}.html").write_text(render_report(read_bundle(bundles / f"{name}.zip")[0]), "utf-8")
    return folder


def opened(window: Browser, page: Path, *, width: int = 1100, scheme: str = "light") -> Browser:
    window.resize(width, 900)
    window.prefer(scheme)
    window.complaints()
    window.open(page.as_uri())
    return window


def axe_findings(browser: Browser) -> Any:
    browser.run(resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8"))
    return browser.run(FINDINGS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_report_is_accessible_in_light_and_dark(
    window: Browser, pages: Path, name: str, scheme: str, tmp_path: Path
) -> None:
    browser = opened(window, pages / f"{name}.html", scheme=scheme)
    assert axe_findings(browser) == []
    assert browser.complaints() == []
    assert browser.run(ASKED_FOR) == []
    assert (int(browser.run(GROUND)) < 128) == (scheme == "dark")
    browser.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000  # an empty one has 5 kB


@pytest.mark.parametrize("name", PAGES)
def test_a_report_fits_on_a_phone(window: Browser, pages: Path, name: str) -> None:
    browser = opened(window, pages / f"{name}.html", width=360)
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.run(WIDTH) <= 360
    assert browser.run(LETTERS) >= 7  # pixels
    assert browser.run(SCROLLED) == []
    assert axe_findings(browser) == []


def test_plots_have_names_and_tables_have_headers_for_screen_readers(window: Browser, pages: Path) -> None:
    browser = opened(window, pages / "qaoa.html")
    assert browser.label("figure svg") == ("image", "Objective of the final shots")
    assert browser.label("main table")[0] == "table"
    assert browser.label("main tbody th")[0] == "rowheader"
    assert browser.label("nav") == ("navigation", "Sections")
    assert browser.label("section")[1] == "Answer"


def test_a_report_prints_on_white_in_light_and_dark(window: Browser, pages: Path) -> None:
    browser = opened(window, pages / "vqe.html", scheme="dark")
    browser.devtools("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.run(GROUND) == "255"
        printed = base64.b64decode(browser.devtools("Page.printToPDF")["data"])
    finally:
        browser.devtools("Emulation.setEmulatedMedia", media="")
    assert printed.startswith(b"%PDF-")
    assert 1 <= printed.count(b"/Type /Page\n") <= 6
