"""Metrics of a journal in Prometheus' text format: its runs, what they cost, their limits, and what waits.

Names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming). All are gauges: runs can be deleted.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from hybridloop.data.states import State
from hybridloop.data.statuses import STATUSES
from hybridloop.errors import HybridloopError, InputError
from hybridloop.journal import Journal, open_journal
from hybridloop.journal.held_run import HOUSEKEEPING
from hybridloop.reports.costs import total_cost

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_SHOWN = (*STATUSES, State.NEW.value, State.PREPARING.value, State.RUNNING.value)
_COSTS = {
    "billed": "Cost of ended jobs, as billed",
    "unbilled": "Cost of ended jobs without a bill, at their maximum price",
    "reserved": "Amount reserved for jobs in flight",
    "local": "What the jobs on the local service would have cost",
}


def metrics_text(journal: Journal, now: float) -> bytes:
    """Return all metrics of a journal in the text format, in UTF-8."""
    registry = CollectorRegistry()
    registry.register(_Metrics(journal, now))
    return generate_latest(registry)


class _Metrics(Collector):
    """Collector of a journal's metrics at one time, for `prometheus_client`."""

    def __init__(self, journal: Journal, now: float) -> None:
        self._journal, self._now = journal, now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        journal, now = self._journal, self._now
        runs = GaugeMetricFamily("hybridloop_runs", "Runs of the journal by status", labels=["status"])
        counts = _counts(journal, now)
        for status in _SHOWN:
            runs.add_metric([status], counts[status])
        yield runs
        yield _one(
            "hybridloop_sessions_open", "Sessions that are not known to have ended", len(journal.open_sessions())
        )
        yield _one("hybridloop_jobs_in_flight", "Jobs whose end is not recorded", journal.num_unsettled)
        total = total_cost(journal)
        for name, text in _COSTS.items():
            cost = GaugeMetricFamily(f"hybridloop_cost_{name}", f"{text}, by unit", labels=["unit"])
            for unit, amount in sorted(getattr(total, name).items()):
                cost.add_metric([unit], amount)
            yield cost
        limits = journal.limits()
        for name in ("amount", "spent", "reserved"):
            family = GaugeMetricFamily(
                f"hybridloop_limit_{name}",
                f"Limits over runs: {name} in this period",
                labels=["limit", "unit", "period"],
            )
            for state in limits:
                values = state.as_dict()
                family.add_metric([values["name"], values["unit"], values["period"]], values[name])
            yield family
        parked = journal.oldest(State.PARKED.value)
        age = 0.0 if parked is None else max(0.0, now - parked)
        yield _one("hybridloop_oldest_parked_run_age_seconds", "Time since the first of the parked runs parked", age)
        if (kept := journal.last_held(HOUSEKEEPING)) is not None:
            text = "End of the last housekeeping, since the epoch"
            yield _one("hybridloop_last_housekeeping_timestamp_seconds", text, min(kept, now))
        waiting = len(journal.untold_ends())
        yield _one("hybridloop_outbox_rows", "Ends of runs that Prefect's server is not known to have", waiting)
        yield _one("hybridloop_journal_size_bytes", "Size of the journal's database", journal.size_bytes)


def _one(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _counts(journal: Journal, now: float) -> Counter[str]:
    """Count the runs by status as a list of them shows it: that of a dead process is interrupted."""
    counts = Counter(journal.status_counts())
    for record in journal.runs_by_status([State.RUNNING.value]):
        if record.is_orphaned(now):
            counts[State.RUNNING.value] -= 1
            counts[State.INTERRUPTED.value] += 1
    return counts


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `PORT` or `HOST:PORT`; the host is this machine alone unless it is named."""
    host, _, port = text.strip().rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise InputError("--listen", f"{text!r} is no address", "Give a port, or HOST:PORT: 9464, or 0.0.0.0:9464.")
    return host, int(port)


@contextmanager
def serving_metrics(host: str, port: int, now: Callable[[], float] = time.time) -> Iterator[WSGIServer]:
    """Hold a server of /metrics that reads the journal for each request; call its `serve_forever`.

    On a loopback address it answers requests by that address alone, which a web page of another site can't send.
    Raises InputError where the address can't be had.
    """

    is_loopback = host in ("localhost", "::1") or host.startswith("127.")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        status, body, kind = "200 OK", b"", CONTENT_TYPE_LATEST
        if is_loopback and environ.get("HTTP_HOST", "").rpartition(":")[0] not in LOOPBACK:
            status, body, kind = "403 Forbidden", b"The Host header does not name this server.\n", "text/plain"
        elif environ["REQUEST_METHOD"] != "GET" or environ["PATH_INFO"] != "/metrics":
            status, body, kind = "404 Not Found", b"GET /metrics\n", "text/plain"
        else:
            try:
                with open_journal() as journal:
                    body = metrics_text(journal, now())
            except HybridloopError as error:
                status, body, kind = "503 Service Unavailable", f"{error}\n".encode(), "text/plain; charset=utf-8"
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    try:
        kind = _Server6 if ":" in host else _Server
        server = make_server(host, port, app, server_class=kind, handler_class=_Quiet)
    except OSError as error:
        raise InputError("--listen", f"{host}:{port} can't be had ({error.strerror})", "Give another one.") from error
    with server:
        yield server


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    timeout = 30.0  # of a client that sends nothing

    def log_message(self, format: str, *_: Any) -> None:
        """Log no request."""
