"""Live state: a feed shows its readers each round, with the facts of the session in one line each."""

from __future__ import annotations

import html
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridloop.algorithms.outcome import RoundProgress
from hybridloop.api.progress import _mime
from hybridloop.budget.caps import Caps
from hybridloop.budget.cost_summary import CostSummary
from hybridloop.results.live import MOST_VALUES, Best, LiveFeed, LiveState
from hybridloop.results.live_text import BLOCKS, rows, sparkline, title
from hybridloop.runtime.stages import announce, stages_to
from hybridloop.tasks.session_status import SessionSnapshot


def round_of(number: int, value: float, error: float = 0.01) -> RoundProgress:
    return RoundProgress(number, "search", value, error, (0.1,), 1, 1, 100, 100 * number)


class Session:
    """A session with the attributes that a feed reads."""

    def __init__(self, standing: SessionSnapshot) -> None:
        self.snapshot = standing


def standing(**known: object) -> SessionSnapshot:
    facts: dict[str, object] = {
        "session_id": "5e55",
        "session_status": "Executing",
        "sessions": 1,
        "idle_left_s": None,
        "in_flight": 4,
        "done": 32,
        "lost": 0,
        "retried": 0,
    }
    return SessionSnapshot(**{**facts, **known})  # type: ignore[arg-type]  # by name


def fed(values: list[float], sense: int) -> LiveState:
    feed = LiveFeed(now=lambda: 0.0)
    feed.begin("mine", Session(standing()), "hartree", sense)  # type: ignore[arg-type]  # what it reads is there
    for number, value in enumerate(values, start=1):
        feed.add(round_of(number, value))
    return feed.state()


def test_a_run_without_a_session_is_preparing_and_its_time_passes() -> None:
    now = [100.0]
    feed = LiveFeed(now=lambda: now[0])
    feed.prepare("vqe", "h2", "ionq.simulator")
    now[0] = 107.5
    state = feed.state()
    assert (state.status, state.elapsed_s, state.snapshot, state.value) == ("preparing", 7.5, None, None)
    assert list(rows(state)) == [("status", "preparing, 7 s")]
    assert title(state) == "vqe of h2 on ionq.simulator"
    with stages_to(feed.set_stage):
        announce("starting the local service")
    announce("for nobody")
    assert list(rows(feed.state())) == [("status", "preparing: starting the local service, 7 s")]
    feed.begin("mine", Session(standing()), "hartree", -1)  # type: ignore[arg-type]  # what it reads is there
    feed.add(round_of(1, 0.5))
    assert feed.state().stage == ""


def test_a_run_that_has_ended_stays_as_it_ended() -> None:
    now = [0.0]
    feed = LiveFeed(now=lambda: now[0])
    now[0] = 5.0
    feed.end("converged", "the minimum is known")
    now[0] = 50.0
    feed.end("failed", "later")
    state = feed.state()
    assert (state.status, state.reason, state.elapsed_s) == ("converged", "the minimum is known", 5.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.sampled_from([-1, 1]))
def test_the_best_round_is_the_first_of_the_best_value_within_two_errors(values: list[float], sense: int) -> None:
    best = fed(values, sense).best
    bounds = [Best(0, value, 0.01).bound(sense) for value in values]
    row = bounds.index(max(bounds))
    assert best == Best(row + 1, values[row], 0.01)


def test_a_round_with_a_large_error_is_not_the_best() -> None:
    feed = LiveFeed()
    feed.begin("mine", Session(standing()), "hartree", -1)  # type: ignore[arg-type]  # what it reads is there
    feed.add(round_of(1, -1.0))
    feed.add(round_of(2, -1.1, 0.2))
    assert feed.state().best == Best(1, -1.0, 0.01)


def test_rounds_of_different_things_have_no_best() -> None:
    assert fed([1.0, 2.0], 0).best is None


def test_no_more_values_are_kept_than_can_be_drawn() -> None:
    state = fed([float(each) for each in range(MOST_VALUES + 50)], -1)
    assert len(state.values) == MOST_VALUES
    assert (state.values[-1], state.round) == (MOST_VALUES + 49.0, MOST_VALUES + 50)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60))
def test_a_sparkline_has_a_character_a_value_and_spans_all_heights(values: list[float]) -> None:
    line = sparkline(values)
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        assert line == ""
        return
    assert len(line) == len(values)
    if max(finite) / 2 - min(finite) / 2 > 0:
        assert line[values.index(min(finite))] == BLOCKS[0]
        assert line[values.index(max(finite))] == BLOCKS[-1]


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"idle_left_s": 583.0}, ("session", "5e55 executing, idle: 9 min 43 s left")),
        ({"sessions": 3}, ("session", "5e55 executing, session 3 of the run")),
        ({"retried": 2, "lost": 1}, ("jobs", "4 in flight, 32 done, 1 lost, 2 retried")),
        ({"waits_s": 61.0}, ("jobs", "4 in flight, 32 done, 0 lost, the round waits for 1 min 1 s")),
        ({"waits_s": 30.0, "expected_s": 120.0}, ("local", "█████▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁ of about 2 min 0 s")),
        ({}, ("cost", "none yet")),
        (
            {
                "meter": CostSummary(36, 3600, {"USD": 1.8}, {"USD": 0.4}, {"USD": 1.5}),
                "caps": Caps(max_cost={"USD": 50.0}),
            },
            ("cost", "1.50 USD billed, 0.40 reserved, 1.80 estimated, the cap is 50"),
        ),
        ({"meter": CostSummary(3, 300, {}, {"HQC": 12.0}, {})}, ("cost", "0.00 HQC billed, 12.00 reserved")),
        (
            {"meter": CostSummary(36, 3600), "caps": Caps(max_jobs=100, max_shots=5000)},
            ("caps", "36 of 100 jobs, 3,600 of 5,000 shots"),
        ),
        ({"left_s": 28_799.0}, ("left", "7 h 59 min until the deadline")),
    ],
)
def test_rows_have_the_known_facts_of_the_session(known: dict[str, object], said: tuple[str, str]) -> None:
    assert said in list(rows(LiveState("vqe", "h2", "t", snapshot=standing(**known))))


def test_values_of_no_unit_are_no_energies() -> None:
    state = LiveState("qaoa", "petersen", "t", round=1, phase="final", value=11.5, standard_error=0.1)
    assert ("value", "+11.500000 ± 0.100000") in list(rows(state))


def test_html_is_escaped() -> None:
    attack = "<img src=x onerror=alert(1)>"
    shown = _mime(LiveState("vqe", attack, attack, reason=attack, status="failed"))
    assert "<img" not in shown["text/html"]
    assert html.unescape(shown["text/html"]).count(attack) == 3
    assert shown["text/plain"].count(attack) == 3
