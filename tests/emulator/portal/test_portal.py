"""Portal over HTTP: content of its pages, sign-in, and protection of its buttons."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hybridloop.emulator.model.job import JobState, with_cancellation
from hybridloop.emulator.model.requests import JobRequest
from hybridloop.emulator.store.store import Store
from tests.cli.test_control_characters import CONTROL
from tests.conftest import Emulator, running_emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, ENDLESS_QIR, Caller, raw_call
from tests.emulator.portal_helpers import Visitor, item_path, page_text

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"""


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with running_emulator("--clock", "virtual") as running:
        yield running


@pytest.fixture
def visitor(service: Emulator) -> Visitor:
    visitor = Visitor(service)
    visitor.sign_in()
    return visitor


@pytest.fixture
def caller(service: Emulator) -> Caller:
    return Caller(service)


def test_without_a_sign_in_every_page_is_only_a_hint_how_to_sign_in(service: Emulator, caller: Caller) -> None:
    session = caller.open_session(name="secret plan")
    job = caller.submit(sessionId=session, name="secret job")
    for path in ("/", item_path(caller, "sessions", session), item_path(caller, "jobs", job), "/_portal/nothing"):
        for secret in ("", "guess", "guéss", service.api_key, service.admin_key):
            reply = Visitor(service, f"hybridloop_portal_{urlsplit(service.endpoint).port}={secret}").get(path)
            assert reply.status == 401
            assert b"hybridloop portal" in reply.body
            assert b"secret" not in reply.body


def test_a_link_signs_in_once_with_a_cookie_that_is_no_key(service: Emulator) -> None:
    path = service.admin("portal", {})["path"]
    assert raw_call(service.endpoint, "HEAD", path, None, {}).status == 401
    reply = Visitor(service).get(path)
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
    assert 'http-equiv="refresh" content="0;url=/"' in reply.body.decode()
    cookie, *attributes = reply.headers["set-cookie"].split("; ")
    assert {each.lower() for each in attributes} == {"httponly", "samesite=strict", "path=/"}
    assert service.api_key not in cookie
    assert "Sessions" in Visitor(service, cookie).page("/")
    for used in (path, "/_portal/enter/", "/_portal/enter/guess"):
        again = Visitor(service).get(used)
        assert again.status == 401
        assert "set-cookie" not in again.headers


def test_a_new_link_replaces_the_last_one_and_only_the_admin_key_makes_one(service: Emulator) -> None:
    replaced, newest = (service.admin("portal", {})["path"] for _ in range(2))
    assert [Visitor(service).get(path).status for path in (replaced, newest)] == [401, 200]
    for method, key, status in (("POST", service.api_key, 401), ("GET", service.admin_key, 405)):
        reply = raw_call(service.endpoint, method, "/_admin/portal", None, {"x-admin-key": key})
        assert reply.status == status


def test_the_overview_shows_each_session_with_state_counts_cost_and_idle_time(
    service: Emulator, visitor: Visitor, caller: Caller
) -> None:
    start = service.admin("clock")["seconds"] // 120 * 120 + 120
    service.advance(start - service.admin("clock")["seconds"])
    session = caller.open_session("quantinuum.sim.h2-1e", name="the one")
    caller.ended(caller.submit(sessionId=session, target="quantinuum.sim.h2-1e"))
    caller.ended(caller.submit(b"no program", sessionId=session, target="quantinuum.sim.h2-1e"))
    (price,) = [entry["price"] for entry in service.admin(f"ledger?session={session}")["entries"] if entry["price"]]
    service.advance(90)
    text = page_text(visitor.page("/"))
    line = text[text.index("the one") :].partition(caller.workspace)[0]
    assert f"Failure(s) quantinuum.sim.h2-1e 2, 1 failed {price:g} eHQC 8 min 30 s" in line


def test_jobs_without_a_session_are_listed_apart_under_their_names_or_ids(visitor: Visitor, caller: Caller) -> None:
    named, unnamed = caller.submit(name="alone"), caller.submit(name=None)
    inside = caller.submit(name="inside", sessionId=caller.open_session())
    caller.all_ended()
    text = page_text(visitor.page("/")).partition("Jobs without a session")[2]
    assert "alone Succeeded rigetti.sim.qvm 100 0 USD" in text
    assert unnamed in text
    assert named not in text
    assert "inside" not in text
    assert inside not in text


def test_pages_show_the_shots_that_were_run(visitor: Visitor, caller: Caller) -> None:
    job = caller.submit(target="ionq.qpu.forte-1", name="by default", inputParams={})
    caller.ended(job)
    assert "by default Succeeded ionq.qpu.forte-1 1,000 " in page_text(visitor.page("/"))
    assert "Shots 1,000 " in page_text(visitor.page(item_path(caller, "jobs", job)))


