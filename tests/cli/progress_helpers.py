"""State of a run in progress in which every field is set, for tests of the live view."""

from __future__ import annotations

from hybridloop.budget.caps import Caps
from hybridloop.budget.cost_summary import CostSummary
from hybridloop.results.live import Best, LiveState
from hybridloop.tasks.session_status import SessionSnapshot

STATE = LiveState(
    algorithm="vqe",
    problem="lih",
    target="ionq.qpu.forte-1",
    run_key="night",
    unit="hartree",
    status="running",
    search="angles searched on ionq.qpu.forte-1",
    elapsed_s=3725.0,
    round=12,
    phase="search",
    value=-7.882362,
    standard_error=0.000712,
    values=(-7.1, -7.4, -7.6, -7.8, -7.88),
    best=Best(11, -7.883001, 0.0009),
    snapshot=SessionSnapshot(
        session_id="83f07da9-535c-5d2d-8137-d164c097f4c8",
        session_status="Executing",
        sessions=2,
        idle_left_s=583.0,
        in_flight=4,
        done=412,
        lost=1,
        retried=3,
        meter=CostSummary(417, 1_668_000, {"USD": 825.0}, {"USD": 12.1}, {"USD": 812.5}),
        caps=Caps(max_cost={"USD": 1000.0}, max_jobs=500),
        left_s=25_000.0,
    ),
)
