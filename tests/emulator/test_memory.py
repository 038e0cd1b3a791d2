"""The bound on the memory of all simulations together."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.memory import Memory
from hybridloop.emulator.settings import Settings, bytes_of
from hybridloop.emulator.worker_process import WorkerDied, taken_for
from tests.conftest import Emulator
from tests.emulator.calls import ASYMMETRIC_QIR, Caller

_T = "  call void @__quantum__qis__t__body(%Qubit* inttoptr (i64 {0} to %Qubit*))\n"


def wide(qubits: int, deep: int = 1) -> bytes:
    """A program on that many qubits that is no Clifford circuit."""
    gates = "".join(_T.format(qubit) for qubit in range(qubits)) * deep
    return ASYMMETRIC_QIR.replace(b"block_0:\n", f"block_0:\n{gates}".encode())


@given(st.lists(st.integers(1, 12), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_what_is_out_never_exceeds_the_limit_and_everyone_has_their_turn(needs: list[int], random: Any) -> None:
    async def play() -> None:
        memory = Memory(10)
        out, most = 0, 0
        order: list[int] = []

        async def simulate(number: int, needed: int) -> None:
            nonlocal out, most
            if not await memory.take(needed):
                assert needed > 10
                return
            order.append(number)
            out += needed
            most = max(most, out)
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            out -= needed
            memory.give_back(needed)

        await asyncio.wait_for(asyncio.gather(*(simulate(n, needed) for n, needed in enumerate(needs))), 10)
        assert most <= 10
        assert order == sorted(order)  # first come, first served
        assert await memory.take(10)  # all of it came back

    asyncio.run(play())


def test_who_stops_waiting_holds_up_nobody() -> None:
    async def play() -> None:
        memory = Memory(10)
        assert await memory.take(6)
        large, small = asyncio.create_task(memory.take(9)), asyncio.create_task(memory.take(4))
        await asyncio.sleep(0)
        assert not small.done()  # the large one is before it
        large.cancel()
        assert await asyncio.wait_for(small, 10)
        memory.give_back(6)
        memory.give_back(4)
        assert await memory.take(10)

    asyncio.run(play())


def test_a_worker_that_dies_in_the_queue_for_memory_holds_up_nobody() -> None:
    async def play() -> None:
        memory, process = Memory(10), await idle_process()
        assert await memory.take(10)
        dying = asyncio.create_task(taken_for(process, memory, 8))
        await until_it_waits()
        behind = asyncio.create_task(memory.take(9))
        process.kill()
        with pytest.raises(WorkerDied):
            await dying
        assert not behind.done()
        memory.give_back(10)
        assert await behind
        memory.give_back(9)
        assert await memory.take(10)

    asyncio.run(asyncio.wait_for(play(), 10))


@pytest.mark.parametrize("later", range(4))
def test_memory_that_is_given_to_a_task_that_is_ended_meanwhile_comes_back(later: int) -> None:
    async def play() -> None:
        memory, process = Memory(10), await idle_process()
        assert await memory.take(10)
        ended = asyncio.create_task(taken_for(process, memory, 8))
        await until_it_waits()
        memory.give_back(10)
        for _ in range(later):
            await asyncio.sleep(0)
        ended.cancel()
        (outcome,) = await asyncio.gather(ended, return_exceptions=True)
        if outcome is True:  # it was faster
            memory.give_back(8)
        assert await memory.take(10)
        process.kill()
        await process.wait()

    asyncio.run(asyncio.wait_for(play(), 10))


async def idle_process() -> Process:
    return await asyncio.create_subprocess_exec("cat", stdin=PIPE)


async def until_it_waits() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_job_that_can_never_fit_fails_and_those_that_fit_one_by_one_succeed(
    start_emulator: Callable[..., Emulator],
) -> None:
    # 21 qubits with 3 written bits take 32 MiB, two of them do not fit together, 22 never do
    caller = Caller(start_emulator("--max-memory", "40MiB"))
    jobs = [caller.submit(wide(21)) for _ in range(4)]
    never = caller.ended(caller.submit(wide(22)))
    assert (never["status"], never["errorData"]["code"]) == ("Failed", "InvalidInputData")
    assert "0.0391 GiB" in never["errorData"]["message"]
    assert [caller.ended(job)["status"] for job in jobs] == ["Succeeded"] * 4


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5.2GiB", "8XiB", "GiB"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="like 8GiB"):
        bytes_of(text)


def test_less_than_a_mebibyte_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 MiB"):
        Settings(max_memory=1000)
