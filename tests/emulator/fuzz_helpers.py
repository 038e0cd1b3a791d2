"""Fuzzer of HTTP requests: valid requests, in which one or two pieces are replaced by invalid ones."""

from __future__ import annotations

import copy
import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from tests.conftest import SUBSCRIPTION, Emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR
from tests.emulator.portal_helpers import Visitor

BASE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/tests/providers/Microsoft.Quantum/workspaces/fuzz"
T = TypeVar("T")
METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND")
NASTY_TEXT = (
    "", " ", "'", "''", '"', "\\", "\x00", "\n", "\r\nx: y", "..", "../../etc/passwd", "%", "%s%n", "${x}", "{{7*7}}",
    "<b>", "null", "true", "-1", "0", "1e400", "NaN", "9" * 40, "x" * 5000, "é", "\U0001f600", "\ud800", "\u202e",
    "\u0130",
    "2026-02-30", "0000-00-00", "9999-12-31", "Succeeded", "Failure(s)", "ionq.simulator", "IONQ.SIMULATOR",
)  # fmt: skip
NASTY_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**40, 0.5, 1e308, 1e999, [], {}, [[]], [None], {"": None},
    {"a": {"b": [1, "x", None]}}, ["x"] * 300,
)  # fmt: skip
NASTY_BYTES = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"\xc3(",
    b"{",
    b"}",
    b'"',
    b"'",
    b"[" * 200,
    b"1e999",
    b"\\ud800",
    b"<!",
    b"]]>",
)
NAMES = ("Name", "ItemType", "JobType", "ProviderId", "Target", "State", "CreationTime", "id", "status", "1")
LISTS = ("/sessions", "/jobs", "/topLevelItems", "/providerStatus", "/quotas")
INPUTS: tuple[tuple[str, str, bytes], ...] = (
    ("rigetti.sim.qvm", "qir.v1", ASYMMETRIC_QIR),
    ("quantinuum.sim.h2-1sc", "qir.v1", ASYMMETRIC_QIR),
    ("ionq.simulator", "ionq.circuit.v1",
     b'{"qubits":2,"circuit":[{"gate":"h","target":0},{"gate":"cnot","control":0,"target":1}]}'),
    ("rigetti.sim.qvm", "rigetti.quil.v1", b"DECLARE ro BIT[2]\nH 0\nCNOT 0 1\nMEASURE 0 ro[0]\nMEASURE 1 ro[1]\n"),
    (
        "quantinuum.sim.h2-1sc",
        "honeywell.openqasm.v1",
        b'OPENQASM 2.0;include "qelib1.inc";qreg q[2];creg c[2];h q[0];cx q[0],q[1];measure q -> c;',
    ),
)  # fmt: skip


def escaped(text: str, safe: str = "/") -> str:
    """Escape text for a URL, lone surrogates included."""
    return quote(text, safe, errors="surrogatepass")


@dataclass(frozen=True, slots=True)
class FuzzRequest:
    """One HTTP request."""

    method: str
    path: str
    body: bytes | None
    headers: dict[str, str]


