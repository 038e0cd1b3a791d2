"""Site of the guides: built without a warning, without requests to other hosts, complete reference."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from threading import Thread

import pytest
import typer.core
import typer.main

import hybridloop
from docs._reference import PAGES as MADE
from hybridloop.cli.app import build_app
from hybridloop.descriptions import ALGORITHMS
from tests.emulator.browser_helpers import needs_browser, running_browser
from tests.paths import ROOT
from tests.waiting import PATIENCE_S

WRITTEN = sorted((ROOT / "docs").rglob("*.md"))
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
ELSEWHERE = re.compile(r"\s*(?:https?:)?//")
IN_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?\s*(?:https?:)?//[^)\s]+""")
FINDINGS = """
return (async () => (await axe.run()).violations
  .filter((each) => ["serious", "critical"].includes(each.impact))
  .map((each) => [each.id, each.nodes.slice(0, 3).map((node) => node.html.slice(0, 100))]))()
"""
FETCHES = ("src", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href")


class Page(HTMLParser):
    """Parser of a page: the resources that it loads, its link targets, and its ids."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in FETCHES or (name == "href" and tag != "a"):
                self.fetched.append(value or "")
            elif name == "href":
                self.links.append(value or "")
            elif name == "id":
                self.ids.append(value or "")


def commands(tree: object, words: tuple[str, ...] = ("hybridloop",)) -> Iterator[str]:
    """Return all commands in full."""
    if isinstance(tree, typer.core.TyperGroup):
        for name, each in tree.commands.items():
            yield from commands(each, (*words, name))
    elif not getattr(tree, "hidden", False):
        yield " ".join(words)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does, without a network."""
    folder = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return folder


class Quiet(SimpleHTTPRequestHandler):
    """File server without a log."""

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Serve the site over HTTP on this machine; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def page_of(site: Path, path: str) -> Path:
    return site / ("" if path == "index" else path) / "index.html"


@pytest.mark.slow
def test_every_guide_and_notebook_is_a_page_linked_from_the_first_one(site: Path) -> None:
    leads_to = {link.split("#")[0].strip("./") for link in Page(site / "index.html").links}
    for source in [*WRITTEN, *NOTEBOOKS]:
        path = source.relative_to(ROOT / "docs").with_suffix("").as_posix()
        assert page_of(site, path).is_file()
        assert path == "index" or path in leads_to


@pytest.mark.slow
def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > len(WRITTEN)
    assert [each for page in pages.values() for each in page.fetched if ELSEWHERE.match(each)] == []
    assert any(page.fetched for page in pages.values())
    styled = [*pages, *site.rglob("*.css"), *site.rglob("*.svg")]
    assert [found for path in styled for found in IN_STYLE.findall(path.read_text("utf-8"))] == []


@pytest.mark.slow
def test_the_reference_has_every_public_name_and_no_private_one(site: Path) -> None:
    ids = Page(page_of(site, "reference/python")).ids
    named = {each.rpartition(".")[2] for each in ids}
    assert {name for name in hybridloop.__all__ if not name.startswith("_")} <= named
    assert {"RunResult", "OpenSession", "RoundProgress"} <= named
    everywhere = [each for path in site.rglob("*.html") for each in Page(path).ids]
    assert [each for each in everywhere if "._" in each or each.startswith("hybridloop._")] == []


@pytest.mark.slow
def test_the_reference_has_every_command_and_every_setting(site: Path) -> None:
    told = page_of(site, "reference/commands").read_text("utf-8")
    assert [each for each in commands(typer.main.get_command(build_app())) if f">{each}<a" not in told] == []
    assert "<code>--max-sessions &lt;int range&gt;</code>" in told
    assert "&amp;lt;" not in told
    settings = page_of(site, "reference/settings").read_text("utf-8")
    named = {name for each in ALGORITHMS.values() for name in each.settings.model_fields} - {"failure"}
    assert [name for name in named if f"<code>{name}</code>" not in settings] == []


@pytest.mark.parametrize("name", MADE)
def test_a_reference_page_of_the_checkout_is_what_the_code_makes(name: str) -> None:
    assert (ROOT / "docs" / "reference" / name).read_text("utf-8") == MADE[name](), "run `make reference`"


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_can_be_downloaded_from_its_page(site: Path, notebook: Path) -> None:
    page = Page(page_of(site, f"notebooks/{notebook.stem}"))
    assert f"../{notebook.name}" in page.links
    assert json.loads((site / "notebooks" / notebook.name).read_text("utf-8")) == json.loads(
        notebook.read_text("utf-8")
    )


@pytest.mark.slow
@pytest.mark.browser
@needs_browser
def test_pages_open_in_a_browser_without_console_errors_in_light_and_dark(address: str, tmp_path: Path) -> None:
    with running_browser(tmp_path / "profile") as window:
        grounds = set()
        for scheme in ("light", "dark"):
            window.prefer(scheme)
            for path in ("", "crash/", "notebooks/4-failures/", "reference/python/"):
                window.open(address + path)
                assert window.run("return document.querySelector('h1').innerText")
                asked = window.run("return performance.getEntriesByType('resource').map((each) => each.name)")
                assert asked
                assert [each for each in asked if not each.startswith(address)] == []
                assert window.complaints() == []
            grounds.add(window.run("return getComputedStyle(document.body).backgroundColor"))
        assert len(grounds) == 2


@pytest.mark.slow
@pytest.mark.browser
@needs_browser
def test_pages_are_accessible_in_light_and_dark(address: str, tmp_path: Path) -> None:
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
    with running_browser(tmp_path / "profile") as window:
        for scheme in ("light", "dark"):
            window.prefer(scheme)
            for path in ("", "runs/", "cost/", "emulator/", "notebooks/1-start/", "reference/python/"):
                window.open(address + path)
                window.run(axe)
                assert window.run(FINDINGS) == [], (scheme, path)
