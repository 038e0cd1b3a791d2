"""Portal in a real browser: keyboard, narrow screens, light and dark, refresh."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Emulator, running_emulator
from tests.emulator.browser_helpers import ENTER, TAB, Browser, needs_browser, running_browser
from tests.emulator.http_helpers import ENDLESS_QIR, Caller
from tests.emulator.portal_helpers import item_path

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    needs_browser,
]

# texts whose contrast with the nearest opaque background is below the 4.5 of WCAG 2
LOW_CONTRAST = """
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => parts(colour).slice(0, 3).map((c) => c / 255)
  .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if ((parts(colour)[3] ?? 1) > 0) return colour;
  }
};
const low = [];
for (const element of document.querySelectorAll("body, body *")) {
  if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
  if (element.closest("title, desc")) continue;
  const style = getComputedStyle(element);
  const colour = element instanceof SVGElement ? style.fill : style.color;
  const [a, b] = [light(colour), light(ground(element))].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) low.push([element.outerHTML.slice(0, 80), colour, ground(element)]);
}
return low;
"""
FOCUSED = "const e = document.activeElement; return [e.id, e.innerText, getComputedStyle(e).outlineStyle]"
NOWHERE = "return document.activeElement === document.body"  # before the first Tab, and between the last and the first


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with running_emulator() as running:
        yield running


@pytest.fixture
def caller(service: Emulator) -> Caller:
    return Caller(service)


@pytest.fixture
def browser(window: Browser, service: Emulator) -> Browser:
    """A browser that is signed in, on the overview, with a screen of 1200 by 900."""
    window.resize(1200, 900)
    window.prefer("light")
    window.devtools("Network.clearBrowserCookies")
    sign_in(window, service)
    return window


def sign_in(window: Browser, service: Emulator) -> None:
    window.open(service.endpoint.rstrip("/") + service.admin("portal", {})["path"])
    window.until(lambda: window.address() == service.endpoint)


def reach(browser: Browser, element: str) -> None:
    """Press Tab until the element of that id or text has the focus; every focused element must have an outline."""
    for _ in range(60):
        browser.press(TAB)
        if browser.run(NOWHERE):
            continue
        *names, outline = browser.run(FOCUSED)
        assert outline != "none", names
        if element in names:
            return
    raise AssertionError(f"{element} is not reached by Tab")


def press_through(browser: Browser, element: str, then: str) -> None:
    """Reach an element by Tab, press Enter, and wait until the page contains `then`."""
    reach(browser, element)
    browser.press(ENTER)
    browser.until(lambda: then in browser.text())


def test_everything_can_be_done_by_keyboard(browser: Browser, service: Emulator, caller: Caller) -> None:
    session = caller.open_session(name="by keyboard")
    caller.submit(ENDLESS_QIR, sessionId=session, name="never ends")
    browser.open(service.endpoint)
    press_through(browser, "by keyboard", "Close session")
    press_through(browser, "never ends", "Cancel job")
    press_through(browser, "cancel", "Cancelled")
    press_through(browser, "session", "Close session")
    press_through(browser, "close", "Ended (UTC)\n20")
    assert caller.session_status(session) == "Succeeded"


def test_a_page_refreshes_itself_and_keeps_the_focus(browser: Browser, service: Emulator, caller: Caller) -> None:
    session = caller.open_session(name="watched")
    job = caller.submit(ENDLESS_QIR, sessionId=session, name="to be ended")
    browser.open(service.endpoint.rstrip("/") + item_path(caller, "sessions", session))
    reach(browser, "to be ended")
    browser.run("window.stays = true")
    caller.call("POST", f"/jobs/{job}:cancel")
    browser.until(lambda: "1 Cancelled" in browser.text())
    assert browser.run("return window.stays") is True
    assert "to be ended" in browser.run(FOCUSED)


def test_a_hidden_or_paused_page_sends_no_requests(browser: Browser) -> None:
    browser.run(
        "window.asked = 0; const real = fetch; window.fetch = (...all) => { window.asked += 1; return real(...all); };"
        "Object.defineProperty(document, 'hidden', { get: () => window.away, configurable: true });"
    )
    # `refresh` calls fetch before its first await, so that the call is counted at once
    ask = "window.asked = 0; window.away = arguments[0] === 'away'; refresh(); return window.asked"
    assert browser.run(ask, "") == 1
    assert browser.run(ask, "away") == 0
    browser.run("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    assert browser.run("return window.asked") == 1
    browser.click("#pause")
    assert browser.run("return document.querySelector('#pause').ariaPressed") == "true"
    assert browser.run(ask, "") == 0
    browser.click("#pause")
    assert browser.run("return window.asked") == 1


def test_a_page_says_when_the_service_does_not_answer(window: Browser) -> None:
    with running_emulator() as fresh:
        sign_in(window, fresh)
    window.run("refresh()")
    window.until(lambda: "does not answer" in window.text())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_pages_fit_and_have_contrast_on_phones_and_desktops_in_light_and_dark(
    browser: Browser, service: Emulator, caller: Caller, scheme: str, width: int
) -> None:
    session = caller.open_session(name="a name without any space in it that is longer than a phone is wide " + "x" * 80)
    job = caller.submit(sessionId=session, metadata={"place": "y" * 300})
    caller.ended(job)
    failed = caller.submit(b"no program")
    caller.ended(failed)
    paths = ["/", *(item_path(caller, kind, item) for kind, item in (("sessions", session), ("jobs", job)))]
    browser.resize(width, 740)
    browser.prefer(scheme)
    for path in (*paths, item_path(caller, "jobs", failed), "/_portal/nothing"):
        browser.open(service.endpoint.rstrip("/") + path)
        browser.until(lambda: browser.run("return innerWidth") == width)
        assert browser.run("return document.documentElement.scrollWidth") <= width, path
        assert browser.run(LOW_CONTRAST) == [], path
    browser.devtools("Network.clearBrowserCookies")
    browser.open(service.endpoint)
    assert browser.run(LOW_CONTRAST) == []
    ground = browser.run("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g)[0]")
    assert (int(ground) < 128) == (scheme == "dark")


@pytest.mark.parametrize("width", [360, 1200])
def test_pages_have_names_and_landmarks_for_screen_readers(
    browser: Browser, service: Emulator, caller: Caller, width: int
) -> None:
    job = caller.submit(name="heard")
    caller.ended(job)
    browser.resize(width, 740)
    browser.open(service.endpoint)
    assert browser.label("main")[0] == "main"
    assert browser.label("header")[0] == "banner"
    assert browser.label("section:last-of-type table") == (
        "table",
        "Jobs without a session, of all workspaces, newest first",
    )
    assert browser.label("tbody th")[0] == "rowheader"
    assert browser.label("tbody td")[0] == "cell"
    assert browser.run("return [document.documentElement.lang, document.querySelectorAll('h1').length]") == ["en", 1]
    browser.open(service.endpoint.rstrip("/") + item_path(caller, "jobs", job))
    role, name = browser.label("svg")
    assert (role, name.partition(": ")[0]) == ("image", "Outcomes, the most frequent first 011")


def test_a_hostile_name_runs_no_script_and_a_page_breaks_no_security_policy(
    browser: Browser, service: Emulator, caller: Caller
) -> None:
    hostile = "<script>window.hacked = 1</script><img src=/x onerror='window.hacked = 1'>"
    job = caller.submit(hostile.encode(), name=hostile, metadata={hostile: hostile}, inputParams={hostile: hostile})
    caller.ended(job)
    browser.complaints()
    for path in ("/", item_path(caller, "jobs", job)):
        browser.open(service.endpoint.rstrip("/") + path)
        browser.run("refresh()")
        assert hostile in browser.text()
        assert browser.run("return window.hacked") is None
    assert browser.complaints() == []
    browser.run("document.body.append(Object.assign(document.createElement('script'), {text: 'window.hacked = 1'}))")
    assert browser.run("return window.hacked") is None
    assert "Content Security Policy" in " ".join(browser.complaints())


def test_a_one_time_link_leads_to_the_overview_signed_in(window: Browser, service: Emulator) -> None:
    window.open("about:blank")
    window.devtools("Network.clearBrowserCookies")
    window.complaints()  # of earlier pages
    sign_in(window, service)
    assert "Sessions and jobs" in window.text()
    assert window.complaints() == []