@dataclass
class Fuzzer:
    """Random requests; it remembers what earlier ones created, so that most requests name existing items."""

    emulator: Emulator
    chance: random.Random
    visitor: Visitor
    sessions: list[str] = field(default_factory=lambda: ["none"])
    jobs: list[str] = field(default_factory=lambda: ["none"])
    urls: list[str] = field(default_factory=list)  # signed, of containers

    def request(self) -> FuzzRequest:
        """Draw the next request."""
        kinds: list[tuple[int, Callable[[], FuzzRequest]]] = [
            (25, self._list),
            (12, self._open),
            (15, self._submit),
            (15, self._item),
            (5, self._change),
            (8, self._sas),
            (18 if self.urls else 0, self._blob),
            (8, self._admin),
            (8 if self.visitor.cookie else 0, self._page),
        ]
        draw = self.chance.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])[0]
        sent = draw()
        headers = {"Content-Type": "application/json", **self._keys(), **sent.headers}
        if self._one_in(15):
            headers[self._one("x-ms-range", "range", "if-none-match", "accept", "x-ms-blob-type", "prefer")] = escaped(
                self._text(), safe=" ',;=*-"
            )[:2000]
        method = self._one(*METHODS) if self._one_in(12) else sent.method
        path = self._corrupt_path(sent.path) if self._one_in(10) else sent.path
        return FuzzRequest(method, path, sent.body, headers)

    def raw(self) -> bytes:
        """Draw a request that is not valid HTTP."""
        sent = self.request()
        body = sent.body or b""
        lines = [f"{sent.method} {sent.path} HTTP/1.1", f"Host: {urlsplit(self.emulator.endpoint).netloc}"]
        lines += [f"{name}: {value}" for name, value in sent.headers.items()]
        lines.append(
            self._one(f"Content-Length: {len(body)}", "Content-Length: 7", "Transfer-Encoding: chunked", "X: y")
        )
        return self._corrupt_bytes("\r\n".join([*lines, "", ""]).encode("utf-8", "replace") + body)

    def some_input(self) -> bytes:
        """Draw a program, half of them corrupted."""
        data: bytes = self._any(*INPUTS)[2]
        return self._corrupt_bytes(data) if self._one_in(2) else data

    def _keys(self) -> dict[str, str]:
        if self._one_in(30):
            return {
                self._one("x-ms-quantum-api-key", "authorization", "x-admin-key"): self._one("", "Bearer ", "wrong")
            }
        return {"x-ms-quantum-api-key": self.emulator.api_key, "x-admin-key": self.emulator.admin_key}

    def _list(self) -> FuzzRequest:
        path = self._one(*LISTS, f"/sessions/{self._one(*self.sessions)}/jobs")
        return FuzzRequest("GET", f"{BASE}{path}?{self._query()}", None, {})

    def _query(self) -> str:
        parts = {
            "filter": self._filter(),
            "orderby": f"{self._one(*NAMES)} {self._one('asc', 'desc', 'ASC', '', 'up')}",
            "skip": self._one("0", "1", "100", "-1", "1e3", "2147483648"),
            "top": self._one("1", "2", "100", "0", "", "101"),
            "api-version": "2026-01-15-preview",
        }
        kept = [(key, value) for key, value in parts.items() if self._one_in(2)]
        kept = [(key, self._text() if self._one_in(8) else value) for key, value in kept]
        return "&".join(f"{self._one('', '', '$')}{key}={escaped(value)}" for key, value in kept)

    def _filter(self) -> str:
        terms = [
            f"startswith(Name, '{self._one('a', 'vqe', self._text())}')",
            f"({self._one(*NAMES)} eq '{self._one('Waiting', 'job', self._text())}' or State eq 'Failed')",
            f"CreationTime {self._one('ge', 'le', 'eq')} {self._one('2026-03-09', '2026-13-09', '9999-12-31')}",
            f"{self._one(*NAMES)} {self._one('eq', 'ne', 'lt')} {self._one('1', self._text())}",
        ]
        return self._one(" and ", " or ", " ", " and and ").join(self.chance.sample(terms, self.chance.randint(1, 3)))

    def _open(self) -> FuzzRequest:
        session = self._id(self.sessions)
        target = self._one("ionq.simulator", "rigetti.sim.qvm")
        document = {
            "itemType": "Session", "name": "vqe", "providerId": target.partition(".")[0], "target": target,
            "jobFailurePolicy": self._one("Abort", "Continue"), "priority": "Standard", "tags": ["a"],
        }  # fmt: skip
        return FuzzRequest("PUT", f"{BASE}/sessions/{session}", self._json(document), {})

    def _submit(self) -> FuzzRequest:
        job = self._id(self.jobs)
        target, form, _ = self._any(*INPUTS)
        url = self._one(*self.urls) if self.urls else ""
        document = {
            "itemType": "Job", "name": self._one("vqe 1", self._text()), "providerId": target.partition(".")[0],
            "target": target, "inputDataFormat": form,
            "outputDataFormat": self._one("microsoft.quantum-results.v2", "x"),
            "containerUri": url, "inputDataUri": f"{url.partition('?')[0]}/{self._one('inputData', 'i0', 'i1', 'i2')}",
            "inputParams": {"shots": self._any(1, 10, 100), "count": 5, "items": [{"entryPoint": "ENTRYPOINT__main"}]},
            "metadata": {"place": "run/0/1", "attempt": "0", "sampling_value": "ab"},
            "sessionId": self._any(None, *self.sessions), "tags": ["a"],
        }  # fmt: skip
        if not url:
            del document["containerUri"], document["inputDataUri"]
        return FuzzRequest("PUT", f"{BASE}/jobs/{job}", self._json(document), {})

    def _item(self) -> FuzzRequest:
        method, path = self._any(
            ("GET", f"/sessions/{self._one(*self.sessions)}"),
            ("POST", f"/sessions/{self._one(*self.sessions)}:close"),
            ("GET", f"/jobs/{self._one(*self.jobs)}"),
            ("POST", f"/jobs/{self._one(*self.jobs)}:cancel"),
            ("DELETE", f"/jobs/{self._one(*self.jobs)}"),
        )
        return FuzzRequest(method, f"{BASE}{path}", None, {})

    def _change(self) -> FuzzRequest:
        body = self._json({"name": self._text(), "priority": "High", "tags": ["b", self._text()]})
        return FuzzRequest("PATCH", f"{BASE}/jobs/{self._one(*self.jobs)}", body, {})

    def _sas(self) -> FuzzRequest:
        document = {"containerName": f"job-{uuid.UUID(int=self.chance.getrandbits(128))}"}
        return FuzzRequest("POST", f"{BASE}/storage/sasUri", self._json(document), {})

    def _blob(self) -> FuzzRequest:
        url = urlsplit(self._one(*self.urls))
        blob = self._one("/inputData", "/i0", "/i1", "/i2", "/outputData", "", f"/{escaped(self._text())}"[:200])
        more = self._one("", "", "", "&comp=block&blockid=YQ==", "&comp=blocklist", "&comp=list&restype=container",
                         "&restype=container", f"&comp={escaped(self._text())[:100]}",
                         f"&prefix={escaped(self._text())[:100]}")  # fmt: skip
        data = self.some_input()
        if "blocklist" in more:
            data = b"<?xml version='1.0'?><BlockList><Latest>YQ==</Latest></BlockList>"
        span = self._one(
            "bytes=0-33554431", "bytes=5-2", "bytes=99999999999999999999-", "bytes=-5", "bytes=0-0,2-3", "x"
        )
        headers = {"x-ms-blob-type": "BlockBlob", self._one("x-ms-range", "range", "x-none"): span}
        headers["Content-Type"] = self._one("application/octet-stream", "text/html", "", "x" * 300)
        method = self._one("GET", "PUT", "PUT", "HEAD")
        return FuzzRequest(method, f"{url.path}{blob}?{url.query}{more}", data if method == "PUT" else None, headers)

    def _admin(self) -> FuzzRequest:
        method, path, document = self._any(
            ("GET", "/_admin/clock", None),
            ("POST", "/_admin/clock", {"advance": 0.5}),
            ("POST", "/_admin/clock", {"to": "2026-03-09T12:00:00Z"}),
            ("POST", "/_admin/clock/participants", {"name": "x"}),
            ("POST", "/_admin/clock/wait", {"participant": "x", "until": 5}),
            ("POST", "/_admin/clock/wake", {"participant": "x"}),
            ("GET", "/_admin/targets", None),
            ("GET", self._one("/_admin/faults", "/_admin/faults/log"), None),
            ("DELETE", "/_admin/faults", None),
            ("POST", "/_admin/faults", {"seed": 3, "rules": [self._rule()]}),
            ("POST", "/_admin/faults", self._rule()),
            ("POST", "/_admin/targets", {"ionq.simulator": {"availability": "Degraded", "queue_s": 1}}),
            ("GET", f"/_admin/ledger?run={escaped(self._text())}&top={self._one('1', '0', 'x')}&after=0", None),
            ("GET", f"/_admin/ledger?session={self._one(*self.sessions)}", None),
        )
        return FuzzRequest(method, path, None if document is None else self._json(document), {})

    def _page(self) -> FuzzRequest:
        kind, item = self._any(("sessions", self._one(*self.sessions)), ("jobs", self._one(*self.jobs)))
        path = f"/_portal/{kind}/{SUBSCRIPTION}/tests/fuzz/{item}"
        method, path = self._any(
            ("GET", f"/?{self._one('sessions_before', 'jobs_before')}={self._one('', '1', escaped(self._text()))}"),
            ("GET", f"{path}?skip={self._one('0', '25', escaped(self._text()))}"),
            ("POST", f"{path}/{'close' if kind == 'sessions' else 'cancel'}"),
            ("GET", f"/_portal/{escaped(self._text())}"),
        )
        form = f"x={escaped(self._text())}"
        headers = {"Cookie": self.visitor.cookie, "Origin": self.emulator.endpoint.rstrip("/")}
        headers["Content-Type"] = self._one("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "")
        body = self._corrupt_bytes(form.encode()) if self._one_in(4) else form.encode()
        return FuzzRequest(method, path, body if method == "POST" else None, headers)

    def _rule(self) -> dict[str, Any]:
        """Draw a fault that can't be mistaken for a defect of the service."""
        rules: tuple[dict[str, Any], ...] = (
            {"fault": "error", "status": 404, "code": "x", "operation": "quotas", "nth": [1, 3], "target": "x"},
            {"fault": "page-repeats-item", "operation": ["list"], "every": 7, "after_s": 1, "before_s": 1e6},
            {"fault": "job-fails", "code": "ProviderTimeout", "probability": 0.5, "job": "vqe", "times": 2},
        )
        rule = self._any(*rules)
        if self._one_in(2):
            self._corrupt(rule)
        return rule

    def _id(self, ids: list[str]) -> str:
        """Draw an id, mostly a new one, which is remembered."""
        if self._one_in(5):
            return self._one(*ids)
        if self._one_in(10):
            return escaped(self._text(), safe="")[:400] or "x"
        ids.append(str(uuid.UUID(int=self.chance.getrandbits(128))))
        return ids[-1]

    def _json(self, document: dict[str, Any]) -> bytes:
        for _ in range(self.chance.choice((0, 0, 0, 1, 1, 2))):
            self._corrupt(document)
        body = json.dumps(document).encode()
        return self._corrupt_bytes(body) if self._one_in(12) else body

    def _corrupt(self, document: dict[str, Any]) -> None:
        key = self.chance.choice(list(document) or ["x"])
        value = document.get(key)
        if isinstance(value, dict) and self._one_in(2):
            self._corrupt(value)
        elif self._one_in(6):
            document.pop(key, None)
        elif self._one_in(6):
            document[self._text()] = value
        else:
            document[key] = self._text() if self._one_in(2) else copy.deepcopy(self.chance.choice(NASTY_VALUES))

    def _corrupt_bytes(self, data: bytes) -> bytes:
        for _ in range(self.chance.randint(1, 3)):
            position = self.chance.randint(0, len(data))
            piece, removed = self.chance.choice(NASTY_BYTES), self.chance.choice((0, 0, 1, 3, 30, 10**6))
            data = data[:position] + piece + data[position + removed :]
        return data

    def _corrupt_path(self, path: str) -> str:
        position = self.chance.randint(1, len(path))
        piece = self._one(
            "/", "//", "%2f", "%00", "%ff", "%", ":", ":close", "/../", "?", ";", "#", "%c3%a9", escaped(self._text())
        )
        return path[:position] + piece + path[position + self.chance.choice((0, 0, 1, 10)) :]

    def _text(self) -> str:
        return self.chance.choice(NASTY_TEXT)

    def _one(self, *choices: str) -> str:
        return self.chance.choice(choices)

    def _any(self, *choices: T) -> T:
        return self.chance.choice(choices)

    def _one_in(self, number: int) -> bool:
        """Return True with probability 1/number."""
        return self.chance.randrange(number) == 0
