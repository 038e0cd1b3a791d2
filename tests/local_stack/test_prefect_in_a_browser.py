"""The stack's Prefect server in a real browser: its link signs in, and pages of other sites get nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from prefect.blocks.system import Secret
from prefect.client.orchestration import SyncPrefectClient

from hybridloop import local_stack as stack
from tests.emulator.browser_helpers import Browser, needs_browser, running_browser
from tests.http_helpers import answer, replying

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.slow,
    needs_browser,
]
KEPT = "a-key-that-costs-money"
# what a page of another site may try at an address: read, write without asking, listen, and show in a frame
ATTACK = """
const [api, done] = [arguments[0], arguments[1]];
const text = async (reply) => `${reply.type} ${await reply.text()}`;
const post = (mode, type, path, body) =>
  fetch(api + path, {method: "POST", mode, headers: {"Content-Type": type}, body});
const tries = {
  read: fetch(api + "/admin/version").then(text),
  blocks: post("cors", "application/json", "/block_documents/filter", '{"include_secrets": true}').then(text),
  plain: post("cors", "text/plain", "/block_documents/filter", '{"include_secrets": true}').then(text),
  write: post("no-cors", "text/plain", "/work_pools/", '{"name": "stolen", "type": "process"}').then(text),
  listen: new Promise((resolve, reject) => {
    const socket = new WebSocket(api.replace("http", "ws") + "/events/out", ["prefect"]);
    socket.onopen = () => resolve("open");
    socket.onerror = () => reject("refused");
  }),
};
Promise.allSettled(Object.values(tries)).then((ends) => done(Object.fromEntries(
  Object.keys(tries).map((name, k) => [name, ends[k].status === "fulfilled" ? ends[k].value : "refused"])
)));
"""


@contextmanager
def another_site() -> Iterator[str]:
    """Hold a server of pages on another port, thus of another origin."""
    headers = {"Content-Type": "text/html", "Access-Control-Allow-Origin": "*"}
    page = b"<!doctype html><title>another site</title>"
    with replying(lambda request: answer(request, 200, page, headers)) as url:
        yield url.removesuffix("/")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(
        tmp_path_factory.mktemp("profile"), "--host-resolver-rules=MAP evil.example 127.0.0.1"
    ) as running:
        yield running


@pytest.fixture
def secret(prefect_server: stack.PrefectServer) -> str:
    """Save a block with a key in it."""
    Secret(value=KEPT).save("of-the-workspace", overwrite=True)
    return KEPT


def work_pools(server: stack.PrefectServer) -> set[str]:
    auth = server.environment["PREFECT_API_AUTH_STRING"]
    with SyncPrefectClient(server.api_url, auth_string=auth) as client:
        return {pool.name for pool in client.read_work_pools()}


def test_a_page_of_another_site_reads_and_changes_nothing(
    prefect_server: stack.PrefectServer, browser: Browser, secret: str
) -> None:
    before = work_pools(prefect_server)
    browser.open(prefect_server.sign_in_url or "")  # this browser has the password
    browser.until(lambda: "/sign-in" not in browser.address())
    with another_site() as site, another_site() as open_site:
        browser.open(site)
        found = browser.run_async(ATTACK, open_site)
        assert found["read"].startswith("cors <!doctype html>")  # the attack works where a server is open
        found = browser.run_async(ATTACK, prefect_server.api_url)
    assert secret not in str(found)
    # of a request without leave to read the browser shows the page nothing: what counts is what it did
    assert {name: end for name, end in found.items() if name != "write"} == dict.fromkeys(
        ("read", "blocks", "plain", "listen"), "refused"
    )
    assert work_pools(prefect_server) == before


def test_a_name_that_resolves_to_this_machine_is_refused(
    prefect_server: stack.PrefectServer, browser: Browser, secret: str
) -> None:
    port = urlsplit(prefect_server.api_url).port
    browser.open(f"http://evil.example:{port}/api/health")
    assert "does not name this server" in browser.text()
    found = browser.run_async(ATTACK, f"http://evil.example:{port}/api")
    assert secret not in str(found)
    assert "does not name" in found["blocks"]
    assert found["listen"] == "refused"


def test_the_link_of_status_signs_a_browser_in(prefect_server: stack.PrefectServer, browser: Browser) -> None:
    root = prefect_server.api_url.removesuffix("/api")
    browser.open(root)
    browser.run("localStorage.clear()")
    browser.open(f"{root}/sign-in#d3Jvbmc6a2V5")
    browser.until(lambda: "not valid any more" in browser.text())
    assert browser.run("return localStorage.getItem('prefect-password')") is None
    browser.open("about:blank")
    browser.open(prefect_server.sign_in_url or "")
    browser.until(lambda: "Logout" in browser.text())  # it is in the menu of a user who is signed in
    assert "/sign-in" not in browser.address()
