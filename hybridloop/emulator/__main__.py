"""`python -m hybridloop.emulator`: the service as a process of its own."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hybridloop.emulator.settings import DEFAULT_PORT, ClockKind, IdleRule, LatencyKind, Settings, bytes_of


def settings_of(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings that the arguments ask for; keys may come from the environment, out of sight of `ps`."""
    parser = argparse.ArgumentParser(prog="python -m hybridloop.emulator", description="A local Azure Quantum.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (default %(default)s)")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--state", type=Path, help="folder that keeps sessions, jobs and blobs")
    where.add_argument("--in-memory", action="store_true", help="forget everything at the end")
    parser.add_argument("--api-key", help="default: HYBRIDLOOP_EMULATOR_API_KEY, else one kept with the state")
    parser.add_argument("--admin-key", help="default: HYBRIDLOOP_EMULATOR_ADMIN_KEY, else one kept with the state")
    parser.add_argument("--clock", type=ClockKind, choices=list(ClockKind), default=ClockKind.REAL)
    parser.add_argument("--seed", type=int, help="of sampling (default: the one kept with the state, else 0)")
    parser.add_argument("--idle-rule", type=IdleRule, choices=list(IdleRule), default=IdleRule.RECORDED)
    parser.add_argument("--latency", type=LatencyKind, choices=list(LatencyKind), default=LatencyKind.NONE)
    parser.add_argument("--faults", type=Path, help="a YAML file of faults to make, for tests of clients")
    parser.add_argument(
        "--max-memory", help="of all simulations together, like 8GiB (default: a third of the machine's)"
    )
    given = parser.parse_args(arguments)
    try:
        return Settings(
            port=given.port,
            state=given.state,
            api_key=given.api_key or environment.get("HYBRIDLOOP_EMULATOR_API_KEY") or None,
            admin_key=given.admin_key or environment.get("HYBRIDLOOP_EMULATOR_ADMIN_KEY") or None,
            clock=given.clock,
            seed=given.seed,
            idle_rule=given.idle_rule,
            latency=given.latency,
            faults=given.faults,
            max_memory=None if given.max_memory is None else bytes_of(given.max_memory),
        )
    except ValueError as error:
        parser.error(str(error))


def main() -> int:
    """Serve as the command line says."""
    settings = settings_of(sys.argv[1:], os.environ)
    from hybridloop.emulator.server import serve

    return serve(settings)


if __name__ == "__main__":
    raise SystemExit(main())
