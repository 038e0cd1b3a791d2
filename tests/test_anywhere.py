"""Combined runs under conditions: all conditions are in them, and a failure is led back to those that it takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.anywhere import (
    COMBINATIONS,
    FILES,
    KERNELS,
    Condition,
    causes,
    conditions_of,
    counts,
    failures,
    missing,
    run,
)
from tests.paths import ROOT

REPORT = """<testsuites><testsuite tests="4" failures="1" errors="1" skipped="1">
<testcase classname="tests.cli.test_it" name="test_one[a b]"><failure/></testcase>
<testcase classname="tests.test_other" name="test_two"><error/></testcase>
<testcase classname="tests.test_other" name="test_three"><skipped/></testcase>
<testcase classname="tests.test_other" name="test_four"/></testsuite></testsuites>"""


def test_each_kernel_has_a_run_with_conditions_that_no_other_one_has() -> None:
    runs = [conditions_of(number + 1) for number in range(len(COMBINATIONS))]
    assert [conditions[0].environ["OPENBLAS_CORETYPE"] for conditions in runs] == list(KERNELS)
    names = [each.name for conditions in runs for each in conditions]
    assert len(names) == len(set(names)) == 14
    assert all((ROOT / name).exists() for name in FILES)


@given(st.sets(st.integers(0, 4)))
def test_a_failure_is_led_back_to_the_conditions_that_it_takes(takes: set[int]) -> None:
    conditions = [Condition(str(number)) for number in range(5)]

    def fails(given: Sequence[Condition]) -> bool:
        return takes <= {int(each.name) for each in given}

    assert [int(each.name) for each in causes(conditions, fails) or ()] == sorted(takes)
    assert causes(conditions, lambda _given: False) is None


def test_a_report_has_the_ids_and_the_counts(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    assert failures(tmp_path / "report.xml") == ["tests/cli/test_it.py::test_one[a b]", "tests/test_other.py::test_two"]
    assert counts(tmp_path / "report.xml") == "1 passed, 2 failed, 1 skipped"
    assert counts(tmp_path / "none.xml") == "no test ran"


SEEN = """
import os, signal, sys, time
print(os.getcwd(), os.environ["LC_ALL"], sys.stdin, signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, os.umask(0))
print(os.geteuid(), os.access(os.environ["HOME"], os.W_OK))
"""


def test_a_command_runs_under_all_conditions_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    conditions = [each for number in range(len(COMBINATIONS)) for each in conditions_of(number + 1)]
    clone = tmp_path / "clone"
    clone.mkdir()
    conditions = [each for each in conditions if not missing(each)]
    user = "1000" if any("unshare" in each.prefix for each in conditions) else str(os.geteuid())
    assert run([sys.executable, "-c", SEEN], conditions, clone, tmp_path / "report.xml") == 0
    assert capfd.readouterr().out.split() == [str(clone), "C", "None", "True", "63", user, str(user == "0")]