def test_a_sessions_jobs_are_paged_newest_first_without_repeats(visitor: Visitor, caller: Caller) -> None:
    session = caller.open_session()
    names = [f"number {number:02}" for number in range(60)]
    for name in names:
        caller.submit(sessionId=session, name=name)
    path: str | None = item_path(caller, "sessions", session)
    seen, pages = [], 0
    while path is not None:
        page = visitor.page(path)
        seen += re.findall(r"number \d\d", page_text(page))
        pages += 1
        older = re.search(r'id="older" href="([^"]+)"', page)
        path = older and item_path(caller, "sessions", session) + older[1]
    assert (seen, pages) == (names[::-1], 3)


def test_the_overview_is_paged_newest_first_without_repeats() -> None:
    with running_emulator() as fresh:
        caller, visitor = Caller(fresh), Visitor(fresh)
        sessions = [caller.open_session(name=f"session {number:02}") for number in range(30)]
        jobs = [caller.submit(name=f"job {number:02}") for number in range(30)]
        visitor.sign_in()
        first = visitor.page("/")
        links = [re.search(rf'id="{kind}-older" href="([^"]+)"', first) for kind in ("sessions", "jobs")]
        assert all(links)
        following = [visitor.page(link[1]) for link in links if link]
        assert not re.search('id="sessions-older"', following[0])
        assert not re.search('id="jobs-older"', following[1])
    for kind, items, second in zip(("session", "job"), (sessions, jobs), following, strict=True):
        seen = re.findall(rf"{kind} \d\d", page_text(first)) + re.findall(rf"{kind} \d\d", page_text(second))
        assert seen == [f"{kind} {number:02}" for number in reversed(range(len(items)))]


def test_a_jobs_page_shows_input_parameters_histogram_and_session(visitor: Visitor, caller: Caller) -> None:
    session = caller.open_session()
    job = caller.submit(sessionId=session, inputParams={"shots": 1000, "extra": [1]}, metadata={"place": "run/3"})
    histogram = caller.result(job)["Results"][0]["Histogram"]
    page = visitor.page(item_path(caller, "jobs", job))
    text = page_text(page)
    assert "call void @__quantum__qis__x__body" in text
    assert '"shots": 1000' in text
    assert "place run/3" in text
    assert item_path(caller, "sessions", session) in page
    for entry in histogram:
        label = "".join(map(str, entry["Outcome"]))
        assert f"{label}: {entry['Count']}" in text  # in the description for screen readers
    shares = [float(width) for width in re.findall(r'class="bar" [^>]*width="([\d.]+)%"', page)]
    largest, smallest = sorted((entry["Count"] for entry in histogram), reverse=True)
    assert shares == [100.0, round(100 * smallest / largest, 2)]


def test_pages_show_the_priority_that_was_given(visitor: Visitor, caller: Caller) -> None:
    for given, shown in ({}, "Basic"), ({"priority": "High"}, "High"):
        session = caller.open_session(**given)
        job = caller.submit(ASYMMETRIC_QIR, sessionId=session, **given)
        for kind, item in (("sessions", session), ("jobs", job)):
            assert f"Priority {shown}" in page_text(visitor.page(item_path(caller, kind, item)))


def test_a_failed_jobs_page_shows_its_error(visitor: Visitor, caller: Caller) -> None:
    job = caller.submit(b"no program")
    error = caller.ended(job)["errorData"]
    text = page_text(visitor.page(item_path(caller, "jobs", job)))
    assert f"{error['code']} {error['message']}" in text


def test_long_inputs_are_truncated_and_binary_ones_described(visitor: Visitor, caller: Caller) -> None:
    long = caller.submit(ASYMMETRIC_QIR + b"; remark\n" * 10_000)
    binary = caller.submit(b"\xff\xfe\x00")
    assert "20,000 shown" in page_text(visitor.page(item_path(caller, "jobs", long)))
    assert len(visitor.page(item_path(caller, "jobs", long))) < 60_000
    assert "3 bytes of binary data" in page_text(visitor.page(item_path(caller, "jobs", binary)))


def test_the_close_button_closes_a_session_and_disappears(visitor: Visitor, caller: Caller) -> None:
    session = caller.open_session()
    path = item_path(caller, "sessions", session)
    assert f'action="{path}/close"' in visitor.page(path)
    reply = visitor.press(f"{path}/close")
    assert (reply.status, reply.headers["location"]) == (303, path)
    assert caller.session_status(session) == "Succeeded"
    assert "/close" not in visitor.page(path)


