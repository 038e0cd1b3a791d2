"""Which call meets which fault is decided without a service, and the same for the same seed and calls."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.emulator.fault_file import BadFaultPlan, read_fault_document, read_fault_file
from hybridloop.emulator.fault_plan import FaultPlan
from hybridloop.emulator.fault_rules import Call, Fault, Rule
from hybridloop.emulator.operations import Operation

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")
SUBMIT = Call(
    Operation.SUBMIT,
    "PUT",
    "/jobs/j1",
    job_names=("j1", "run.main.0"),
    session_names=("s1", "vqe-h2"),
    target="rigetti.sim.qvm",
)


def struck(plan: FaultPlan, calls: Sequence[Call], now: float = 0.0) -> list[bool]:
    return [plan.decide(call, now) is not None for call in calls]


@pytest.mark.parametrize(
    ("rule", "numbers"),
    [
        (Rule(fault=Fault.EMPTY), [1, 2, 3, 4, 5, 6]),
        (Rule(fault=Fault.EMPTY, nth=3), [3]),
        (Rule(fault=Fault.EMPTY, nth=(2, 5)), [2, 5]),
        (Rule(fault=Fault.EMPTY, every=2), [2, 4, 6]),
        (Rule(fault=Fault.EMPTY, times=2), [1, 2]),
        (Rule(fault=Fault.EMPTY, every=2, times=1), [2]),
        (Rule(fault=Fault.EMPTY, probability=0.0), []),
        (Rule(fault=Fault.EMPTY, probability=1.0, nth=4), [4]),
        (Rule(fault=Fault.EMPTY, operation=Operation.OPEN), []),
        (Rule(fault=Fault.EMPTY, operation=(Operation.OPEN, Operation.SUBMIT), nth=1), [1]),
        (Rule(fault=Fault.EMPTY, job="run.main.", nth=1), [1]),
        (Rule(fault=Fault.EMPTY, job="main"), []),
        (Rule(fault=Fault.EMPTY, session="vqe", nth=6), [6]),
        (Rule(fault=Fault.EMPTY, session="s1", nth=6), [6]),
        (Rule(fault=Fault.EMPTY, session="qaoa"), []),
        (Rule(fault=Fault.EMPTY, target="RIGETTI.sim.qvm", nth=1), [1]),
        (Rule(fault=Fault.EMPTY, target="ionq.simulator"), []),
    ],
)
def test_a_rule_strikes_the_calls_that_meet_all_its_conditions(rule: Rule, numbers: list[int]) -> None:
    strikes = struck(FaultPlan([rule], 0, 0.0), [SUBMIT] * 6)
    assert [number for number, strike in enumerate(strikes, 1) if strike] == numbers


def test_a_window_counts_from_when_the_plan_came_into_force() -> None:
    plan = FaultPlan([Rule(fault=Fault.EMPTY, after_s=10.0, before_s=20.0)], 0, started=1000.0)
    assert [struck(plan, [SUBMIT], now)[0] for now in (1000.0, 1009.9, 1010.0, 1019.9, 1020.0)] == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_the_first_rule_that_strikes_has_the_call_and_all_rules_count_it() -> None:
    plan = FaultPlan([Rule(fault=Fault.EMPTY, nth=1), Rule(fault=Fault.NOT_JSON, nth=(1, 2))], 0, 0.0)
    rules = [plan.decide(SUBMIT, 5.0) for _ in range(3)]
    assert [rule and rule.fault for rule in rules] == [Fault.EMPTY, Fault.NOT_JSON, None]
    assert [(entry.number, entry.rule, entry.moment) for entry in plan.log] == [(1, 1, 5.0), (2, 2, 5.0)]


@given(st.permutations([f"/jobs/{i % 7}" for i in range(40)]), st.integers())
def test_chance_strikes_the_same_calls_in_whatever_order_threads_make_them(paths: list[str], seed: int) -> None:
    def strikes(order: Sequence[str]) -> dict[tuple[str, int], bool]:
        plan, asked, found = FaultPlan([Rule(fault=Fault.EMPTY, probability=0.4)], seed, 0.0), Counter[str](), {}
        for path in order:
            asked[path] += 1
            found[path, asked[path]] = plan.decide(replace(SUBMIT, path=path), 0.0) is not None
        return found

    assert strikes(paths) == strikes(sorted(paths))


def test_chance_strikes_as_often_as_it_says_and_elsewhere_with_another_seed() -> None:
    calls = [replace(SUBMIT, path=f"/jobs/{i}") for i in range(2000)]
    first, second = (struck(FaultPlan([Rule(fault=Fault.EMPTY, probability=0.3)], seed, 0.0), calls) for seed in (0, 1))
    # a binomial share of 2000 draws deviates by √(0.3 · 0.7 / 2000): four times that
    assert abs(sum(first) / 2000 - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 2000)
    assert first != second


def test_a_blob_is_missing_for_its_seconds_from_when_it_was_first_asked_for() -> None:
    plan = FaultPlan([Rule(fault=Fault.BLOB_MISSING, seconds=10.0)], 0, 0.0)
    download = Call(Operation.DOWNLOAD, "GET", "/c/c/outputData")
    other = replace(download, path="/d/d/outputData")
    assert struck(plan, [download], 100.0) == [True]
    assert struck(plan, [other], 105.0) == [True]
    assert struck(plan, [download, other], 110.0) == [False, True]


@pytest.mark.parametrize("fault", [Fault.SESSION_FAILS, Fault.SESSION_TIMES_OUT])
def test_only_a_call_that_names_a_session_can_end_one(fault: Fault) -> None:
    plan = FaultPlan([Rule(fault=fault)], 0, 0.0)
    assert struck(plan, [replace(SUBMIT, session_names=()), SUBMIT]) == [False, True]


def test_the_pages_example_is_a_plan(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "faults.yaml"
    path.write_text(example)
    plan = read_fault_file(path)
    assert plan.seed == 7
    assert plan.rules[0] == Rule(fault=Fault.RESET_AFTER, operation=Operation.SUBMIT, nth=(3, 5))


def test_the_page_names_every_fault_and_every_operation() -> None:
    section = PAGE.partition("## Faults")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z-]+)`", section))
    assert {str(fault) for fault in Fault} | {str(operation) for operation in Operation} <= named


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "Invalid JSON"),
        ([], "should be an object"),
        ({"rules": 5}, "rules: .*array"),
        ({"rules": [], "sede": 1}, "sede: "),
        ({"rules": [{"operation": "open"}]}, "rule 1, fault: .*required"),
        ({"rules": [{"fault": "empty"}, {"fault": "explode"}]}, "rule 2, fault: .*'throttled'"),
        ({"rules": [{"fault": "empty", "operation": "dance"}]}, "rule 1, operation: "),
        ({"rules": [{"fault": "empty", "operation": []}]}, "rule 1, operation: "),
        ({"rules": [{"fault": "empty", "nth": 0}]}, "rule 1, nth: "),
        ({"rules": [{"fault": "empty", "nth": True}]}, "rule 1, nth: "),
        ({"rules": [{"fault": "empty", "probability": 1.5}]}, "rule 1, probability: "),
        ({"rules": [{"fault": "empty", "sometimes": 1}]}, "rule 1, sometimes: "),
        ({"rules": [{"fault": "empty", "seconds": 1}]}, "rule 1: empty takes no seconds"),
        ({"rules": [{"fault": "error"}]}, "rule 1: error needs status"),
        ({"rules": [{"fault": "error", "status": 200}]}, "rule 1, status: "),
        ({"rules": [{"fault": "slow-answer"}]}, "rule 1: slow-answer needs seconds"),
        ({"rules": [{"fault": "job-fails", "operation": "open"}]}, "rule 1: job-fails can't befall open"),
        ({"rules": [{"fault": "empty", "after_s": 5, "before_s": 5}]}, "rule 1: before_s must be above after_s"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_with_its_place_and_the_reason(document: object, said: str) -> None:
    body = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(BadFaultPlan, match=said):
        read_fault_document(body.encode())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"rules: [", "no plain YAML"),
        (b"rules: !!python/object/apply:os.system [ls]", "no plain YAML"),
        (b"rules: &a [*a]", "aliases"),
        (b"rules: 2026-01-01", "no plain YAML"),
        (b"rules: 2026-02-30", "no plain YAML"),
        (b"rules: !!int ''", "no plain YAML"),
        (b"rules: !!bool x", "no plain YAML"),
        (b"rules: !!timestamp x", "no plain YAML"),
        (b"rules: []\nseed: %s" % (b"9" * 5000), "no plain YAML"),
        (b"rules: []\nseed: '%s'" % (b"9" * 5000), "seed: "),
        (b"\xff\xfe", "no plain YAML"),
        (b"rules:\n- fault: nothing\n", "rule 1, fault"),
        (b"#" * 2**19, "above"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "faults.yaml"
    path.write_bytes(content)
    with pytest.raises(BadFaultPlan, match=said) as refusal:
        read_fault_file(path)
    assert str(path) in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFaultPlan, match="can't be read"):
        read_fault_file(tmp_path / "none.yaml")
