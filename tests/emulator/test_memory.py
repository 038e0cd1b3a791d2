"""The bound on the memory of all simulations together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.memory import Memory
from hybridloop.emulator.settings import Settings, bytes_of
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


def test_a_job_that_can_never_fit_fails_and_others_wait_for_their_turn(
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
