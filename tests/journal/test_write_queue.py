"""Queue of the processes that write to one journal: one at a time, no turn is lost, and none is kept by the dead."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hybridloop.errors import JournalError
from hybridloop.journal import Journal, journal_url
from hybridloop.journal.storage.write_queue import WriteQueue
from tests.journal.journal_helpers import new_run

HOLDER = """
import sys
from pathlib import Path
from hybridloop.journal.storage.write_queue import WriteQueue
with WriteQueue(Path(sys.argv[1])).turn(1.0) as is_next:
    print(is_next, flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """Start a process that has the turn until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def test_a_turn_comes_when_the_other_process_ends_or_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "queue"
    for end in (subprocess.Popen.communicate, subprocess.Popen.kill):
        with holder(path) as other:
            got = threading.Event()

            def wait(got: threading.Event = got) -> None:
                with WriteQueue(path).turn(60.0) as is_next:
                    assert is_next
                    got.set()

            waiter = threading.Thread(target=wait)
            waiter.start()
            assert not got.wait(0.1)
            end(other)
            waiter.join(60.0)
            assert got.is_set()


def test_a_waiter_that_has_left_gives_its_turn_back(tmp_path: Path) -> None:
    path = tmp_path / "queue"
    with holder(path) as other:
        for _ in range(3):
            with WriteQueue(path).turn(0.01) as is_next:
                assert not is_next
        other.communicate()
    with WriteQueue(path).turn(60.0) as is_next:
        assert is_next


def test_a_write_that_does_not_get_its_turn_says_that_nothing_is_harmed(tmp_path: Path) -> None:
    url = journal_url(tmp_path / "journal.db")
    with Journal(url, busy_s=0.1) as journal:
        with holder(tmp_path / "journal.db.queue") as other:
            with pytest.raises(JournalError, match=r"accepted no writes for 0\.1 s: another process has it locked"):
                journal.add_run(new_run())
            other.communicate()
        journal.add_run(new_run())


def test_a_queue_that_can_not_be_opened_keeps_no_write_back(tmp_path: Path) -> None:
    url = journal_url(tmp_path / "journal.db")
    with Journal(url) as journal:
        (tmp_path / "journal.db.queue").unlink(missing_ok=True)
        (tmp_path / "journal.db.queue").mkdir()  # as a folder that its user can't write, which root always can
        new = new_run()
        journal.add_run(new)
        assert journal.run(new.uid).key == new.key
