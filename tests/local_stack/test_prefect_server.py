"""The process of Prefect's server: garbage does not stop its event loop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Two connections as in Prefect's server: one has changed a row, the other waits for its commit. A cursor of the second
# one is garbage in a cycle, which a collection in the loop's thread would wait for, and the commit with it.
PROGRAM = """
import asyncio, gc, sys, weakref
import aiosqlite

async def main(path, in_a_thread):
    gc.disable()  # but for the collections below
    async with aiosqlite.connect(path, isolation_level=None) as first:
        await first.execute("CREATE TABLE rows (value)")
        async with aiosqlite.connect(path, isolation_level=None, timeout=3.0) as second:
            if in_a_thread:
                from hybridloop.local_stack import prefect_server
                prefect_server.COLLECT_EVERY_S = 0.1
                prefect_server.collect_garbage_in_a_thread()
            cycle = [await second.execute("SELECT 1 UNION SELECT 2")]
            cycle.append(cycle)
            cursor = weakref.ref(cycle[0])
            await second.execute("SELECT 3")  # the connection's thread refers to the last cursor
            await first.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(second.execute("INSERT INTO rows VALUES (1)"))
            await asyncio.sleep(0.5)
            del cycle
            if not in_a_thread:
                gc.collect()
            await asyncio.sleep(0.5)
            await first.execute("COMMIT")
            await waiting
            for _ in range(100):  # the thread collects it before long
                await asyncio.sleep(0.0 if cursor() is None else 0.1)
            assert cursor() is None

asyncio.run(main(sys.argv[1], sys.argv[2] == "thread"))
"""


@pytest.mark.parametrize("collector", [pytest.param("loop", marks=pytest.mark.slow), "thread"])
def test_garbage_does_not_make_a_connection_wait_for_its_own_commit(collector: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "rows.db"), collector]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if collector == "loop":  # as it is without a thread for it
        # "database is locked", or "not an error" where the end of the cursor has overwritten the connection's message
        assert "sqlite3.OperationalError: " in done.stderr
    else:
        assert done.returncode == 0, done.stderr
