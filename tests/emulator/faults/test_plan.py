"""Fault plans: the decision which calls get which fault, and the parser of plans."""

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

from hybridloop.emulator.faults.plan import (
    ApiCall,
    Fault,
    FaultPlan,
    FaultRule,
    InvalidFaultPlan,
    load_fault_plan,
    parse_fault_plan,
)
from hybridloop.emulator.model.routes import ApiOperation
from tests.paths import DOCS

PAGE = (DOCS / "emulator.md").read_text(encoding="utf-8")
SUBMIT = ApiCall(
    ApiOperation.SUBMIT,
    "PUT",
    "/jobs/j1",
    job_names=("j1", "run.main.0"),
    session_names=("s1", "vqe-h2"),
    target="rigetti.sim.qvm",
)


def decisions(plan: FaultPlan, calls: Sequence[ApiCall], now: float = 0.0) -> list[bool]:
    return [plan.decide(call, now) is not None for call in calls]


@pytest.mark.parametrize(
    ("rule", "numbers"),
    [
        (FaultRule(fault=Fault.EMPTY), [1, 2, 3, 4, 5, 6]),
        (FaultRule(fault=Fault.EMPTY, nth=3), [3]),
        (FaultRule(fault=Fault.EMPTY, nth=(2, 5)), [2, 5]),
        (FaultRule(fault=Fault.EMPTY, every=2), [2, 4, 6]),
        (FaultRule(fault=Fault.EMPTY, times=2), [1, 2]),
        (FaultRule(fault=Fault.EMPTY, every=2, times=1), [2]),
        (FaultRule(fault=Fault.EMPTY, probability=0.0), []),
        (FaultRule(fault=Fault.EMPTY, probability=1.0, nth=4), [4]),
        (FaultRule(fault=Fault.EMPTY, operation=ApiOperation.OPEN), []),
        (FaultRule(fault=Fault.EMPTY, operation=(ApiOperation.OPEN, ApiOperation.SUBMIT), nth=1), [1]),
        (FaultRule(fault=Fault.EMPTY, job="run.main.", nth=1), [1]),
        (FaultRule(fault=Fault.EMPTY, job="main"), []),
        (FaultRule(fault=Fault.EMPTY, session="vqe", nth=6), [6]),
        (FaultRule(fault=Fault.EMPTY, session="s1", nth=6), [6]),
        (FaultRule(fault=Fault.EMPTY, session="qaoa"), []),
        (FaultRule(fault=Fault.EMPTY, target="RIGETTI.sim.qvm", nth=1), [1]),
        (FaultRule(fault=Fault.EMPTY, target="ionq.simulator"), []),
    ],
)
def test_a_rule_applies_to_the_calls_that_meet_all_its_conditions(rule: FaultRule, numbers: list[int]) -> None:
    injected = decisions(FaultPlan([rule], 0, 0.0), [SUBMIT] * 6)
    assert [number for number, is_injected in enumerate(injected, 1) if is_injected] == numbers


def test_above_per_s_lets_so_many_calls_a_second_pass() -> None:
    plan = FaultPlan([FaultRule(fault=Fault.THROTTLED, above_per_s=4.0)], 0, 1000.0)

    def passed(now: float, calls: int) -> int:
        return sum(plan.decide(SUBMIT, now) is None for _ in range(calls))

    assert [passed(1000.0, 9), passed(1000.5, 9), passed(1000.5, 9), passed(1009.0, 9)] == [4, 2, 0, 4]


def test_after_s_and_before_s_count_from_the_start_of_the_plan() -> None:
    plan = FaultPlan([FaultRule(fault=Fault.EMPTY, after_s=10.0, before_s=20.0)], 0, started=1000.0)
    assert [decisions(plan, [SUBMIT], now)[0] for now in (1000.0, 1009.9, 1010.0, 1019.9, 1020.0)] == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_the_first_rule_that_applies_wins_and_all_rules_count_the_call() -> None:
    plan = FaultPlan([FaultRule(fault=Fault.EMPTY, nth=1), FaultRule(fault=Fault.NOT_JSON, nth=(1, 2))], 0, 0.0)
    rules = [plan.decide(SUBMIT, 5.0) for _ in range(3)]
    assert [rule and rule.fault for rule in rules] == [Fault.EMPTY, Fault.NOT_JSON, None]
    assert [(entry.number, entry.rule, entry.moment) for entry in plan.log] == [(1, 1, 5.0), (2, 2, 5.0)]


