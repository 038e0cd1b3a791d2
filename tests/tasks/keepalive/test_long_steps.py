"""Keep-alive during long classical steps, also those in which no thread of the process can run."""

from __future__ import annotations

import ctypes
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit_aer import AerSimulator

from hybridloop.tasks.keepalive.pings import PREPARED
from hybridloop.tasks.keepalive.rules import IdleRule
from hybridloop.tasks.keepalive.thread import KeepAliveThread, KeepAliveTiming
from tests.conftest import Emulator
from tests.long_form import long_form, short_or_long
from tests.tasks.keepalive.ping_helpers import PingedSession, pinged_session
from tests.waiting import eventually

# the shortened equivalents of a run's 525, 20 and 15 s
TIMING = short_or_long(KeepAliveTiming(2.0, 0.0, 1.0), KeepAliveTiming(20.0, 1.0, 5.0))
STEP_S = short_or_long(6.0, 120.0)
SHARED_STEP_S = short_or_long(3.0, 120.0)  # of steps during which threads can run
LATE_S = 2.0  # allowed delay of a ping on a loaded machine: the margin of a run is 60 s


@dataclass(frozen=True, slots=True)
class Step:
    """Measurements of a step in s: its duration, the longest pause of threads, the times of pings from its start."""

    took_s: float
    longest_gap_s: float
    pings: tuple[float, ...]


@contextmanager
def watched_threads() -> Iterator[list[float]]:
    """Hold a thread that measures its longest pause; yield a list with that pause as its only item."""
    longest, stop = [0.0], threading.Event()

    def watch() -> None:
        last = time.monotonic()
        while not stop.wait(0.01):
            now = time.monotonic()
            longest[0] = max(longest[0], now - last)
            last = now
        longest[0] = max(longest[0], time.monotonic() - last)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield longest
    finally:
        stop.set()
        thread.join()


def do_step_with_keep_alive(session: PingedSession, step: Callable[[], object]) -> Step:
    """Do the step in a session with keep-alive, shortly after it was opened."""
    pings = session.pings(sign=session.sign, timing=TIMING)
    keeper = KeepAliveThread(session.clock, IdleRule.RECORDED, session.activity(), pings, standby=pings, timing=TIMING)
    try:
        eventually(lambda: len(session.written.intended) >= PREPARED)
        with watched_threads() as longest:
            start = time.time()
            step()
            end = time.time()
        written = session.written
        eventually(lambda: written.accepted and set(written.accepted) <= set(written.ends), lambda: written)
    finally:
        keeper.stop()
        pings.close()
    made = sorted(datetime.fromisoformat(job["creationTime"]).timestamp() for job in session.jobs())
    assert len(made) == len(written.accepted)  # each ping is recorded, from either sender, and none arrived twice
    # one may be prepared or sent as the session closes
    eventually(lambda: {*written.ends, *written.accepted} == set(written.intended), lambda: written)
    during = tuple(moment - start for moment in made if moment <= end)
    return Step(end - start, longest[0], during)


def check(step: Step) -> None:
    """Assert that no pause between two pings is too long, up to the step's end."""
    moments = [0.0, *(moment for moment in step.pings if moment > 0.0)]
    if len(step.pings) < PREPARED:  # on a slow machine a step may last longer than the prepared pings
        moments.append(step.took_s)
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert max(pauses) <= TIMING.ping_after_s + TIMING.standby_margin_s + LATE_S, step
    assert len(step.pings) <= step.took_s / TIMING.ping_after_s + 1, step


@pytest.fixture
def session(emulator: Emulator) -> Iterator[PingedSession]:
    with pinged_session(emulator.workspace()) as opened:
        yield opened


def python() -> None:
    end, x = time.monotonic() + SHARED_STEP_S, 0
    while time.monotonic() < end:
        x += 1


def blas() -> None:
    matrix = np.random.default_rng(1).random((1500, 1500))
    end = time.monotonic() + SHARED_STEP_S
    while time.monotonic() < end:
        matrix = matrix @ matrix
        matrix /= np.abs(matrix).max()


def layers(number: int, qubits: int = 18) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    for layer in range(number):
        for qubit in range(qubits):
            circuit.rx(0.1 * qubit + layer, qubit)
        for qubit in range(qubits - 1):
            circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return circuit


@pytest.fixture
def simulation() -> Callable[[], object]:
    """Return a simulation of about the requested duration, scaled from a short one."""
    simulator = AerSimulator(method="statevector", fusion_enable=False, max_parallel_threads=1)

    def run(number: int) -> float:
        circuit = transpile(layers(number), simulator, optimization_level=0)
        start = time.monotonic()
        simulator.run(circuit, shots=10, seed_simulator=1).result()
        return time.monotonic() - start

    run(1)
    few, more = 10, 40
    number = int((more - few) * STEP_S / (run(more) - run(few)))
    circuit = transpile(layers(number), simulator, optimization_level=0)
    return lambda: simulator.run(circuit, shots=10, seed_simulator=1).result()


def test_pings_are_sent_in_time_while_a_call_holds_the_gil(session: PingedSession) -> None:
    step = do_step_with_keep_alive(
        session, lambda: ctypes.PyDLL(None).sleep(4)
    )  # a library call that does not release the GIL
    assert step.longest_gap_s > 3.5
    check(step)


@pytest.mark.slow
@long_form
def test_pings_are_sent_in_time_during_a_long_simulation(
    simulation: Callable[[], object], session: PingedSession
) -> None:
    step = do_step_with_keep_alive(session, simulation)
    print(step)
    check(step)


@pytest.mark.slow
@long_form
@pytest.mark.parametrize("compute", [python, blas])
def test_pings_are_sent_in_time_while_python_or_blas_computes(
    session: PingedSession, compute: Callable[[], None]
) -> None:
    step = do_step_with_keep_alive(session, compute)
    print(step)
    check(step)
