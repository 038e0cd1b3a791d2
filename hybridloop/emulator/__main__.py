"""Command line of the service: `python -m hybridloop.emulator`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hybridloop.emulator.settings import (
    DEFAULT_PORT,
    DEFAULT_TIME_LIMIT_S,
    ClockKind,
    GateCompiler,
    IdleRule,
    LatencyKind,
    Settings,
    WorkspaceKind,
    parse_memory_size,
)


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Parse the command line; keys may come from the environment, where `ps` does not show them.

    Ends the process with exit code 2 for an invalid argument.
    """
    # the options
    parser = argparse.ArgumentParser(prog="python -m hybridloop.emulator", description="A local Azure Quantum service.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free port (default %(default)s)")
    storage = parser.add_mutually_exclusive_group(required=True)
    storage.add_argument("--state", type=Path, help="folder for sessions, jobs and blobs")
    storage.add_argument("--in-memory", action="store_true", help="store nothing on disk")
    for key in ("API_KEY", "ADMIN_KEY"):
        default = f"default: HYBRIDLOOP_EMULATOR_{key}, else the state folder's, else a random one"
        parser.add_argument(f"--{key.lower().replace('_', '-')}", help=default)
    parser.add_argument(
        "--clock", type=ClockKind, choices=list(ClockKind), default=ClockKind.REAL, help="default: %(default)s"
    )
    parser.add_argument("--seed", type=int, help="seed of all sampling (default: the state folder's, else 0)")
    parser.add_argument(
        "--idle-rule",
        type=IdleRule,
        choices=list(IdleRule),
        default=IdleRule.RECORDED,
        help="event that starts a session's ten idle minutes (default: %(default)s)",
    )
    parser.add_argument(
        "--workspace-kind",
        type=WorkspaceKind,
        choices=list(WorkspaceKind),
        default=WorkspaceKind.V1,
        help="words of the statuses of jobs (default: %(default)s)",
    )
    parser.add_argument(
        "--latency",
        type=LatencyKind,
        choices=list(LatencyKind),
        default=LatencyKind.NONE,
        help="simulated queue and run times of jobs (default: %(default)s)",
    )
    parser.add_argument("--faults", type=Path, help="YAML file of faults to inject")
    parser.add_argument(
        "--max-memory", help="bound for all simulations together, such as 8GiB (default: a third of the machine's)"
    )
    parser.add_argument(
        "--job-time-limit",
        type=float,
        default=DEFAULT_TIME_LIMIT_S,
        help="seconds for which a job may run until it fails (default: %(default)g)",
    )
    parser.add_argument(
        "--gate-compiler",
        type=GateCompiler,
        choices=list(GateCompiler),
        default=GateCompiler.NONE,
        help="optimization of programs before they run (default: %(default)s)",
    )
    parser.add_argument(
        "--extra-targets",
        type=Path,
        help="JSON file of further targets (default: HYBRIDLOOP_EMULATOR_EXTRA_TARGETS, else none)",
    )
    options = vars(parser.parse_args(arguments))
    del options["in_memory"]  # stands for no --state
    # the settings, whose constructor checks the values
    for name in ("api_key", "admin_key"):
        options[name] = options[name] or environment.get(f"HYBRIDLOOP_EMULATOR_{name.upper()}") or None
    if options["extra_targets"] is None and (path := environment.get("HYBRIDLOOP_EMULATOR_EXTRA_TARGETS")):
        options["extra_targets"] = Path(path)
    try:
        if options["max_memory"] is not None:
            options["max_memory"] = parse_memory_size(options["max_memory"])
        return Settings(**options)
    except ValueError as error:
        parser.error(str(error))


def main() -> int:
    settings = parse_settings(sys.argv[1:], os.environ)
    from hybridloop.emulator.server import serve

    return serve(settings)


if __name__ == "__main__":
    raise SystemExit(main())