@given(st.permutations([f"/jobs/{i % 7}" for i in range(40)]), st.integers())
def test_a_probability_selects_the_same_calls_in_any_order_of_threads(paths: list[str], seed: int) -> None:
    def injections(order: Sequence[str]) -> dict[tuple[str, int], bool]:
        plan = FaultPlan([FaultRule(fault=Fault.EMPTY, probability=0.4)], seed, 0.0)
        calls, injected = Counter[str](), {}
        for path in order:
            calls[path] += 1
            injected[path, calls[path]] = plan.decide(replace(SUBMIT, path=path), 0.0) is not None
        return injected

    assert injections(paths) == injections(sorted(paths))


def test_a_probability_is_the_share_of_faulty_calls_and_another_seed_selects_others() -> None:
    calls = [replace(SUBMIT, path=f"/jobs/{i}") for i in range(2000)]
    first, second = (
        decisions(FaultPlan([FaultRule(fault=Fault.EMPTY, probability=0.3)], seed, 0.0), calls) for seed in (0, 1)
    )
    # four standard deviations of a binomial share of 2000 draws, √(0.3 · 0.7 / 2000)
    assert abs(sum(first) / 2000 - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 2000)
    assert first != second


def test_a_blob_is_missing_for_the_rules_seconds_after_its_first_read() -> None:
    plan = FaultPlan([FaultRule(fault=Fault.BLOB_MISSING, seconds=10.0)], 0, 0.0)
    download = ApiCall(ApiOperation.DOWNLOAD, "GET", "/c/c/outputData")
    other = replace(download, path="/d/d/outputData")
    assert decisions(plan, [download], 100.0) == [True]
    assert decisions(plan, [other], 105.0) == [True]
    assert decisions(plan, [download, other], 110.0) == [False, True]


@pytest.mark.parametrize("fault", [Fault.SESSION_FAILS, Fault.SESSION_TIMES_OUT])
def test_only_a_call_with_a_session_can_end_a_session(fault: Fault) -> None:
    plan = FaultPlan([FaultRule(fault=fault)], 0, 0.0)
    assert decisions(plan, [replace(SUBMIT, session_names=()), SUBMIT]) == [False, True]


def test_the_example_in_the_docs_is_a_valid_plan(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "faults.yaml"
    path.write_text(example)
    plan = load_fault_plan(path)
    assert plan.seed == 7
    assert plan.rules[0] == FaultRule(fault=Fault.RESET_AFTER, operation=ApiOperation.SUBMIT, nth=(3, 5))


def test_the_docs_name_every_fault_and_every_operation() -> None:
    section = PAGE.partition("## Faults")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z-]+)`", section))
    assert {str(fault) for fault in Fault} | {str(operation) for operation in ApiOperation} <= named


@pytest.mark.parametrize(
    ("document", "words"),
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
        ({"rules": [{"fault": "job-fails", "operation": "open"}]}, "rule 1: job-fails can't be injected into open"),
        ({"rules": [{"fault": "empty", "after_s": 5, "before_s": 5}]}, "rule 1: before_s must be above after_s"),
    ],
)
def test_an_invalid_plan_is_refused_with_the_place_and_the_reason(document: object, words: str) -> None:
    body = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(InvalidFaultPlan, match=words):
        parse_fault_plan(body.encode())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"rules: [", "not plain YAML"),
        (b"rules: !!python/object/apply:os.system [ls]", "not plain YAML"),
        (b"rules: &a [*a]", "aliases"),
        (b"rules: 2026-01-01", "not plain YAML"),
        (b"rules: 2026-02-30", "not plain YAML"),
        (b"rules: !!int ''", "not plain YAML"),
        (b"rules: !!bool x", "not plain YAML"),
        (b"rules: !!timestamp x", "not plain YAML"),
        (b"rules: []\nseed: %s" % (b"9" * 5000), "not plain YAML"),
        (b"rules: []\nseed: '%s'" % (b"9" * 5000), "seed: "),
        (b"\xff\xfe", "not plain YAML"),
        (b"rules:\n- fault: nothing\n", "rule 1, fault"),
        (b"#" * 2**19, "above"),
    ],
)
def test_an_invalid_plan_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "faults.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidFaultPlan, match=words) as refusal:
        load_fault_plan(path)
    assert str(path) in str(refusal.value)


def test_a_missing_plan_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFaultPlan, match="can't be read"):
        load_fault_plan(tmp_path / "none.yaml")
