"""`hybridloop metrics`: the journal in numbers, for Prometheus."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from hybridloop.cli.output import print_message, print_text


def metrics(
    *,
    listen: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Serve them at /metrics: a port of this machine, or HOST:PORT."),
    ] = None,
) -> None:
    """Print the journal's runs, costs, limits and waiting work in Prometheus' text format.

    Example: hybridloop metrics --listen 9464
    """
    from hybridloop.reports.metrics import metrics_text, parse_address, serving_metrics

    if listen is None:
        from hybridloop.journal import open_journal

        with open_journal() as journal:
            print_text(metrics_text(journal, time.time()).decode(), end="")
        return
    host, port = parse_address(listen)
    with serving_metrics(host, port) as server:
        print_message(f"metrics: http://{host}:{server.server_port}/metrics (Ctrl-C ends it)")
        server.serve_forever()
