"""SQL injection: attack strings in filters, orders, page bounds and names get 400 or are treated as plain text."""

from __future__ import annotations

import itertools
import random
import uuid
from urllib.parse import quote

import pytest

from tests.conftest import Emulator
from tests.emulator.http_helpers import Caller
from tests.long_form import long_form, short_or_long

pytestmark = long_form

_QUOTES = ("'", "''", "'''", '"', "\\'", "%27", "\u02bc", "\u2019", "`", "')", "'))", "' )", "\x00'", "'\n", "")
_ATTACKS = (
    " OR 1=1", " or '1'='1", " OR Name eq 'secret'", " or State eq State",
    "; DROP TABLE jobs; --", "; DELETE FROM jobs--",
    " UNION SELECT * FROM jobs", " UNION ALL SELECT key FROM sessions WHERE '1'='1", "/**/OR/**/1=1", " AND sleep(5)",
    " || (SELECT name FROM jobs) || ", " OR name LIKE '%", " OR name GLOB '*", " OR rowid > 0", ", (SELECT 1)",
    "*", "%", "_", " or startswith(Name, 'secret')", " and CreationTime ge 2000-01-01 or 1 eq 1", " COLLATE NOCASE",
    " LIMIT 1 OFFSET 0", ") or (ItemType eq 'job'",
    " OR randomblob(1000000000)", " OR load_extension('x')",
    "?", ":1", "$1", "@x", "{{7*7}}", "; PRAGMA user_version = 99", "; ATTACH DATABASE '/tmp/x' AS x",
    "\u0000", "\ud7ff", "\U0010ffff",
)  # fmt: skip
_ENDS = ("", " --", "#", "/*", ";", "\x00", "'", " and Name eq 'x")
STRINGS = sorted({f"{q}{attack}{end}" for q, attack, end in itertools.product(_QUOTES, _ATTACKS, _ENDS)})
SAMPLE = random.Random(0).sample(STRINGS, short_or_long(50, 500))


@pytest.fixture(scope="module")
def secret(emulator: Emulator) -> Caller:
    """A workspace with a session and jobs that no query of these tests may return; another workspace has the same."""
    caller = Caller(emulator)
    for owner in (caller, Caller(emulator)):
        session = owner.open_session(name="secret session")
        for number in range(3):
            owner.submit(name=f"secret {number}", sessionId=session if number else None)
    caller.all_ended()
    return caller


@pytest.mark.parametrize(
    "place",
    ["startswith(Name, 'none{0}')", "State eq 'none{0}'", "(Target eq 'none{0}' or Target eq 'neither')",
     "startswith(Name, 'none') and ProviderId eq '{0}'", "CreationTime le 1999-01-01{0}", "Name{0}", "{0}"],
)  # fmt: skip
def test_no_string_in_a_filter_returns_an_extra_row(secret: Caller, place: str) -> None:
    refused = 0
    for number, text in enumerate(SAMPLE):
        path = ("/jobs", "/sessions", "/topLevelItems")[number % 3]
        reply = secret.call("GET", f"{path}?filter={quote(place.format(text))}")
        if reply.status == 400:
            refused += 1
            assert reply.json()["error"]["code"] == "InvalidQuery"
        else:
            assert (reply.status, reply.json()["value"]) == (200, []), text
    assert refused > len(SAMPLE) // 5


@pytest.mark.parametrize(
    "place", ["orderby={0}", "orderby=Name{0}", "orderby=Name%20asc{0}", "skip={0}", "skip=0{0}", "top={0}", "top=1{0}"]
)
def test_no_attack_string_is_a_valid_order_or_page_bound(secret: Caller, place: str) -> None:
    for text in SAMPLE:
        reply = secret.call("GET", f"/jobs?{place.format(quote(text, safe=''))}")
        assert (reply.status, reply.json()["error"]["code"]) == (400, "InvalidQuery"), text


def test_no_string_in_a_path_finds_a_job_or_session_of_another_name(secret: Caller) -> None:
    for text in SAMPLE:
        for path in ("/jobs/{0}", "/sessions/{0}", "/sessions/{0}/jobs"):
            reply = secret.call("GET", path.format(quote(text, safe="")))
            assert reply.status in (404, 405), text
            assert b"secret" not in reply.body


@pytest.mark.usefixtures("secret")
def test_no_string_in_a_ledger_query_returns_an_extra_row(emulator: Emulator) -> None:
    assert emulator.admin("ledger")["jobs"] >= 6
    for text in SAMPLE:
        for name in ("run", "session"):
            assert emulator.admin(f"ledger?{name}=x{quote(text, safe='')}")["jobs"] == 0


def test_an_attack_string_as_a_name_is_stored_unchanged_and_found_by_that_name_only(emulator: Emulator) -> None:
    caller = Caller(emulator)
    names = [text for text in SAMPLE if "\x00" not in text]
    for name in names:
        document = {"name": name, "target": "rigetti.sim.qvm", "providerId": "rigetti", "inputDataFormat": "qir.v1"}
        job = str(uuid.uuid4())
        reply = caller.call("PUT", f"/jobs/{job}", {**document, "metadata": {"place": name}, "tags": [name]})
        assert (reply.status, reply.json()["name"], reply.json()["tags"]) == (200, name, [name])
    for name in names:
        literal = name.replace("'", "''")
        reply = caller.call("GET", f"/jobs?filter={quote(f'''startswith(Name, '{literal}')''')}")
        listed = [job["name"] for job in reply.json()["value"]]
        assert listed == [other for other in names if other.startswith(name)][:100], name


@pytest.mark.parametrize("field", ["name", "target", "providerId", "inputDataFormat", "sessionId"])
def test_a_name_with_a_null_character_is_refused(emulator: Emulator, field: str) -> None:
    document = {"name": "n", "target": "rigetti.sim.qvm", "providerId": "rigetti", "inputDataFormat": "qir.v1"}
    reply = Caller(emulator).call("PUT", "/jobs/nul", {**document, field: "a\x00b"})
    assert (reply.status, reply.json()["error"]["code"]) == (400, "InvalidJobDefinition")