def test_the_cancel_button_cancels_a_job_and_disappears(visitor: Visitor, caller: Caller) -> None:
    job = caller.submit(ENDLESS_QIR)
    path = item_path(caller, "jobs", job)
    assert f'action="{path}/cancel"' in visitor.page(path)
    assert visitor.press(f"{path}/cancel").status == 303
    assert caller.ended(job)["status"] == "Cancelled"
    assert "/cancel" not in visitor.page(path)


def test_a_button_without_a_sign_in_changes_nothing(service: Emulator, caller: Caller) -> None:
    session = caller.open_session()
    assert Visitor(service).press(f"{item_path(caller, 'sessions', session)}/close").status == 401
    assert caller.session_status(session) == "Waiting"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:1", "https://127.0.0.1"])
def test_a_button_of_another_origin_is_refused_and_changes_nothing(
    visitor: Visitor, caller: Caller, origin: str
) -> None:
    session = caller.open_session()
    path = f"{item_path(caller, 'sessions', session)}/close"
    assert visitor.press(path, Origin=origin).status == 403
    assert caller.session_status(session) == "Waiting"


def test_text_of_clients_is_escaped(visitor: Visitor, caller: Caller) -> None:
    session = caller.open_session(name=f"S {HOSTILE}")
    job = caller.submit(
        HOSTILE.encode(),
        sessionId=session,
        name=f"J {HOSTILE}",
        tags=[HOSTILE],
        metadata={HOSTILE: HOSTILE},
        inputParams={"shots": 10, HOSTILE: HOSTILE},
        inputDataFormat=HOSTILE,
    )
    lone = caller.submit(name=f"L {HOSTILE}")
    caller.ended(job)
    paths = [
        "/",
        item_path(caller, "sessions", session),
        item_path(caller, "jobs", job),
        item_path(caller, "jobs", lone),
    ]
    pages = [visitor.page(path) for path in paths]
    for page in pages:
        assert "&lt;script&gt;alert(1)" in page
        assert re.findall(r"<script(?! src=\"/_portal/refresh.js\" defer>)", page) == []
        assert "<img" not in page
        assert "&gt;{{ 7 * 7 }}" in page
        assert "&gt;49" not in page
    assert HOSTILE in page_text(pages[2])


def test_control_characters_of_clients_are_escaped(visitor: Visitor, caller: Caller) -> None:
    control = "\x1b[2J\u202eabc\x07\x9b\u2028" + "x" * 8000  # the service takes 8192 characters
    session = caller.open_session(name=control)
    job = caller.submit(sessionId=session, name=control, tags=[control], metadata={"place": control})
    caller.ended(job)
    for path in ("/", item_path(caller, "sessions", session), item_path(caller, "jobs", job)):
        page = visitor.page(path)
        assert CONTROL.search(page) is None
        assert r"\x1b[2J\u202eabc" in page


def test_a_page_is_shown_although_the_store_has_a_lone_surrogate(
    tmp_path: Path, start_emulator: Callable[..., Emulator]
) -> None:
    places = ("rigetti", "rigetti.sim.qvm", "job-old", "inputData", "qir.v1", None)
    request = JobRequest("an old one", *places, {"shots": 5}, {"half": "h\ud800"}, None, None, None)
    store = Store(tmp_path / "service.sqlite")
    store.add_job("a/b/c", "old", None, request, with_cancellation(JobState(created=1.8e9), 1.8e9))
    store.close()
    visitor = Visitor(start_emulator(state=tmp_path))
    visitor.sign_in()
    assert "h?" in page_text(visitor.page("/_portal/jobs/a/b/c/old"))


def test_no_page_has_inline_scripts_or_styles_and_the_security_policy_forbids_them(
    visitor: Visitor, caller: Caller
) -> None:
    job = caller.submit()
    caller.ended(job)
    for path in ("/", item_path(caller, "jobs", job), "/_portal/nothing", "/_portal/style.css"):
        reply = visitor.get(path)
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert not re.search(rb"<style|<[^>]*\s(?:style|on[a-z]+)=|<[^>]*(?:javascript:|https?://)", reply.body)


def test_unknown_pages_and_invalid_requests_give_an_error_page(visitor: Visitor, caller: Caller) -> None:
    session = item_path(caller, "sessions", caller.open_session())
    for path, status in (
        ("/_portal/nothing", 404),
        (item_path(caller, "sessions", "nobody"), 404),
        (item_path(caller, "jobs", "nobody"), 404),
        ("/?sessions_before=x", 400),
        ("/?jobs_before=99999999999999999999", 400),
        (f"{session}?skip=-1", 400),
        (f"{session}?skip=9223372036854775807", 200),
        (f"{session}/close", 404),
    ):
        assert visitor.get(path).status == status, path
    assert visitor.press(f"{session}/cancel").status == 404
    assert visitor.get("/", **{"Cookie": "\x7f=\xff; ;;"}).status == 401
