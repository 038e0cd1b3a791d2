"""Streams of a session: one thread at a time makes the rounds of a stream."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from hybridloop.errors import StreamBusy
from hybridloop.tasks.submission.streams import Streams


def test_another_thread_takes_a_stream_once_its_round_is_built_and_not_before() -> None:
    streams = Streams()

    def take(stream: str) -> int:
        with streams.turn(stream, None) as turn:
            return turn.number

    with ThreadPoolExecutor(1) as other:
        with streams.turn("main", None):
            with pytest.raises(StreamBusy):
                other.submit(take, "main").result()
            assert other.submit(take, "another").result() == 0
        assert other.submit(take, "main").result() == 0  # no round was built, so its number is free
