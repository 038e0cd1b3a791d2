"""Memory limit of all simulations together."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.model.program import JobInputError
from hybridloop.emulator.model.targets import load_catalogue
from hybridloop.emulator.settings import Settings, parse_memory_size
from hybridloop.emulator.simulation.execute import FORMATS, JobRunner
from hybridloop.emulator.simulation.protocol import SimulationTask
from hybridloop.emulator.simulation.simulator import Simulator
from hybridloop.emulator.simulation.worker_process import MemoryPool, WorkerDied, acquire_memory
from tests.conftest import Emulator
from tests.emulator.http_helpers import ASYMMETRIC_QIR, Caller
from tests.emulator.simulation.reservations import Reservations

_T = "  call void @__quantum__qis__t__body(%Qubit* inttoptr (i64 {0} to %Qubit*))\n"


def wide(qubits: int) -> bytes:
    """A program on that many qubits that is not a Clifford circuit."""
    gates = "".join(_T.format(qubit) for qubit in range(qubits))
    return ASYMMETRIC_QIR.replace(b"block_0:\n", f"block_0:\n{gates}".encode())


@given(st.lists(st.integers(1, 12), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_acquired_memory_stays_within_the_limit_in_the_order_of_requests(sizes: list[int], random: Any) -> None:
    async def scenario() -> None:
        memory = MemoryPool(10)
        acquired, peak = 0, 0
        order: list[int] = []

        async def simulate(number: int, size: int) -> None:
            nonlocal acquired, peak
            if not await memory.acquire(size):
                assert size > 10
                return
            order.append(number)
            acquired += size
            peak = max(peak, acquired)
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            acquired -= size
            memory.release(size)

        await asyncio.wait_for(asyncio.gather(*(simulate(n, size) for n, size in enumerate(sizes))), 10)
        assert peak <= 10
        assert order == sorted(order)  # first come, first served
        assert await memory.acquire(10)  # all of it came back

    asyncio.run(scenario())


def test_a_cancelled_request_does_not_block_later_ones() -> None:
    async def scenario() -> None:
        memory = MemoryPool(10)
        assert await memory.acquire(6)
        large, small = asyncio.create_task(memory.acquire(9)), asyncio.create_task(memory.acquire(4))
        await asyncio.sleep(0)
        assert not small.done()  # the large request is before it
        large.cancel()
        assert await asyncio.wait_for(small, 10)
        memory.release(6)
        memory.release(4)
        assert await memory.acquire(10)

    asyncio.run(scenario())


def test_a_worker_that_dies_while_it_waits_for_memory_does_not_block_others() -> None:
    async def scenario() -> None:
        memory, process = MemoryPool(10), await idle_process()
        assert await memory.acquire(10)
        dying = asyncio.create_task(acquire_memory(process, memory, 8))
        await wait_for_other_tasks()
        behind = asyncio.create_task(memory.acquire(9))
        process.kill()
        with pytest.raises(WorkerDied):
            await dying
        assert not behind.done()
        memory.release(10)
        assert await behind
        memory.release(9)
        assert await memory.acquire(10)

    asyncio.run(asyncio.wait_for(scenario(), 10))


@pytest.mark.parametrize("later", range(4))
def test_memory_granted_to_a_task_that_is_cancelled_at_that_moment_is_released(later: int) -> None:
    async def scenario() -> None:
        memory, process = MemoryPool(10), await idle_process()
        assert await memory.acquire(10)
        ended = asyncio.create_task(acquire_memory(process, memory, 8))
        await wait_for_other_tasks()
        memory.release(10)
        for _ in range(later):
            await asyncio.sleep(0)
        ended.cancel()
        (outcome,) = await asyncio.gather(ended, return_exceptions=True)
        if outcome is True:  # it was faster
            memory.release(8)
        assert await memory.acquire(10)
        process.kill()
        await process.wait()

    asyncio.run(asyncio.wait_for(scenario(), 10))


async def idle_process() -> Process:
    return await asyncio.create_subprocess_exec("cat", stdin=PIPE)


async def wait_for_other_tasks() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_job_above_the_memory_limit_fails_and_jobs_that_fit_one_at_a_time_succeed(
    start_emulator: Callable[..., Emulator],
) -> None:
    # 22 qubits with 3 measured bits take 32 MiB: two of them do not fit together, and 23 qubits never do
    caller = Caller(start_emulator("--max-memory", "40MiB"))
    jobs = [caller.submit(wide(22)) for _ in range(4)]
    never = caller.ended(caller.submit(wide(23)))
    assert (never["status"], never["errorData"]["code"]) == ("Failed", "InvalidInputData")
    assert "0.0391 GiB" in never["errorData"]["message"]
    assert [caller.ended(job)["status"] for job in jobs] == ["Succeeded"] * 4


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5.2GiB", "8XiB", "GiB"])
def test_an_invalid_memory_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="like 8GiB"):
        parse_memory_size(text)


def test_a_memory_limit_below_one_mebibyte_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 MiB"):
        Settings(max_memory=1000)


LARGE = {
    "qir.v1": (b"  call void @__quantum__qis__h__body(%Qubit* null)\n", "ionq.simulator"),
    "ionq.circuit.v1": (b'{"gate":"h","target":0},', "ionq.simulator"),
    "honeywell.openqasm.v1": (b"h q;\n", "quantinuum.sim.h2-1e"),
    "rigetti.quil.v1": (b"H 0\n", "rigetti.sim.qvm"),
}


@pytest.mark.parametrize("input_format", LARGE)
def test_the_memory_of_a_large_program_is_reserved_before_it_is_parsed(input_format: str) -> None:
    reserved: list[int] = []

    def refuse(size: int, seconds: float) -> int:
        reserved.append(size)
        raise JobInputError("InvalidInputData", "too large")

    gate, name = LARGE[input_format]
    target = load_catalogue().find(name)
    assert target is not None
    task = SimulationTask(target, input_format, next(iter(FORMATS[input_format].writers)), {"shots": 1}, 0, "a")
    with pytest.raises(JobInputError, match="too large"):
        JobRunner(Simulator(refuse)).run(task, gate * 50_000)
    assert reserved[0] >= 50_000 * 2000


def test_the_memory_of_rows_and_shots_is_reserved() -> None:
    reserved = Reservations()
    target = load_catalogue().find("rigetti.sim.qvm")
    assert target is not None
    params = {"shots": 4000, "substitutions": {"theta": [[0.1 * row] for row in range(50)]}}
    task = SimulationTask(target, "rigetti.quil.v1", "rigetti.quil-results.v1", params, 0, "a")
    quil = b"DECLARE ro BIT[4]\nDECLARE theta REAL\nRX(theta) 0\nMEASURE 0 ro[0]\n"
    result, _ = JobRunner(Simulator(reserved)).run(task, quil)
    assert len(result) < reserved[0] < 20 * len(result)
    assert reserved[1:] == [reserved[0] + (16 + 40) * 2] * 50


def repeated_outputs(count: int) -> bytes:
    """Return QIR that records one result many times."""
    record = b"  call void @__quantum__rt__result_record_output(%Result* null, i8* null)\n"
    return ASYMMETRIC_QIR.replace(record, record * (count - 2)).replace(b"(i64 3, i8", b"(i64 %d, i8" % count)


def controlled_swaps(count: int) -> bytes:
    """Return an IonQ circuit of gates that become matrices of 4 MiB."""
    gate = {"gate": "swap", "controls": list(range(7)), "targets": [7, 8]}
    return json.dumps({"qubits": 9, "circuit": [gate] * count}).encode()


def branches(bits: int, count: int) -> bytes:
    """Return OpenQASM with branches on a register."""
    gates = "measure q[0] -> c[0];" + "if (c == 1) x q[1];" * count
    return f'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[{bits}]; {gates}'.encode()


@pytest.mark.parametrize(
    ("input_format", "data", "shots", "at_least"),
    [
        pytest.param("qir.v1", repeated_outputs(1000), 10_000, 10_000 * 1000 * 3 * 8, id="outputs"),
        pytest.param("ionq.circuit.v1", controlled_swaps(50), 1, 50 << 22, id="matrices"),
        pytest.param("honeywell.openqasm.v1", branches(500, 30), 1, 30 * 500 * 500 * 300, id="branches"),
    ],
)
def test_what_a_short_program_stands_for_is_reserved(input_format: str, data: bytes, shots: int, at_least: int) -> None:
    reserved: list[int] = []

    def refuse(size: int, seconds: float) -> int:
        reserved.append(size)
        if size > 30 << 20:
            raise JobInputError("InvalidInputData", "too large")
        return 1

    target = load_catalogue().find(LARGE[input_format][1])
    assert target is not None
    task = SimulationTask(target, input_format, next(iter(FORMATS[input_format].writers)), {"shots": shots}, 0, "a")
    with pytest.raises(JobInputError, match="too large"):
        JobRunner(Simulator(refuse)).run(task, data)
    assert reserved[-1] >= at_least


def test_a_result_larger_than_clients_read_fails_the_job(emulator: Emulator) -> None:
    caller = Caller(emulator)
    ended = caller.ended(caller.submit(repeated_outputs(2500), inputParams={"shots": 10_000}))
    assert (ended["status"], ended["errorData"]["code"]) == ("Failed", "InvalidInputData")
    assert "the result has 72 MiB, above 64 MiB" in ended["errorData"]["message"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to its address space")
def test_a_worker_reserves_little_address_space_that_its_limit_would_not_count(emulator: Emulator) -> None:
    caller = Caller(emulator)
    assert caller.result(caller.submit())
    service = emulator.process.pid
    workers = Path(f"/proc/{service}/task/{service}/children").read_text().split()
    pages = [int(Path(f"/proc/{worker}/statm").read_text().split()[0]) for worker in workers]
    assert max(pages) * resource.getpagesize() < 1 << 30


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to its address space")
def test_a_worker_can_not_allocate_more_than_the_limit() -> None:
    code = (
        "from hybridloop.emulator.simulation import worker\n"
        "worker.limit_address_space(1 << 20)\n"
        "bytearray(worker.SPARE_BYTES // 2)\n"
        "try:\n    bytearray(worker.SPARE_BYTES * 2)\nexcept MemoryError:\n    print('held')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "held\n"
